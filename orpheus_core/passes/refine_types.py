"""Infer types again where a rewrite has made more of them known. A helper, not a pass of the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orpheus_core.graph import Node, Value
from orpheus_core.passes.rewriting import Context
from orpheus_core.types import Dim, TensorType, UnknownType, ValueType

if TYPE_CHECKING:
    from orpheus_core.importer.infer import Inference


class Refiner:
    """Makes the types of computed values more precise, in place, node by node in topological order.

    Types of graph outputs stay, and nothing becomes less precise.
    """

    def __init__(self) -> None:
        self._news: set[Value] = set()
        self._inference: Inference | None = None

    def announce(self, value: Value) -> None:
        """More is known of the value than when its readers were inferred: its type, or that it is constant."""
        self._news.add(value)

    def say(self, value: Value, type: ValueType, context: Context) -> None:
        """Add what ``type`` knows to what is known of the value."""
        better = finer(value.type, type)
        if better != value.type and not context.is_output(value):
            value.type = better
            self.announce(value)

    def visit(self, node: Node, context: Context) -> None:
        """Infer the node's results if there is news of what it reads.

        Raises ModelError when shapes that are now known contradict each other.
        """
        if self._news.isdisjoint(node.reads) or all(_is_settled(v.type) for v in node.results):
            return
        if self._inference is None:
            from orpheus_core.importer.infer import Inference

            self._inference = Inference()
        before = [v.type for v in node.results]
        self._inference.node(node)
        for value, old in zip(node.results, before):
            new, value.type = value.type, old
            self.say(value, new, context)


def _is_settled(type_: ValueType) -> bool:
    return isinstance(type_, TensorType) and type_.is_static


def finer(old: ValueType, new: ValueType) -> ValueType:
    """What both types say together; the new one where they contradict each other."""
    if isinstance(new, UnknownType):
        return old
    if not isinstance(old, TensorType) or not isinstance(new, TensorType) or old.dtype is not new.dtype:
        return new
    if old.shape is None or new.shape is None:
        return old if new.shape is None else new
    if len(old.shape) != len(new.shape):
        return new
    return new.with_shape(tuple(map(_finer_dim, old.shape, new.shape)))


def _finer_dim(old: Dim, new: Dim) -> Dim:
    return new if isinstance(new, int) or old is None else old
