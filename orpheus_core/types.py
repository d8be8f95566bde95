"""The ground floor: element types, devices, layouts, and the types of values.

Nothing here imports another module of Orpheus, and every class is plain, frozen data.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache, cached_property, lru_cache
from typing import Any, TypeAlias, Union

import ml_dtypes
import numpy as np

#: A dimension: a number, a symbol that is equal wherever it appears, or None (unknown).
Dim: TypeAlias = Union[int, str, None]
#: Any numpy array; Orpheus checks element types at run time, not in the type checker.
Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


class DType(Enum):
    """Element types of ONNX (``TensorProto.DataType``); the value is the numpy name.

    Sub-byte types are held one element a byte, as ml_dtypes does.
    """

    FLOAT32 = "float32"
    UINT8 = "uint8"
    INT8 = "int8"
    UINT16 = "uint16"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    STRING = "string"
    BOOL = "bool"
    FLOAT16 = "float16"
    FLOAT64 = "float64"
    UINT32 = "uint32"
    UINT64 = "uint64"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    BFLOAT16 = "bfloat16"
    FLOAT8E4M3FN = "float8_e4m3fn"
    FLOAT8E4M3FNUZ = "float8_e4m3fnuz"
    FLOAT8E5M2 = "float8_e5m2"
    FLOAT8E5M2FNUZ = "float8_e5m2fnuz"
    UINT4 = "uint4"
    INT4 = "int4"
    FLOAT4E2M1 = "float4_e2m1fn"
    FLOAT8E8M0 = "float8_e8m0fnu"
    UINT2 = "uint2"
    INT2 = "int2"
    FLOAT6E2M3 = "float6_e2m3fn"
    FLOAT6E3M2 = "float6_e3m2fn"

    # Members are equal only to themselves; Enum's own hash is that of the name, worked out in Python.
    __hash__ = object.__hash__

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype that holds one element (``object`` for strings)."""
        if self is DType.STRING:
            return np.dtype(object)
        extension = getattr(ml_dtypes, self.value, None)
        found: np.dtype[Any] = np.dtype(self.value if extension is None else extension)
        return found

    @cached_property
    def onnx(self) -> int:
        """The number of this type in ``onnx.TensorProto.DataType``."""
        return _DTYPE_ORDER.index(self) + 1

    @property
    def itemsize(self) -> int:
        """Bytes an element takes in memory (8, a pointer, for strings)."""
        return self.numpy.itemsize

    @cached_property
    def is_float(self) -> bool:
        """Whether this is a real floating-point type of any width."""
        return self.value.startswith(("float", "bfloat"))

    @classmethod
    def from_onnx(cls, number: int) -> DType:
        """The type that ``TensorProto.DataType`` numbers ``number``; ValueError if there is none."""
        if not 1 <= number <= len(_DTYPE_ORDER):
            raise ValueError(f"{number} is not an ONNX element type (1 to {len(_DTYPE_ORDER)})")
        return _DTYPE_ORDER[number - 1]

    @classmethod
    def from_numpy(cls, dtype: np.dtype[Any] | type[Any]) -> DType:
        """The ONNX type of a numpy dtype; ValueError if ONNX has none."""
        return _from_numpy(np.dtype(dtype))

    def __str__(self) -> str:
        return self.value


@cache
def _from_numpy(dtype: np.dtype[Any]) -> DType:
    # Cached: numpy builds a dtype's name anew each time it is asked, and every feed of every run asks.
    if dtype.kind in "OUST":
        return DType.STRING
    try:
        return DType(dtype.name)
    except ValueError:
        raise ValueError(f"ONNX has no element type for numpy's {dtype}") from None


# Declared above in the order of TensorProto.DataType, which starts at 1 (FLOAT).
_DTYPE_ORDER: tuple[DType, ...] = tuple(DType)


@dataclass(frozen=True, slots=True)
class Device:
    """Where memory lives: a kind that a plugin's runtime owns, and which one of that kind."""

    kind: str = "cpu"
    index: int = 0

    def __hash__(self) -> int:
        return hash(self.kind)  # asked for wherever places are compared; few share a kind

    def __str__(self) -> str:
        return self.kind if self.index == 0 else f"{self.kind}:{self.index}"


CPU = Device()


