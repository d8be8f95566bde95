"""Integer vectors at compile time, element by element: a number, a symbol of some shape, or unknown.

A symbol stands for a dimension, so it is never negative and equals itself wherever it appears.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orpheus_core.graph import Node, Value
from orpheus_core.passes.match import ints_of, is_given, rank_of, shape_of
from orpheus_core.types import Dim, DType, TensorType

#: Vectors longer than this are not followed.
LARGEST = 64
_INTEGER = (DType.INT64, DType.INT32, DType.BOOL)


@dataclass(frozen=True)
class Vector:
    """A one-dimensional value, or with ``is_scalar`` a zero-dimensional one of a single item."""

    items: tuple[Dim, ...]
    is_scalar: bool = False

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """The items when all of them are numbers."""
        numbers = tuple(d for d in self.items if isinstance(d, int))
        return numbers if len(numbers) == len(self.items) else None


class Symbols:
    """What is known of integer values; nodes are to be offered in topological order."""

    def __init__(self) -> None:
        self._known: dict[Value, Vector] = {}

    def of(self, value: Value | None) -> Vector | None:
        """What is known of a value, constants included."""
        if value is None or value.const is None:
            return None if value is None else self._known.get(value)
        array = value.const
        if array.ndim > 1 or array.size > LARGEST or array.dtype.kind not in "iub":
            return None
        return Vector(tuple(int(d) for d in array.reshape(-1)), array.ndim == 0)

    def follow(self, node: Node) -> Vector | None:
        """Note and return what is known of the node's only output."""
        rule = _RULES.get(node.op)
        if rule is None or node.domain or len(node.outputs) != 1 or node.outputs[0] is None:
            return None
        type_ = node.outputs[0].type
        if not isinstance(type_, TensorType) or type_.dtype not in _INTEGER:
            return None
        result = rule(node, self)
        if result is None or len(result.items) > LARGEST:
            return None
        self._known[node.outputs[0]] = result
        return result


def _shape(node: Node, symbols: Symbols) -> Vector | None:
    shape = shape_of(node.input(0))
    start: Any = node.attributes.get("start", 0)
    end: Any = node.attributes.get("end")
    return None if shape is None else Vector(shape[start:end])


def _size(node: Node, symbols: Symbols) -> Vector | None:
    shape = shape_of(node.input(0))
    return None if shape is None else Vector((_fold(_multiply, shape, 1),), is_scalar=True)


def _same(node: Node, symbols: Symbols) -> Vector | None:
    return symbols.of(node.input(0))


def _gather(node: Node, symbols: Symbols) -> Vector | None:
    data, indices = symbols.of(node.input(0)), symbols.of(node.input(1))
    if data is None or data.is_scalar or indices is None or indices.numbers is None:
        return None
    size = len(data.items)
    if not all(-size <= i < size for i in indices.numbers):
        return None
    return Vector(tuple(data.items[i] for i in indices.numbers), indices.is_scalar)


def _slice(node: Node, symbols: Symbols) -> Vector | None:
    data = symbols.of(node.input(0))
    starts, ends = ints_of(node, 1, "starts"), ints_of(node, 2, "ends")
    steps = ints_of(node, 4, None) if is_given(node, 4, None) else (1,)
    if data is None or data.is_scalar or starts is None or ends is None or steps is None:
        return None
    if len(starts) != 1 or len(ends) != 1 or steps[0] < 1:
        return None
    return Vector(data.items[starts[0] : ends[0] : steps[0]])


def _concat(node: Node, symbols: Symbols) -> Vector | None:
    items: list[Dim] = []
    for value in node.inputs:
        part = symbols.of(value)
        if part is None:
            # The count of unknown items is still known from the type.
            shape = shape_of(value)
            if shape is None or len(shape) != 1 or not isinstance(shape[0], int) or shape[0] > LARGEST:
                return None
            part = Vector((None,) * shape[0])
        items += part.items
    return Vector(tuple(items))


