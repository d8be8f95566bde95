"""Memory that libraries share through DLPack: reading another's tensor, and lending one's own.

By ``dlpack.h`` 1.1 (github.com/dmlc/dlpack) and Python's side of it (data-apis.org/array-api, "Data interchange"). A
capsule that is only read stays whole, so it keeps the memory until it is dropped.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from orpheus_core.types import Array, DType

#: Kinds of devices by number, and those of them whose memory the host reads.
KINDS = {
    1: "cpu", 2: "cuda", 3: "cuda_host", 4: "opencl", 7: "vulkan", 8: "metal", 9: "vpi", 10: "rocm", 11: "rocm_host",
    12: "ext_dev", 13: "cuda_managed", 14: "oneapi", 15: "webgpu", 16: "hexagon", 17: "maia",
}  # fmt: skip
ON_HOST = frozenset((1, 3, 11, 13))
_READ_ONLY = 1

#: Code and bits of an element type.
_CODES = {
    **{t: (0, 8 * t.itemsize) for t in (DType.INT8, DType.INT16, DType.INT32, DType.INT64)},
    **{t: (1, 8 * t.itemsize) for t in (DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64)},
    **{t: (2, 8 * t.itemsize) for t in (DType.FLOAT16, DType.FLOAT32, DType.FLOAT64)},
    DType.BFLOAT16: (4, 16), DType.COMPLEX64: (5, 64), DType.COMPLEX128: (5, 128), DType.BOOL: (6, 8),
    DType.FLOAT8E4M3FN: (10, 8), DType.FLOAT8E4M3FNUZ: (11, 8), DType.FLOAT8E5M2: (12, 8),
    DType.FLOAT8E5M2FNUZ: (13, 8), DType.FLOAT8E8M0: (14, 8),
}  # fmt: skip
_TYPES = {code: dtype for dtype, code in _CODES.items()}
#: Of numpy's own types one of so many bytes.
_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}


@dataclass(frozen=True, eq=False)
class Tensor:
    """Memory at ``pointer`` on ``device`` (kind and index), for as long as ``owner`` lives; ``strides`` in elements."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    device: tuple[int, int]
    read_only: bool
    owner: Any

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie one after the other, the last axis innermost."""
        inner = [prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        return 0 in self.shape or all(n == 1 or s == i for n, s, i in zip(self.shape, self.strides, inner))

    @property
    def __array_interface__(self) -> dict[str, Any]:
        size = self.dtype.itemsize
        return {"data": (self.pointer, self.read_only), "shape": self.shape, "typestr": f"|V{size}",
                "strides": tuple(s * size for s in self.strides), "version": 3}  # fmt: skip


def device_of(value: Any) -> tuple[int, int]:
    """Kind and index of the device on which an object with ``__dlpack__`` lies."""
    kind, index = value.__dlpack_device__()
    return int(kind), int(index)


def device_name(device: tuple[int, int]) -> str:
    """``cuda:1``."""
    kind, index = device
    return f"{KINDS.get(kind, f'device kind {kind}')}:{index}"


def host_array(value: Any) -> Array:
    """The host's memory of an object with ``__dlpack__`` as an array; BufferError says why not."""
    try:
        found: Array = np.from_dlpack(value)
        return found
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if device_of(value)[0] not in ON_HOST:
            raise BufferError(str(error)) from None
        shared = read(value, None)  # bfloat16 and other types that numpy alone does not have
        array: Array = np.asarray(shared).view(shared.dtype)
        return array


def read(value: Any, stream: int | None) -> Tensor:
    """What an object with ``__dlpack__`` lends; its work is done before what is queued on ``stream`` from now on.

    Raises BufferError for an element type that ONNX has not, or as the object says it.
    """
    given = {} if stream is None else {"stream": stream}
    try:
        try:
            capsule = value.__dlpack__(max_version=(1, 1), **given)
        except TypeError:  # it is older than that argument
            capsule = value.__dlpack__(**given)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BufferError(str(error)) from error
    return _described(capsule)


def _described(capsule: Any) -> Tensor:
    told, read_only = _told(capsule)
    code, bits, lanes = told.code, told.bits, told.lanes
    if lanes != 1 or (code, bits) not in _TYPES:
        raise BufferError(
            f"its element type (DLPack code {code}, {bits} bits, {lanes} lanes) is none of ONNX's"
        )
    shape = tuple(told.shape[: told.ndim])
    packed = tuple(prod(shape[axis + 1 :]) for axis in range(told.ndim))
    strides = tuple(told.strides[: told.ndim]) if told.strides and told.ndim else packed
    pointer = (told.data or 0) + told.offset
    dtype = _TYPES[code, bits].numpy
    return Tensor(pointer, shape, strides, dtype, (told.kind, told.index), read_only, capsule)


def lend(tensor: Tensor, *, versioned: bool) -> Any:
    """A capsule of contiguous memory, which keeps the tensor until whoever takes it lets go; BufferError for its type.

    It is numpy's own, told another device and type: so nothing of it needs an interpreter that still runs, and no
    Python is called where an exception may be under way.
    """
    kind = DType.from_numpy(tensor.dtype)
    if kind not in _CODES:
        raise BufferError(f"DLPack has no element type for {kind}")
    stand_in: Array = np.asarray(tensor).view(_WORDS[tensor.dtype.itemsize])  # numpy looks at no element
    if versioned and np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        capsule: Any = stand_in.__dlpack__(max_version=(1, 0))
    else:
        capsule = stand_in.__dlpack__()
    told = _told(capsule)[0]
    (told.kind, told.index), (told.code, told.bits) = tensor.device, _CODES[kind]
    return capsule


class _Plain(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("kind", ctypes.c_int32), ("index", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )  # fmt: skip


class _Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("tensor", _Plain), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _Plain),
    )  # fmt: skip


_OLD, _NEW = b"dltensor", b"dltensor_versioned"
_api = ctypes.pythonapi
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))


def _told(capsule: Any) -> tuple[Any, bool]:
    """The DLTensor inside a capsule that nobody has used yet, and whether it may only be read."""
    if _is_valid(capsule, _NEW):
        new = ctypes.cast(_get(capsule, _NEW), ctypes.POINTER(_Versioned)).contents
        if new.major > 1:
            raise BufferError(f"it speaks DLPack {new.major}.{new.minor}, Orpheus speaks 1")
        return new.tensor, bool(new.flags & _READ_ONLY)
    if _is_valid(capsule, _OLD):
        return ctypes.cast(_get(capsule, _OLD), ctypes.POINTER(_Managed)).contents.tensor, False
    raise BufferError(f"__dlpack__ gives no capsule that is unused, but {capsule!r}")