@dataclass(frozen=True)
class Layout:
    """How a tensor's logical shape is laid out in memory.

    ``name`` is ``"plain"`` (row-major, ONNX's own axis order), or the field's usual word: a
    permutation of axes (``NHWC``) or a blocked form (``NCHW16c``: axis 1 is split into blocks of
    16 that become the innermost axis, the last block padded with zeros).
    """

    name: str = "plain"

    @cached_property
    def block(self) -> int:
        """Channels in a block, 1 when the layout is not blocked."""
        match = re.fullmatch(r"NC[DHW]*?(\d+)c", self.name)
        return int(match.group(1)) if match else 1

    @cached_property
    def permutation(self) -> tuple[int, ...] | None:
        """Axis order in memory, for layouts such as ``NHWC``; None when it is ONNX's own."""
        order = {"NWC": (0, 2, 1), "NHWC": (0, 2, 3, 1), "NDHWC": (0, 2, 3, 4, 1)}
        return order.get(self.name)

    def physical_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The array shape in memory of a tensor whose logical shape is ``shape``.

        Raises ValueError when the layout does not fit the rank.
        """
        if self.name == "plain":
            return shape
        if self.permutation is not None:
            if len(shape) != len(self.permutation):
                raise ValueError(f"layout {self.name} needs rank {len(self.permutation)}, shape is {shape}")
            return tuple(shape[axis] for axis in self.permutation)
        if self.block == 1 or len(shape) != len(re.sub(r"\d+c$", "", self.name)):
            raise ValueError(f"layout {self.name} does not fit shape {shape}")
        return (shape[0], -(-shape[1] // self.block), *shape[2:], self.block)

    def fits(self, rank: int) -> bool:
        """Whether a tensor of this rank can lie so."""
        return _fits(self.name, rank)

    def __str__(self) -> str:
        return self.name


@cache
def _fits(name: str, rank: int) -> bool:
    try:
        Layout(name).physical_shape((1,) * rank)
    except ValueError:
        return False
    return True


PLAIN = Layout()


@cache
def layout_of(name: str) -> Layout:
    """The layout of this name, one object for all who ask, so that its name is read once."""
    return Layout(name)


@dataclass(frozen=True)
class TensorType:
    """Type of a tensor: element type, logical shape, layout in memory, device.

    ``shape`` is None when even the rank is unknown. Sizes count elements of the logical shape.
    """

    dtype: DType
    shape: tuple[Dim, ...] | None = None
    layout: Layout = field(default=PLAIN)
    device: Device = field(default=CPU)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # types are keys wherever layers are compared
        return hash((self.dtype, self.shape, self.layout, self.device))

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the hash, which is another one in another process.
        return TensorType, (self.dtype, self.shape, self.layout, self.device)

    @cached_property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape when every dimension is a number, else None."""
        for dim in self.shape or ():
            if not isinstance(dim, int):
                return None
        return self.shape  # type: ignore[return-value]

    @property
    def is_static(self) -> bool:
        """Whether every dimension is a number."""
        return self.static_shape is not None

    @property
    def rank(self) -> int | None:
        """Number of dimensions, or None when unknown."""
        return None if self.shape is None else len(self.shape)

    @property
    def size(self) -> int | None:
        """Number of elements, or None when a dimension is unknown."""
        return None if self.static_shape is None else math.prod(self.static_shape)

    @property
    def nbytes(self) -> int | None:
        """Bytes in memory, layout padding included, or None when a dimension is unknown."""
        if self.static_shape is None:
            return None
        return math.prod(self.layout.physical_shape(self.static_shape)) * self.dtype.itemsize

    def with_shape(self, shape: tuple[Dim, ...] | None) -> TensorType:
        """The same type with another logical shape."""
        return replace(self, shape=shape)

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ",".join("?" if d is None else str(d) for d in self.shape)
        where = "" if self.device == CPU else f"@{self.device}"
        layout = "" if self.layout == PLAIN else f" {self.layout}"
        return f"{self.dtype}[{shape}]{layout}{where}"


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A list whose elements all have type ``element``."""

    element: ValueType

    def __str__(self) -> str:
        return f"seq({self.element})"


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A value of type ``element``, or nothing (None)."""

    element: ValueType

    def __str__(self) -> str:
        return f"optional({self.element})"


@dataclass(frozen=True, slots=True)
class MapType:
    """A dictionary (``ai.onnx.ml`` only)."""

    key: DType
    value: ValueType

    def __str__(self) -> str:
        return f"map({self.key},{self.value})"


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A value whose type inference could not tell; legal inside a graph, never for its inputs."""

    def __str__(self) -> str:
        return "?"


UNKNOWN = UnknownType()
ValueType: TypeAlias = Union[TensorType, SequenceType, OptionalType, MapType, UnknownType]


def type_of_array(array: Any) -> TensorType:
    """The plain host type of what has a shape and a dtype of numpy's."""
    return _plain_type(array.dtype, array.shape)


@lru_cache(maxsize=4096)  # one object for equal types, so that what follows from it is worked out once
def _plain_type(dtype: np.dtype[Any], shape: tuple[int, ...]) -> TensorType:
    return TensorType(DType.from_numpy(dtype), shape)
