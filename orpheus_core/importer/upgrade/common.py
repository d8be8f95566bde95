"""What the upgrade functions share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.ops.build import make_node
from orpheus_core.types import Array, DType, TensorType

_MOST_NUMBERS = 4096


def temporary(node: Node, suffix: str) -> Value:
    """A new value named after the node's first output."""
    return Value(f"{node.results[0].name}/{suffix}" if node.results else suffix)


def constant(node: Node, suffix: str, array: Array) -> Value:
    """A new constant named after the node's first output."""
    return Value.constant(temporary(node, suffix).name, array)


def int64s(node: Node, suffix: str, values: Iterable[Any]) -> Value:
    """A new 1-D int64 constant."""
    numbers = [int(v) for v in values]
    if len(numbers) > _MOST_NUMBERS:
        raise ValueError(f"{suffix} has {len(numbers)} entries, no tensor has so many dimensions")
    return constant(node, suffix, np.array(numbers, np.int64))


def like(node: Node, suffix: str, number: float, source: Value | None) -> Value:
    """A new scalar constant of the element type of ``source``; ValueError when that is not known."""
    if source is None or not isinstance(source.type, TensorType):
        raise ValueError("the element type of its input is not known")
    return constant(node, suffix, np.array(number).astype(source.type.dtype.numpy))


def renew(
    node: Node,
    inputs: Sequence[Value | None],
    *,
    drop: Iterable[str] = (),
    op: str | None = None,
    outputs: Sequence[Value | None] | None = None,
    **changed: Any,
) -> Node:
    """The newest form of the node with other inputs, without the attributes in ``drop``, with ``changed`` ones."""
    attributes = {k: v for k, v in node.attributes.items() if k not in set(drop)}
    attributes.update(changed)
    return make_node(
        op or node.op, inputs, node.outputs if outputs is None else outputs, attributes, name=node.name
    )


def rank(value: Value | None) -> int | None:
    """The rank of a value, or None when it is not known."""
    return value.type.rank if value is not None and isinstance(value.type, TensorType) else None


def dtype(value: Value | None) -> DType | None:
    """The element type of a value, or None when it is not known."""
    return value.type.dtype if value is not None and isinstance(value.type, TensorType) else None
