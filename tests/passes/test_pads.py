"""resolve_auto_pad and fold_pad."""

from __future__ import annotations

import numpy as np
import pytest
from passes.building import Builder, check, evaluate_by_onnxruntime

from orpheus_core.graph import Node
from orpheus_core.passes import fold_pad, resolve_auto_pad
from orpheus_core.types import DType


def weight(b, *shape):
    return b.const(np.random.default_rng(0).normal(size=shape).astype("f4"))


MODES = ["SAME_UPPER", "SAME_LOWER", "VALID"]


class TestAutoPad:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(
        "size, kernel, stride, dilation", [(7, 3, 2, 1), (6, 2, 1, 1), (8, 3, 1, 2), (7, 1, 3, 1)]
    )
    def test_conv(self, mode, size, kernel, stride, dilation):
        b = Builder()
        y = b.op("Conv", b.input(1, 2, size, size + 1), weight(b, 3, 2, kernel, kernel), auto_pad=mode,
                 strides=(stride,) * 2, dilations=(dilation,) * 2)  # fmt: skip
        after = check(resolve_auto_pad.run, b.graph(y), ["Conv"])
        assert after.nodes[0].attributes["auto_pad"] == "NOTSET"
        assert len(after.nodes[0].attributes["pads"]) == 4

    def test_same_upper_puts_the_odd_one_at_the_end(self):
        pads = {}
        for mode in MODES[:2]:
            b = Builder()
            y = b.op("Conv", b.input(1, 1, 6), weight(b, 1, 1, 2), auto_pad=mode)
            pads[mode] = resolve_auto_pad.run(b.graph(y)).nodes[0].attributes["pads"]
        assert pads == {"SAME_UPPER": (0, 1), "SAME_LOWER": (1, 0)}

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
    def test_pools(self, mode, op):
        b = Builder()
        y = b.op(op, b.input(1, 2, 7, 6), kernel_shape=(3, 2), strides=(2, 1), auto_pad=mode)
        after = check(resolve_auto_pad.run, b.graph(y), [op], evaluate_by_onnxruntime)
        assert after.nodes[0].attributes["auto_pad"] == "NOTSET"

    def test_everything_left_out_is_filled_in(self):
        b = Builder()
        y = b.op("Conv", b.input(1, 2, 5, 5), weight(b, 3, 2, 3, 2))
        attributes = check(resolve_auto_pad.run, b.graph(y)).nodes[0].attributes
        assert attributes["kernel_shape"] == (3, 2) and attributes["pads"] == (0, 0, 0, 0)
        assert attributes["strides"] == attributes["dilations"] == (1, 1)

    def test_unknown_size_keeps_same_but_not_valid(self):
        for mode, expected in (("SAME_UPPER", "SAME_UPPER"), ("VALID", "NOTSET")):
            b = Builder()
            y = b.op("Conv", b.input(1, 2, "h", "w"), weight(b, 3, 2, 3, 3), auto_pad=mode)
            assert resolve_auto_pad.run(b.graph(y)).nodes[0].attributes["auto_pad"] == expected

    def test_unknown_kernel_stays(self):
        b = Builder()
        graph = b.graph(b.op("Conv", b.input(1, 2, 5, 5), b.input("o", 2, "k", "k")))
        assert resolve_auto_pad.run(graph) is graph

    def test_same_with_ceil_mode_does_not_grow(self):
        b = Builder()
        y = b.op(
            "MaxPool", b.input(1, 1, 5), kernel_shape=(1,), strides=(3,), auto_pad="SAME_UPPER", ceil_mode=1
        )
        after = resolve_auto_pad.run(b.graph(y))
        assert after.nodes[0].attributes["ceil_mode"] == 0

    @pytest.mark.parametrize("mode", MODES[:2])
    def test_transposed_convolution(self, mode):
        b = Builder()
        y = b.op("ConvTranspose", b.input(1, 1, 4, 5), weight(b, 1, 2, 3, 4), auto_pad=mode, strides=(2, 2))
        after = check(resolve_auto_pad.run, b.graph(y), None, evaluate_by_onnxruntime)
        first, second = (0, 1) if mode == "SAME_UPPER" else (1, 0)
        assert after.nodes[0].attributes["pads"] == (first, 1, second, 1)


def padded(b, x, amount=(0, 0, 1, 2, 0, 0, 1, 0), value=None, **attributes):
    value = None if value is None else b.const(np.asarray(value, x.type.dtype.numpy))
    return b.op("Pad", x, b.ints(*amount), value, **attributes)


STAYS = {
    "another value": lambda b, x: padded(b, x, value=1),
    "channels": lambda b, x: padded(b, x, (0, 1, 0, 0, 0, 0, 0, 0)),
    "batch": lambda b, x: padded(b, x, (1, 0, 0, 0, 0, 0, 0, 0)),
    "crop": lambda b, x: padded(b, x, (0, 0, -1, 0, 0, 0, 1, 0)),
    "reflect": lambda b, x: padded(b, x, mode="reflect"),
    "edge": lambda b, x: padded(b, x, mode="edge"),
}


