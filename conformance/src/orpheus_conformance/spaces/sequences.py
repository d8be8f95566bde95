"""Sequences and optionals: values that hold tensors. Equal bits."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Literal, Maybe, Operand, Sequence
from orpheus_conformance.draw import DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import MOVEMENT
from orpheus_core.types import DType

_DTYPES = (
    "float32", "int64", "float64", "float16", "bool", "string", "int32", "int8", "int16", "uint8", "uint16",
    "uint32", "uint64", "complex64", "complex128",
)  # fmt: skip


def _dtype(d: Draw, name: str) -> str:
    """An element type of a sequence: those of every version of the sequence operators."""
    return d.among(f"{name}.dtype", _DTYPES)


def _tensors(d: Draw, name: str, dtype: str, count: int) -> tuple[Operand, ...]:
    """Tensors of different ranks and sizes."""
    return tuple(
        d.tensor(name, dtype, [d.choose(DIMS) for _ in range(d.choose((1, 0, 2, 3)))], constant=False)
        for _ in range(count)
    )


def sequence(d: Draw, name: str, least: int = 0) -> Sequence:
    """A sequence of up to four tensors, empty ones included."""
    dtype = _dtype(d, name)
    count = d.choose([n for n in (2, 1, 3, 0, 4) if n >= least])
    return Sequence(dtype, _tensors(d, name, dtype, count))


def _position(d: Draw, size: int) -> Operand:
    """A position from either end of ``size`` places."""
    kind = d.among("position.dtype", ("int64", "int32"))
    return d.data("position", kind, d.choose([*range(size), *range(-size, 0)]))


@space("Identity", MOVEMENT)
def identity(d: Draw) -> Layer:
    """Tensors; and where the kernel takes them (V is not narrowed to tensors), sequences and optionals."""
    name = d.spec.input_names[0]
    tensor = d.tensor(name, d.dtype_of(0), d.shape(name, (1, 2, 0, 3, 4, 5)))
    if d.version < 16 or d.narrowed("V") or d.choose(("tensor", "tensor", "other")) == "tensor":
        return Layer((tensor,))
    value = _value(d, name)
    held = d.choose((value, Maybe(_literal(value), value), Maybe(_literal(value))))
    return Layer((tensor if isinstance(held, Operand) else held,))


@space("SequenceConstruct", MOVEMENT)
def sequence_construct(d: Draw) -> Layer:
    """One to four tensors of one element type."""
    return Layer(_tensors(d, "inputs", d.dtype("T"), d.choose((2, 1, 3, 4))))


@space("SequenceEmpty", MOVEMENT)
def sequence_empty(d: Draw) -> Layer:
    """Every element type; float32 when none is named."""
    return Layer((), {"dtype": d.attribute("dtype", (OMIT, *(DType(t).onnx for t in _DTYPES)))})


@space("SequenceAt", MOVEMENT)
def sequence_at(d: Draw) -> Layer:
    """Any element, from either end."""
    given = sequence(d, "input_sequence", 1)
    return Layer((given, _position(d, len(given.elements))))


@space("SequenceInsert", MOVEMENT)
def sequence_insert(d: Draw) -> Layer:
    """Before any element, at the end, into an empty sequence."""
    given = sequence(d, "input_sequence")
    (tensor,) = _tensors(d, "tensor", given.dtype, 1)
    size = len(given.elements)
    if d.flag():
        return Layer((given, tensor))
    place = d.choose([*range(size + 1), *range(-size, 0)])
    return Layer((given, tensor, d.data("position", d.among("position.dtype", ("int64", "int32")), place)))


@space("SequenceErase", MOVEMENT)
def sequence_erase(d: Draw) -> Layer:
    """Any element, or the last one."""
    given = sequence(d, "input_sequence", 1)
    return Layer((given,) if d.flag() else (given, _position(d, len(given.elements))))


@space("SequenceLength", MOVEMENT)
def sequence_length(d: Draw) -> Layer:
    """Empty sequences included."""
    return Layer((sequence(d, "input_sequence"),))


@space("SplitToSequence", MOVEMENT)
def split_to_sequence(d: Draw) -> Layer:
    """Chunks of one size, of given sizes, or single slices that keep the axis or lose it."""
    shape = list(d.shape("input", (2, 1, 3)))
    axis = d.axis(len(shape))
    attributes: dict[str, Any] = {"axis": d.maybe("axis", axis, 0)}
    kind = d.dtype("I")
    form = d.choose(("none", "size", "sizes"))
    split = None
    if form == "none":
        attributes["keepdims"] = d.attribute("keepdims", (1, OMIT, 0))
    elif form == "size":
        split = d.data("split", kind, d.choose((1, 2, 3, 10)))
    else:
        sizes = [d.choose((1, 2, 3, 0)) for _ in range(d.choose((2, 1, 3)))]
        shape[axis] = sum(sizes)
        split = d.data("split", kind, sizes)
    return Layer((d.tensor("input", d.dtype("T"), shape), split), attributes)


@space("ConcatFromSequence", MOVEMENT)
def concat_from_sequence(d: Draw) -> Layer:
    """Tensors that agree in all axes but one, or in all when they are stacked."""
    dtype = _dtype(d, "input_sequence")
    new = d.attribute("new_axis", (0, OMIT, 1))
    shape = [d.choose(DIMS) for _ in range(d.choose((2, 1, 3)))]
    rank = len(shape) + (new == 1)
    axis = d.axis(rank)
    elements = []
    for _ in range(d.choose((2, 1, 3))):
        own = list(shape)
        if new != 1:
            own[axis] = d.choose((1, 2, 3, 0))
        elements.append(d.tensor("input_sequence", dtype, own, constant=False))
    return Layer((Sequence(dtype, tuple(elements)),), {"axis": axis, "new_axis": new})


def _value(d: Draw, name: str) -> Operand | Sequence:
    dtype = d.among(f"{name}.dtype", _DTYPES)
    (tensor,) = _tensors(d, name, dtype, 1)
    options: tuple[Operand | Sequence, ...] = (
        tensor,
        Sequence(dtype, _tensors(d, name, dtype, d.choose((2, 1, 0)))),
    )
    return d.choose(options)


@space("Optional", MOVEMENT)
def optional(d: Draw) -> Layer:
    """A tensor, a sequence, or nothing of a given type."""
    if d.flag():
        return Layer((_value(d, "input"),))
    dtype = d.among("input.dtype", _DTYPES)
    return Layer((), {"type": Literal(d.choose((f"tensor {dtype}", f"sequence tensor {dtype}")))})


@space("OptionalGetElement", MOVEMENT)
def optional_get_element(d: Draw) -> Layer:
    """A tensor or sequence as such, and one that an optional holds."""
    value = _value(d, "input")
    return Layer((d.choose((value, Maybe(_literal(value), value))),))


@space("OptionalHasElement", MOVEMENT)
def optional_has_element(d: Draw) -> Layer:
    """No input, an empty optional, a full one, and values that are no optional."""
    if d.flag():
        return Layer(())
    value = _value(d, "input")
    return Layer((d.choose((value, Maybe(_literal(value), value), Maybe(_literal(value)))),))


def _literal(value: Operand | Sequence) -> str:
    return f"sequence tensor {value.dtype}" if isinstance(value, Sequence) else f"tensor {value.dtype}"
