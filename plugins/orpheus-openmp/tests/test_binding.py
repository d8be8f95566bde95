"""Runs from several threads bind the same prepared layer at the same time: no bind may change it."""

from __future__ import annotations

import numpy as np
import pytest

from orpheus_core.errors import KernelError

pytest.importorskip("orpheus_openmp.isa", reason="orpheus-openmp is not installed")
from orpheus_openmp.broadcast import Binary
from orpheus_openmp.gemm import MatMul
from orpheus_openmp.movement import Concat
from orpheus_openmp.moves import Move
from orpheus_openmp.recurrent import Gru, Lstm
from orpheus_openmp.reduce import Reduce
from orpheus_openmp.weights import Packer


def x_of(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


#: Layers of several native calls, or whose calls depend on the arrays: class, operator, inputs, outputs, attributes.
LAYERS = {
    "broadcast": (Binary, "Max", [x_of(3, 1), x_of(4), x_of(2, 3, 4)], [(2, 3, 4)], {}),
    "matmul": (MatMul, "MatMul", [x_of(2, 1, 3, 4), x_of(2, 4, 5)], [(2, 2, 3, 5)], {}),
    "concat": (Concat, "Concat", [x_of(2, 3), x_of(2, 5)], [(2, 8)], {"axis": 1}),
    "split": (Move, "Split", [x_of(2, 6)], [(2, 3), (2, 3)], {"axis": 1, "num_outputs": 2}),
    "logsumexp": (Reduce, "ReduceLogSumExp", [x_of(3, 40)], [(3, 1)], {}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_bind_leaves_its_layer_as_it_was(layers, name):
    cls, op, inputs, shapes, attributes = LAYERS[name]
    problem = layers.problem(op, inputs, shapes, attributes)
    layer = cls(problem, layers.isa)
    before = {key: dict(value) if isinstance(value, dict) else value for key, value in vars(layer).items()}
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    space = np.zeros(layer.workspace, np.uint8) if layer.workspace else None
    layer.bind(inputs, outputs, space)()
    assert all(y.any() for y in outputs)
    after = vars(layer)
    assert after.keys() == before.keys()
    for key, value in before.items():
        if isinstance(value, dict):
            assert after[key].keys() == value.keys(), key
            assert all(after[key][k] is v for k, v in value.items()), key
        else:
            assert after[key] is value, key


@pytest.mark.parametrize("name", LAYERS)
def test_an_output_that_is_read_only_is_refused(layers, name):
    cls, op, inputs, shapes, attributes = LAYERS[name]
    layer = cls(layers.problem(op, inputs, shapes, attributes), layers.isa)
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    outputs[-1].flags.writeable = False
    space = np.zeros(layer.workspace, np.uint8) if layer.workspace else None
    with pytest.raises(KernelError, match="read-only"):
        layer.bind(inputs, outputs, space)


@pytest.mark.parametrize(("cls", "op", "gates"), [(Lstm, "LSTM", 4), (Gru, "GRU", 3)])
def test_weights_are_packed_once_not_by_each_bind(layers, monkeypatch, cls, op, gates):
    inputs = [x_of(5, 2, 6), x_of(2, gates * 7, 6), x_of(2, gates * 7, 7)]
    shape = (5, 2, 2, 7)
    attributes = {"direction": "bidirectional", "hidden_size": 7}
    layer = cls(layers.problem(op, inputs, [shape], attributes, constants=(1, 2)), layers.isa)

    def packs(*_, **__):
        raise AssertionError("a bind packs")

    monkeypatch.setattr(Packer, "_run", packs)
    results = []
    for _ in range(2):
        y, space = np.zeros(shape, np.float32), np.zeros(layer.workspace, np.uint8)
        layer.bind([inputs[0], None, None], [y], space)()
        results.append(y)
    assert results[0].any()
    np.testing.assert_array_equal(*results)
