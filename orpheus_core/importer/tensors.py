"""TensorProto to array, for every place a model can hold a tensor, and back.

The length of the data is checked against dtype and shape before anything is decoded. Ordinary element types are
views of the bytes that were read; packed sub-byte ones are widened to one element a byte, as ml_dtypes holds them.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import onnx

from orpheus_core.errors import LimitError, ModelError
from orpheus_core.importer.external import ExternalData
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.protos import dtype_of
from orpheus_core.importer.reading import settled
from orpheus_core.importer.stored import Stored
from orpheus_core.importer.survey import check_text, shorten
from orpheus_core.types import Array, DType

# Bits an element takes in raw data, where that is not a whole number of bytes.
_BITS = {
    DType.INT4: 4,
    DType.UINT4: 4,
    DType.FLOAT4E2M1: 4,
    DType.INT2: 2,
    DType.UINT2: 2,
    DType.FLOAT6E2M3: 6,
    DType.FLOAT6E3M2: 6,
}
# The typed field that holds an element type, where it is not int32_data, and the dtype of its entries.
_FIELDS: dict[DType, tuple[str, Any]] = {
    DType.FLOAT32: ("float_data", np.float32),
    DType.COMPLEX64: ("float_data", np.float32),
    DType.FLOAT64: ("double_data", np.float64),
    DType.COMPLEX128: ("double_data", np.float64),
    DType.INT64: ("int64_data", np.int64),
    DType.UINT32: ("uint64_data", np.uint64),
    DType.UINT64: ("uint64_data", np.uint64),
}
_ALL_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


class TensorReader:
    """Decodes the tensors of one model; ``external`` finds those kept in other files, ``stored`` those read already."""

    def __init__(self, external: ExternalData, limits: Limits, stored: Stored) -> None:
        self._external = external
        self._stored = stored
        self._limits = limits
        self._sparse_bytes = 0

    def dense(self, proto: onnx.TensorProto, place: str) -> Array:
        """The array of a tensor. Raises ModelError, LimitError or ExternalDataError naming ``place``."""
        name = proto.name
        check_text(place, name)
        place = f"{place}, tensor {shorten(name)!r}" if name else place
        dtype = dtype_of(proto.data_type, place)
        shape = self._shape(proto.dims, dtype, place)
        count = math.prod(shape)
        if proto.HasField("segment"):
            raise ModelError(f"{place}: segmented tensors are not part of any ONNX model; store it whole")
        if proto.data_location == onnx.TensorProto.EXTERNAL or proto.external_data:
            return self._from_external(proto, dtype, shape, place)
        present = [f for f in _ALL_FIELDS if len(getattr(proto, f))]
        if proto.HasField("raw_data"):
            # protobuf copies the bytes out on each access, so it is read once.
            raw = proto.raw_data
            if raw and present:
                raise ModelError(f"{place}: has both raw_data and {present[0]}; keep one")
            if not (present and not raw):
                apart = self._stored.find(raw)
                if apart is None:
                    return _decode(raw, dtype, shape, place)
                # Only the values of floats mean nothing to a graph; others may be sizes, or have to be decoded.
                is_view = dtype.numpy.kind == "f" and sys.byteorder == "little"
                return _decode(apart if is_view else settled(apart), dtype, shape, place)
        return _from_field(proto, dtype, shape, count, present, place)

    def sparse(self, proto: onnx.SparseTensorProto, place: str) -> Array:
        """A sparse tensor written out in full."""
        place = f"{place}, sparse tensor {shorten(proto.values.name)!r}"
        values = self.dense(proto.values, f"{place} values")
        indices = self.dense(proto.indices, f"{place} indices")
        shape = self._shape(proto.dims, DType.from_numpy(values.dtype), place)
        size = math.prod(shape) * values.dtype.itemsize
        self._sparse_bytes += size
        if self._sparse_bytes > self._limits.sparse_bytes:
            raise LimitError(
                f"{place}: sparse tensors need {self._sparse_bytes} bytes in full, the limit is "
                f"{self._limits.sparse_bytes} (Limits.sparse_bytes)"
            )
        if indices.dtype != np.int64 or values.ndim != 1:
            raise ModelError(f"{place}: values must be 1-D and indices int64")
        count = values.shape[0]
        if indices.shape == (count, len(shape)) and len(shape) > 0 and indices.ndim == 2:
            if count and ((indices < 0).any() or (indices >= np.array(shape)).any()):
                raise ModelError(f"{place}: an index lies outside shape {shape}")
            flat = np.ravel_multi_index(tuple(indices.T), shape) if count else np.zeros(0, np.int64)
        elif indices.shape == (count,):
            if count and (indices.min() < 0 or indices.max() >= math.prod(shape)):
                raise ModelError(f"{place}: an index lies outside the {math.prod(shape)} elements")
            flat = indices
        else:
            raise ModelError(
                f"{place}: indices have shape {indices.shape} for {count} values of rank {len(shape)}"
            )
        if count > 1 and not (np.diff(flat) > 0).all():
            raise ModelError(f"{place}: indices must be ascending and without repeats")
        if values.dtype == object:
            dense = np.full(math.prod(shape), "", object)
        else:
            dense = np.zeros(math.prod(shape), values.dtype)
        dense[flat] = values
        return dense.reshape(shape)

    def _shape(self, dims: Any, dtype: DType, place: str) -> tuple[int, ...]:
        if len(dims) > self._limits.rank:
            raise LimitError(f"{place}: rank {len(dims)} is over the limit of {self._limits.rank}")
        shape = tuple(dims)
        if min(shape, default=0) < 0:
            raise ModelError(f"{place}: shape {shape} has a negative dimension")
        # numpy bounds the product of the other dimensions of an empty array too.
        most = math.prod(shape) or math.prod(max(d, 1) for d in shape)
        if most * dtype.itemsize > self._limits.value_bytes:
            raise LimitError(f"{place}: {dtype}{list(shape)} is over {self._limits.value_bytes} bytes")
        return shape

    def _from_external(
        self, proto: onnx.TensorProto, dtype: DType, shape: tuple[int, ...], place: str
    ) -> Array:
        if dtype is DType.STRING:
            raise ModelError(f"{place}: strings cannot be kept as external data")
        if proto.data_location != onnx.TensorProto.EXTERNAL:
            raise ModelError(f"{place}: has external_data but its data_location is not EXTERNAL")
        raw = self._external.read(proto, _raw_bytes(dtype, math.prod(shape)), place)
        return _decode(raw, dtype, shape, place)


def _raw_bytes(dtype: DType, count: int) -> int:
    bits = _BITS.get(dtype)
    return count * dtype.itemsize if bits is None else -(-count * bits // 8)


def _decode(raw: Any, dtype: DType, shape: tuple[int, ...], place: str) -> Array:
    if dtype is DType.STRING:
        raise ModelError(f"{place}: strings must be in string_data, not raw_data")
    count = math.prod(shape)
    expected = _raw_bytes(dtype, count)
    if len(raw) != expected:
        raise ModelError(
            f"{place}: has {len(raw)} bytes of data, {dtype}{list(shape)} needs {expected}; the file is damaged"
        )
    if dtype in _BITS:
        return _unpack(np.frombuffer(raw, np.uint8), _BITS[dtype], count).view(dtype.numpy).reshape(shape)
    if dtype is DType.BOOL:
        # Any byte but 0 and 1 would be an undefined bool.
        return np.asarray(np.frombuffer(raw, np.uint8) != 0).reshape(shape)
    array: Array = np.frombuffer(raw, dtype.numpy)
    if sys.byteorder == "big" and dtype.itemsize > 1:
        array = array.byteswap()
    return array.reshape(shape)


def _unpack(packed: Array, bits: int, count: int) -> Array:
    if bits == 6:
        stream = np.unpackbits(packed, bitorder="little")[: count * 6].reshape(count, 6)
        return np.packbits(stream, axis=1, bitorder="little").reshape(count)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return np.ascontiguousarray(((packed[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[:count])


def _from_field(
    proto: onnx.TensorProto,
    dtype: DType,
    shape: tuple[int, ...],
    count: int,
    present: list[str],
    place: str,
) -> Array:
    field, entry = (
        ("string_data", object) if dtype is DType.STRING else _FIELDS.get(dtype, ("int32_data", np.int32))
    )
    if present and present != [field]:
        raise ModelError(f"{place}: {dtype} belongs in {field}, but data is in {', '.join(present)}")
    data = getattr(proto, field)
    packed = dtype in _BITS and _BITS[dtype] != 6
    entries = count * (2 if dtype in (DType.COMPLEX64, DType.COMPLEX128) else 1)
    entries = _raw_bytes(dtype, count) if packed else entries
    if len(data) != entries:
        raise ModelError(
            f"{place}: {field} has {len(data)} entries, {dtype}{list(shape)} needs {entries}; the file is damaged"
        )
    if dtype is DType.STRING:
        return _strings(data, shape, place)
    array: Array = np.array(data, dtype=entry)
    if dtype in (DType.COMPLEX64, DType.COMPLEX128):
        return array.view(dtype.numpy).reshape(shape)
    if dtype in _BITS:
        low = array.astype(np.uint8)
        wide = _unpack(low, _BITS[dtype], count) if packed else low & 0x3F
        return wide.view(dtype.numpy).reshape(shape)
    if dtype is DType.BOOL:
        return np.asarray(array != 0).reshape(shape)
    if field == "int32_data" and dtype.numpy.kind not in "iu":
        # Floats of 8 and 16 bits are stored as their bit patterns.
        bits: Any = np.uint8 if dtype.itemsize == 1 else np.uint16
        return array.astype(bits).view(dtype.numpy).reshape(shape)
    return array.astype(dtype.numpy).reshape(shape)


def _strings(data: Any, shape: tuple[int, ...], place: str) -> Array:
    array = np.empty(len(data), object)
    for index, text in enumerate(data):
        try:
            array[index] = text.decode()
        except UnicodeDecodeError:
            raise ModelError(f"{place}: string {index} is not UTF-8") from None
    return array.reshape(shape)


def write_tensor(array: Array, name: str = "") -> onnx.TensorProto:
    """The TensorProto of an array."""
    dtype = DType.from_numpy(array.dtype)
    proto = onnx.TensorProto(name=name, data_type=dtype.onnx, dims=array.shape)
    if dtype is DType.STRING:
        proto.string_data.extend(
            s if isinstance(s, bytes) else str(s).encode() for s in array.reshape(-1).tolist()
        )
    elif dtype in _BITS:
        proto.raw_data = _pack(np.ascontiguousarray(array).reshape(-1).view(np.uint8), _BITS[dtype])
    else:
        proto.raw_data = (
            np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        )
    return proto


def _pack(wide: Array, bits: int) -> bytes:
    stream = np.unpackbits(wide.reshape(-1, 1), axis=1, bitorder="little", count=bits).reshape(-1)
    return np.packbits(stream, bitorder="little").tobytes()
