"""Every element type, in every way a TensorProto can hold it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from importer.making import model_of, tensor_info
from onnx import helper, numpy_helper

from orpheus_core.importer import load, to_onnx
from orpheus_core.importer.tensors import write_tensor
from orpheus_core.types import Array, DType

SIX_BITS = (DType.FLOAT6E2M3, DType.FLOAT6E3M2)
NUMERIC = [d for d in DType if d is not DType.STRING]


def decoded(tensor: onnx.TensorProto) -> Array:
    """The constant that the importer makes of a tensor."""
    tensor.name = "t"
    if DType.from_onnx(tensor.data_type) in SIX_BITS:
        node, kind = helper.make_node("Cast", ["t"], ["y"], to=1), 1
    else:
        node, kind = helper.make_node("Identity", ["t"], ["y"]), tensor.data_type
    model = model_of([node], [], [tensor_info("y", None, kind)], initializers=[tensor], opset=28)
    array: Array = load(model).graph.nodes[0].inputs[0].const
    return array


def values(dtype: DType, shape: tuple[int, ...]) -> Array:
    rng = np.random.default_rng(3)
    count = int(np.prod(shape))
    if dtype is DType.BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.value.startswith("complex"):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype.numpy)
    if dtype in (DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64):
        return rng.standard_normal(shape).astype(dtype.numpy)
    if dtype.value[:4] in ("int4", "int2") or dtype.value[:5] in ("uint4", "uint2"):
        low, high = (0, 1) if dtype.value[-1] == "2" else (0, 7)
        return rng.integers(low, high + 1, shape).astype(dtype.numpy)
    if dtype.is_float:
        return rng.choice([0.0, 0.5, 1.0, 2.0, 4.0], count).reshape(shape).astype(dtype.numpy)
    return rng.integers(0, 100, shape).astype(dtype.numpy)


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0, 4)], ids=str)
def test_raw_data(dtype: DType, shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    found = decoded(numpy_helper.from_array(array))
    assert found.dtype == dtype.numpy
    assert found.shape == shape
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)], ids=str)
def test_typed_fields(dtype: DType, shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    raw = numpy_helper.from_array(array)
    if dtype in (DType.INT4, DType.UINT4, DType.INT2, DType.UINT2, DType.FLOAT4E2M1):
        # Packed as in raw data, one byte to an entry.
        tensor = onnx.TensorProto(data_type=dtype.onnx, dims=shape, int32_data=list(raw.raw_data))
    elif dtype in SIX_BITS or (dtype.is_float and dtype.itemsize <= 2):
        bits = array.view(np.uint8 if dtype.itemsize == 1 else np.uint16).reshape(-1)
        tensor = onnx.TensorProto(data_type=dtype.onnx, dims=shape, int32_data=bits.tolist())
    else:
        tensor = helper.make_tensor("t", dtype.onnx, shape, array.reshape(-1).tolist())
    found = decoded(tensor)
    assert found.dtype == dtype.numpy
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
@pytest.mark.parametrize("shape", [(), (7,), (3, 3)], ids=str)
def test_written_tensors_are_onnx_own(dtype: DType, shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    proto = write_tensor(array, "t")
    assert proto.raw_data == numpy_helper.from_array(array).raw_data
    assert numpy_helper.to_array(proto).tobytes() == array.tobytes()


def test_strings() -> None:
    array = np.array([["a", "ü"], ["", "long text"]], object)
    found = decoded(numpy_helper.from_array(array))
    assert found.dtype == object
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(numpy_helper.to_array(write_tensor(found)), array)


def test_negative_sub_byte_values_keep_their_sign() -> None:
    import ml_dtypes

    array = np.array([-8, 7, -1], ml_dtypes.int4)
    assert decoded(numpy_helper.from_array(array)).astype(np.int32).tolist() == [-8, 7, -1]
    pair = np.array([-2, 1, -1, 0, 1], ml_dtypes.int2)
    assert decoded(numpy_helper.from_array(pair)).astype(np.int32).tolist() == [-2, 1, -1, 0, 1]


def test_plain_tensors_are_not_copied_again() -> None:
    found = decoded(numpy_helper.from_array(np.arange(6, dtype=np.float32)))
    assert not found.flags.owndata


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([d for d in NUMERIC if d.numpy.kind in "iufb"]),
    st.lists(st.integers(0, 4), max_size=4),
    st.binary(min_size=0, max_size=64),
)
def test_any_bits_survive_writing_and_reading(dtype: DType, shape: list[int], content: bytes) -> None:
    count = int(np.prod(shape)) if shape else 1
    repeated = (content or b"\0") * (count * dtype.itemsize // max(len(content), 1) + 1)
    array = np.frombuffer(repeated[: count * dtype.itemsize], dtype.numpy).reshape(shape)
    if dtype is DType.BOOL:
        array = array.view(np.uint8) % 2 == 1
    found = decoded(write_tensor(array))
    assert found.tobytes() == array.tobytes()


def test_an_exported_graph_keeps_constants() -> None:
    array = np.arange(3, dtype=np.int32)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    model = model_of(
        [node],
        [tensor_info("x", [3], 6)],
        [tensor_info("y", [3], 6)],
        initializers=[numpy_helper.from_array(array, "w")],
    )
    again = to_onnx(load(model).graph)
    np.testing.assert_array_equal(numpy_helper.to_array(again.graph.initializer[0]), array)
