"""Resize, GridSample and the region poolings: closed forms, ONNX Runtime, ONNX's reference evaluator."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator
from orpheus_numpy.nn.grid_sample import grid_sample
from orpheus_numpy.nn.resize import resize
from orpheus_numpy.nn.roi import max_roi_pool, roi_align

from orpheus_core.errors import ModelError

seeds = st.integers(0, 2**32 - 1)


def peer(op, inputs, attributes, opset=20):
    """What ONNX Runtime computes for one node; skips the test when it is not installed."""
    ort = pytest.importorskip("onnxruntime")
    names = [f"i{n}" if x is not None else "" for n, x in enumerate(inputs)]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs)
        if n
    ]
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph([node], "g", infos, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", opset)])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {n: x for n, x in zip(names, inputs) if n})[0]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "transform",
    ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"],
)
@pytest.mark.parametrize("sizes", [(7, 9), (3, 5), (4, 12)])
def test_resize_agrees_with_onnxruntime(mode, transform, sizes):
    X = np.random.default_rng(0).standard_normal((1, 2, 4, 6)).astype(np.float32)
    attributes = {"mode": mode, "coordinate_transformation_mode": transform, "nearest_mode": "floor"}
    wanted = np.array([1, 2, *sizes])
    want = peer("Resize", [X, None, None, wanted], attributes)
    np.testing.assert_allclose(resize(X, sizes=wanted, **attributes), want, rtol=1e-5, atol=1e-5)


def test_symmetric_positions_that_are_whole_stay_so():
    # Of 2.5 elements there are 2; the first lies at 2.5 (1 - 2 / 2.5) + 0.5 / 0.5 - 0.5 = 1.
    attributes = {"coordinate_transformation_mode": "half_pixel_symmetric", "nearest_mode": "floor"}
    y = resize(np.arange(5.0), scales=np.array([0.5], np.float32), mode="nearest", **attributes)
    np.testing.assert_array_equal(y, [1, 3])


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scales", [(0.6, 0.6), (0.3, 0.8), (2.0, 1.5)])
@pytest.mark.parametrize("exclude", [0, 1])
def test_antialiased_resize_sums_its_weights_to_one(mode, scales, exclude):
    X = np.full((1, 1, 20, 10), 3.5)
    y = resize(
        X, scales=np.array([1, 1, *scales], np.float32), mode=mode, antialias=1, exclude_outside=exclude
    )
    assert y.shape == (1, 1, *(int(n * float(np.float32(s))) for n, s in zip((20, 10), scales)))
    np.testing.assert_allclose(y, 3.5, rtol=1e-12)


def test_resize_by_linear_reproduces_a_ramp():
    X = np.arange(8.0).reshape(1, 1, 8)
    y = resize(
        X, sizes=np.array([15]), axes=[2], mode="linear", coordinate_transformation_mode="align_corners"
    )
    np.testing.assert_allclose(y.ravel(), np.arange(15) / 2)
    half = resize(
        X, scales=np.array([0.5], np.float32), axes=[-1], mode="linear", antialias=1, exclude_outside=1
    )
    np.testing.assert_allclose(half.ravel()[1:-1], [2.5, 4.5])


@pytest.mark.parametrize(("policy", "shape"), [("not_larger", (1, 1, 4, 3)), ("not_smaller", (1, 1, 8, 6))])
def test_resize_keeps_the_aspect_ratio(policy, shape):
    X = np.zeros((1, 1, 12, 9))
    assert resize(X, sizes=np.array([8, 3]), axes=[2, 3], keep_aspect_ratio_policy=policy).shape == shape


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int32, ml_dtypes.bfloat16, np.float16, bool, object, np.complex64]
)
def test_resize_nearest_takes_any_type(dtype):
    X = np.array(["a", "b"], object) if dtype is object else np.array([1, 0]).astype(dtype)
    y = resize(X, scales=np.array([2], np.float32))
    assert y.dtype == X.dtype
    assert y.tolist() == [X[0], X[0], X[1], X[1]]
    assert not np.shares_memory(resize(X, scales=np.array([1], np.float32)), X)


def test_resize_clips_what_overshoots_an_integer():
    X = np.array([0, 0, 255, 255], np.uint8)
    y = resize(X, scales=np.array([4], np.float32), mode="cubic")
    assert y.min() == 0
    assert y.max() == 255


def test_resize_sizes_are_those_of_shape_inference():
    # 10 * 0.7 is 6.9999998 in real numbers; ONNX's shape inference multiplies in float32 and has 7.
    assert resize(np.zeros(10), scales=np.array([0.7], np.float32)).shape == (7,)


def test_resize_crops_and_fills():
    X = np.arange(5.0)
    y = resize(
        X, np.array([0.5, 1.5], np.float32), sizes=np.array([3]), mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=-1.0,
    )  # fmt: skip
    assert y.tolist() == [2.0, 4.0, -1.0]


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({}, "needs 1 scales or sizes"),
        ({"sizes": np.array([2, 2])}, "needs 1"),
        ({"scales": np.array([0.0])}, "positive"),
        ({"scales": np.array([2.0]), "mode": "area"}, "mode"),
        ({"scales": np.array([2.0]), "nearest_mode": "up"}, "nearest_mode"),
        ({"scales": np.array([2.0]), "axes": [3]}, "axes"),
        (
            {"scales": np.array([2.0]), "coordinate_transformation_mode": "half"},
            "coordinate_transformation_mode",
        ),
    ],
)
def test_resize_refuses(settings_, words):
    with pytest.raises(ModelError, match=words):
        resize(np.zeros(3), **settings_)


@settings(max_examples=25, deadline=None)
@given(
    seeds, st.sampled_from(("linear", "nearest", "cubic")), st.sampled_from(("zeros", "border", "reflection")),
    st.integers(0, 1), st.integers(2, 3),
)  # fmt: skip
def test_grid_sample_agrees_with_onnx_reference(seed, mode, padding, align, rank):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2, 2, *rng.integers(2, 6, rank))).astype(np.float32)
    grid = (rng.random((2, *rng.integers(1, 5, rank), rank)) * 3.2 - 1.6).astype(np.float32)
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": align}
    # ONNX Runtime clamps all axes as soon as one is outside, which shows in cubic mode.
    node = helper.make_node("GridSample", ["X", "grid"], ["Y"], **attributes)
    with np.errstate(all="ignore"):
        want = ReferenceEvaluator(node).run(None, {"X": X, "grid": grid})[0]
    np.testing.assert_allclose(grid_sample(X, grid, **attributes), want, rtol=1e-3, atol=2e-4)


def test_grid_sample_at_the_pixels_is_the_image():
    X = np.random.default_rng(0).standard_normal((1, 3, 4, 5))
    y, x = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 5), indexing="ij")
    grid = np.stack([x, y], -1)[None]
    for mode in ("linear", "cubic", "nearest"):
        np.testing.assert_allclose(
            grid_sample(X, grid, mode=mode, align_corners=1), X, rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample_survives_far_and_missing_positions(padding):
    X = np.ones((1, 1, 3, 3), np.float32)
    grid = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 0], np.float32)
    grid = np.stack([grid, grid], -1)[None, None]
    with np.errstate(all="ignore"):
        y = grid_sample(X, grid, padding_mode=padding, mode="nearest")
    assert y.shape == (1, 1, 1, 6)
    assert y[0, 0, 0, 5] == 1
    if padding == "zeros":
        assert not y[0, 0, 0, :5].any()


def test_grid_sample_refuses():
    X = np.zeros((1, 1, 3, 3))
    with pytest.raises(ModelError, match="does not fit"):
        grid_sample(X, np.zeros((1, 2, 2, 3)))
    with pytest.raises(ModelError, match="mode"):
        grid_sample(X, np.zeros((1, 2, 2, 2)), mode="area")


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(("avg", "max")), st.integers(0, 3), st.booleans())
def test_roi_align_agrees_with_onnxruntime(seed, mode, ratio, aligned):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2, 3, 8, 9)).astype(np.float32)
    corner = rng.random((4, 2)) * 12 - 1
    rois = np.concatenate([corner, corner + 0.5 + rng.random((4, 2)) * 8], axis=1).astype(np.float32)
    batch = rng.integers(0, 2, 4)
    attributes = {
        "mode": mode, "sampling_ratio": ratio, "output_height": 2, "output_width": 3, "spatial_scale": 0.75,
        "coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel",
    }  # fmt: skip
    want = peer("RoiAlign", [X, rois, batch], attributes)
    np.testing.assert_allclose(roi_align(X, rois, batch, **attributes), want, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_max_roi_pool_agrees_with_onnxruntime(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2, 3, 8, 9)).astype(np.float32)
    corner = rng.integers(0, 12, (4, 2))
    rois = np.concatenate(
        [rng.integers(0, 2, (4, 1)), corner, corner + rng.integers(0, 8, (4, 2))], 1
    ).astype("f4")
    attributes = {"pooled_shape": [3, 2], "spatial_scale": 0.5}
    want = peer("MaxRoiPool", [X, rois], attributes)
    assert np.array_equal(max_roi_pool(X, rois, **attributes), want)


def test_a_region_of_no_image_is_refused():
    X, rois = np.zeros((1, 1, 4, 4)), np.zeros((1, 4))
    with pytest.raises(ModelError, match="outside the batch"):
        roi_align(X, rois, np.array([1]))
    with pytest.raises(ModelError, match="outside the batch"):
        max_roi_pool(X, np.array([[-1.0, 0, 0, 1, 1]]), pooled_shape=[1, 1])