class TestFoldPad:
    def test_conv_adds_the_pads(self):
        b = Builder()
        y = b.op("Conv", padded(b, b.input(1, 2, 5, 5)), weight(b, 3, 2, 3, 3), pads=(1, 0, 0, 1))
        after = check(fold_pad.run, b.graph(y), ["Conv"])
        assert after.nodes[0].attributes["pads"] == (2, 2, 1, 1)

    def test_pad_of_some_axes(self):
        b = Builder()
        pad = b.op("Pad", b.input(1, 2, 5, 5), b.ints(1, 2), None, b.ints(-1))
        after = check(fold_pad.run, b.graph(b.op("Conv", pad, weight(b, 3, 2, 3, 3))), ["Conv"])
        assert after.nodes[0].attributes["pads"] == (0, 1, 0, 2)

    def test_old_pad_by_attributes(self):
        b = Builder()
        x = b.input(1, 2, 5, 5)
        pad = padded(b, x)
        attributes = {"pads": (0, 0, 1, 2, 0, 0, 1, 0), "mode": "constant", "value": 0.0}
        b.nodes[-1] = Node("Pad", (x,), (pad,), attributes, version=2)
        after = fold_pad.run(b.graph(b.op("Conv", pad, weight(b, 3, 2, 3, 3))))
        assert after.nodes[0].attributes["pads"] == (1, 2, 1, 0)

    @pytest.mark.parametrize("name", STAYS)
    def test_other_padding_stays(self, name):
        b = Builder()
        pad = STAYS[name](b, b.input(1, 2, 5, 5))
        graph = b.graph(b.op("Conv", pad, weight(b, 1, pad.type.shape[1], 3, 3)))
        assert fold_pad.run(graph) is graph

    @pytest.mark.parametrize(
        "point, value, folds", [(None, 0, True), (7, 7, True), (7, 0, False), (None, 7, False)]
    )
    def test_integer_convolution_pads_with_its_zero_point(self, point, value, folds):
        b = Builder()
        x = b.input(1, 1, 4, 4, dtype=DType.UINT8)
        zero = None if point is None else b.const(np.uint8(point))
        y = b.op("ConvInteger", padded(b, x, value=value), b.const(np.ones((1, 1, 3, 3), np.uint8)), zero)
        graph = b.graph(y)
        assert (fold_pad.run(graph) is not graph) == folds

    @pytest.mark.parametrize("counted, own, folds", [(0, 0, True), (1, 0, True), (1, 1, True), (0, 1, False)])
    def test_average_pool(self, counted, own, folds):
        b = Builder()
        y = b.op("AveragePool", padded(b, b.input(1, 2, 5, 5)), kernel_shape=(3, 3), pads=(own,) * 4,
                 count_include_pad=counted)  # fmt: skip
        graph = b.graph(y)
        after = check(fold_pad.run, graph, ["AveragePool"] if folds else ["Pad", "AveragePool"])
        assert not folds or after.nodes[0].attributes["count_include_pad"] == 1

    @pytest.mark.parametrize(
        "op, value, folds", [("Neg", -np.inf, True), ("Relu", 0, True), ("Neg", 0, False), ("Relu", 1, False),
                             ("Sigmoid", -1, True)]
    )  # fmt: skip
    def test_max_pool(self, op, value, folds):
        b = Builder()
        x = b.op(op, b.input(1, 2, 5, 5))
        y = b.op(
            "MaxPool", padded(b, x, (0, 0, 1, 1, 0, 0, 1, 1), value), kernel_shape=(2, 2), strides=(1, 1)
        )
        check(fold_pad.run, b.graph(y), [op, "MaxPool"] if folds else [op, "Pad", "MaxPool"])

    def test_sign_is_known_through_other_operators(self):
        b = Builder()
        x = b.op("Clip", b.input(1, 2, 6, 6), b.const(np.float32(0)), b.const(np.float32(6)))
        x = b.op("MaxPool", x, kernel_shape=(2, 2), strides=(1, 1))
        y = b.op("MaxPool", padded(b, x, (0, 0, 1, 1, 0, 0, 1, 1)), kernel_shape=(2, 2))
        check(fold_pad.run, b.graph(y), ["Clip", "MaxPool", "MaxPool"])

    def test_max_pool_keeps_windows_inside(self):
        b = Builder()
        y = b.op(
            "MaxPool",
            padded(b, b.op("Relu", b.input(1, 1, 4, 4)), (0, 0, 2, 2, 0, 0, 2, 2)),
            kernel_shape=(2, 2),
        )
        graph = b.graph(y)
        assert fold_pad.run(graph) is graph

    def test_indices_count_in_the_padded_tensor(self):
        b = Builder()
        pad = padded(b, b.op("Relu", b.input(1, 1, 4, 4)))
        graph = b.graph(*b.op("MaxPool", pad, kernel_shape=(3, 3), outputs=2))
        assert fold_pad.run(graph) is graph
