"""Infer types again where a rewrite has made more of them known. A helper, not a pass of the pipeline."""

from __future__ import annotations

from orpheus_core.graph import Graph
from orpheus_core.passes.rewriting import all_values
from orpheus_core.types import Dim, TensorType, UnknownType, ValueType


def refine_types(graph: Graph) -> Graph:
    """Make the types of computed values more precise, in place; those of the graph's outputs stay.

    Nothing becomes less precise. Raises ModelError when shapes that are now known contradict each other.
    """
    values = [v for v in dict.fromkeys(all_values(graph)) if v.const is None]
    if all(isinstance(v.type, TensorType) and v.type.is_static for v in values):
        return graph
    from orpheus_core.importer.infer import Inference

    inference = Inference()
    kept = {v: v.type for v in graph.outputs}
    before = {v: v.type for v in values}
    for node in graph.nodes:
        inference.node(node)
        for value in node.results:
            value.type = finer(before[value], value.type)
    for value in values:
        value.type = kept.get(value, finer(before[value], value.type))
    return graph


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
    if isinstance(new, int) or old is None:
        return new
    return old
