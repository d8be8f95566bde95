"""Checking what a caller feeds: names, element types, ranks, shapes, symbols; each refusal names what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from orpheus_core import dlpack
from orpheus_core.errors import InputError, LimitError
from orpheus_core.graph import Value
from orpheus_core.types import DType, MapType, OptionalType, SequenceType, TensorType, UnknownType, ValueType

#: Takes a name and a tensor on a device; gives a DeviceArray, or raises InputError.
Borrow: TypeAlias = Callable[[str, Any], Any]


def check_feeds(
    inputs: Sequence[Value], optional: Iterable[Value], feeds: Mapping[str, Any], borrow: Borrow | None = None
) -> dict[Value, Any]:
    """Feeds by graph input, arrays made of anything that speaks DLPack; what lies on a device by ``borrow``.

    ``optional`` inputs may be missing. Raises InputError for a name that is not an input, one that is missing, or
    a value of another element type, rank or shape than declared; LimitError when memory ends as one is converted.
    """
    if not isinstance(feeds, Mapping):
        raise InputError(f"feeds must be a mapping of input name to array, not {type(feeds).__name__}")
    by_name = {v.name: v for v in inputs}
    for name in feeds:
        if name not in by_name:
            near = [n for n in by_name if n.casefold() == str(name).casefold()]
            near = near or difflib.get_close_matches(str(name), by_name, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"the model has no input {name!r}; its inputs are {signature(inputs)}{hint}")
    may_miss = set(optional)
    missing = [v for v in inputs if v.name not in feeds and v not in may_miss]
    if missing:
        raise InputError(
            f"missing input {signature(missing)}; given: {', '.join(map(repr, feeds)) or 'none'}"
        )
    symbols: dict[str, tuple[int, str]] = {}
    return {v: check_value(v.name, v.type, feeds[v.name], symbols, borrow) for v in inputs if v.name in feeds}


def signature(values: Iterable[Value]) -> str:
    """``'x': float32[1,3,N,N], 'n': int64[]``."""
    return ", ".join(f"{v.name!r}: {v.type}" for v in values) or "none"


def check_value(
    name: str,
    declared: ValueType,
    value: Any,
    symbols: dict[str, tuple[int, str]],
    borrow: Borrow | None = None,
) -> Any:
    """The value ready to run, or InputError. ``symbols`` remembers the size each symbolic dimension took."""
    if isinstance(declared, TensorType):
        return _check_tensor(name, declared, as_array(name, value, borrow), symbols)
    if isinstance(declared, SequenceType):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"input {name!r} must be a list ({declared}), not {type(value).__name__}")
        return [check_value(f"{name}[{i}]", declared.element, v, {}) for i, v in enumerate(value)]
    if isinstance(declared, OptionalType):
        return None if value is None else check_value(name, declared.element, value, symbols)
    if isinstance(declared, MapType):
        if not isinstance(value, Mapping):
            raise InputError(f"input {name!r} must be a dict ({declared}), not {type(value).__name__}")
        return dict(value)
    assert isinstance(declared, UnknownType)
    return value


def as_array(name: str, value: Any, borrow: Borrow | None = None) -> Any:
    """The value as a numpy array, through DLPack if it is another library's; InputError otherwise.

    What does not lie on the host is for ``borrow``.
    """
    if type(value) is np.ndarray:
        return value
    if isinstance(value, (np.ndarray, np.generic)):  # a subclass may compute otherwise than an array
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        try:
            if borrow is not None and dlpack.device_of(value)[0] not in dlpack.ON_HOST:
                return borrow(name, value)
            return dlpack.host_array(value)
        except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"input {name!r}: numpy cannot take this {type(value).__name__} through DLPack: {error}; give it in"
                " host memory, in an element type that ONNX has, or as a numpy array"
            ) from error
    raise InputError(
        f"input {name!r} must be a numpy array or support DLPack, not {type(value).__name__}; wrap it in"
        " numpy.asarray(value, dtype=...)"
    )


def _check_tensor(name: str, declared: TensorType, array: Any, symbols: dict[str, tuple[int, str]]) -> Any:
    try:
        actual = DType.from_numpy(array.dtype)
    except ValueError as error:
        raise InputError(f"input {name!r}: {error}; expected {declared}") from None
    if actual is not declared.dtype:
        raise InputError(f"input {name!r} has element type {actual}, expected {declared.dtype} ({declared})")
    try:
        if actual is DType.STRING and array.dtype != object:
            array = array.astype(object)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
    except MemoryError as error:
        raise LimitError(f"out of memory while input {name!r} was converted: {error}".rstrip(": ")) from None
    if declared.shape is None:
        return array
    if array.ndim != len(declared.shape):
        raise InputError(
            f"input {name!r} has rank {array.ndim} (shape {list(array.shape)}), expected rank"
            f" {len(declared.shape)}: {declared}"
        )
    for axis, (size, expected) in enumerate(zip(array.shape, declared.shape)):
        if isinstance(expected, int) and size != expected:
            raise InputError(
                f"input {name!r} has shape {list(array.shape)}, expected {declared}: dimension {axis} must be"
                f" {expected}, not {size}"
            )
        if isinstance(expected, str):
            known, where = symbols.setdefault(expected, (size, name))
            if known != size:
                raise InputError(
                    f"input {name!r} has shape {list(array.shape)}: dimension {axis} is {expected!r}, which is"
                    f" {known} in input {where!r}"
                )
    return array