def _ranked(node: Node, symbols: Symbols) -> Vector | None:
    """Squeeze, Unsqueeze and Reshape between a scalar and a vector."""
    data, rank = symbols.of(node.input(0)), rank_of(node.outputs[0])
    if data is None or rank is None or rank > 1:
        return None
    return Vector(data.items, rank == 0)


def _filled(node: Node, symbols: Symbols) -> Vector | None:
    shape = symbols.of(node.input(0))
    fill: Any = node.attributes.get("value")
    if shape is None or shape.numbers is None or len(shape.items) > 1 or fill is None:
        return None
    count = shape.numbers[0] if shape.numbers else 1
    if not 0 <= count <= LARGEST:
        return None
    return Vector((int(fill.reshape(-1)[0]),) * count, not shape.numbers)


def _where(node: Node, symbols: Symbols) -> Vector | None:
    parts = [symbols.of(v) for v in node.inputs]
    if any(p is None for p in parts) or len(parts) != 3:
        return None
    spread = _spread([p for p in parts if p is not None])
    if spread is None:
        return None
    condition, x, y = spread
    items = tuple(
        (a if c else b) if isinstance(c, int) else a if a is not None and a == b else None
        for c, a, b in zip(condition, x, y)
    )
    return Vector(items, all(p is not None and p.is_scalar for p in parts))


def _reduced(operation: Callable[[Dim, Dim], Dim], unit: int) -> Callable[[Node, Symbols], Vector | None]:
    def rule(node: Node, symbols: Symbols) -> Vector | None:
        data = symbols.of(node.input(0))
        if data is None or data.is_scalar or node.attributes.get("noop_with_empty_axes"):
            return None
        return Vector((_fold(operation, data.items, unit),), not node.attributes.get("keepdims", 1))

    return rule


def _elementwise(operation: Callable[[Dim, Dim], Dim]) -> Callable[[Node, Symbols], Vector | None]:
    def rule(node: Node, symbols: Symbols) -> Vector | None:
        a, b = symbols.of(node.input(0)), symbols.of(node.input(1))
        spread = None if a is None or b is None or node.version < 7 else _spread([a, b])
        if spread is None or a is None or b is None:
            return None
        return Vector(tuple(map(operation, *spread)), a.is_scalar and b.is_scalar)

    return rule


def _spread(parts: Sequence[Vector]) -> list[tuple[Dim, ...]] | None:
    """The items of all parts, broadcast to one length."""
    lengths = {len(p.items) for p in parts} - {1}
    if len(lengths) > 1:
        return None
    length = lengths.pop() if lengths else 1
    return [p.items * length if len(p.items) == 1 else p.items for p in parts]


def _fold(operation: Callable[[Dim, Dim], Dim], items: Sequence[Dim], unit: int) -> Dim:
    result: Dim = unit
    for item in items:
        result = operation(result, item)
    return result


def _add(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return a if b == 0 else b if a == 0 else None


def _subtract(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a - b
    return 0 if a is not None and a == b else a if b == 0 else None


def _multiply(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return 0 if a == 0 or b == 0 else a if b == 1 else b if a == 1 else None


def _divide(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return None if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a if b == 1 else None


def _equal(a: Dim, b: Dim) -> Dim:
    if a is None or b is None:
        return None
    if isinstance(a, int) == isinstance(b, int):
        # Two different symbols may still be equal.
        return int(a == b) if isinstance(a, int) or a == b else None
    number = a if isinstance(a, int) else b
    return 0 if isinstance(number, int) and number < 0 else None


_RULES: Mapping[str, Callable[[Node, Symbols], Vector | None]] = {
    "Shape": _shape,
    "Size": _size,
    "Identity": _same,
    "Cast": _same,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Squeeze": _ranked,
    "Unsqueeze": _ranked,
    "Reshape": _ranked,
    "ConstantOfShape": _filled,
    "Where": _where,
    "ReduceProd": _reduced(_multiply, 1),
    "ReduceSum": _reduced(_add, 0),
    "Add": _elementwise(_add),
    "Sub": _elementwise(_subtract),
    "Mul": _elementwise(_multiply),
    "Div": _elementwise(_divide),
    "Equal": _elementwise(_equal),
}
