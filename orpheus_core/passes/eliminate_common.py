"""Merge nodes that compute the same thing, and constants with the same content."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from orpheus_core.graph import Attribute, Graph, Node, Value
from orpheus_core.ops import find_spec
from orpheus_core.passes.rewriting import Context, Replacement, all_values, rewrite
from orpheus_core.types import Array


def run(graph: Graph) -> Graph:
    """Merge equal constants first, then nodes with equal operator, attributes and inputs, graph by graph.

    Operators that draw random numbers, and operators with subgraphs, stay apart.
    """
    tables: dict[Context, dict[Hashable, list[_Seen]]] = {}

    def merge(node: Node, context: Context) -> Replacement | None:
        key = _key(node)
        if key is None:
            return None
        seen = _seen(tables.setdefault(context, {}).setdefault(key, []), node)
        earlier = _still_there(seen.outputs, context)
        if earlier is None or earlier is node:
            seen.outputs = node.outputs
            return None
        if len(earlier.outputs) != len(node.outputs):
            return None
        values = {}
        for old, new in zip(node.outputs, earlier.outputs):
            if old is not None and new is not None:
                values[old] = new
            elif old is not None and context.is_read(old):
                return None
        return Replacement(values=values)

    return rewrite(_merge_constants(graph), merge)


@dataclass
class _Seen:
    """Attributes of a node, and the outputs of the last one that had these."""

    attributes: Mapping[str, Attribute]
    outputs: tuple[Value | None, ...]


def _seen(near: list[_Seen], node: Node) -> _Seen:
    """The entry of equal attributes, a new one of this node if there is none. Most nodes have no near ones."""
    if near:
        key = _attributes_key(node.attributes)
        for seen in near:
            if seen.attributes is node.attributes or _attributes_key(seen.attributes) == key:
                return seen
    near.append(_Seen(node.attributes, node.outputs))
    return near[-1]


def _still_there(outputs: tuple[Value | None, ...], context: Context) -> Node | None:
    """The node that defines these outputs now, if one still does."""
    for value in outputs:
        if value is not None:
            return context.producer(context.current(value))
    return None


def _key(node: Node) -> Hashable | None:
    """Equal for nodes that are equal if their attributes are; None for one that stays."""
    spec = find_spec(node.domain, node.op, node.version)
    if node.subgraphs or spec is None or not spec.is_deterministic:
        return None
    present = tuple(v is not None for v in node.outputs)
    return node.op, node.domain, node.version, node.inputs, present


def _attributes_key(attributes: Mapping[str, Attribute]) -> Hashable:
    return tuple(sorted((k, _attribute_key(a)) for k, a in attributes.items()))


def _attribute_key(attribute: Attribute) -> Hashable:
    if isinstance(attribute, np.ndarray):
        return _content(attribute)
    # repr tells -0.0 from 0.0 and 1 from 1.0, and makes keys of mixed kinds comparable.
    return repr(attribute)


def _content(array: Array) -> str:
    if array.dtype == object:
        return repr((array.shape, array.tolist()))
    return f"{array.dtype}{array.shape}{blake2b(np.ascontiguousarray(array).tobytes()).hexdigest()}"


def _glance(array: Array) -> Hashable:
    """A cheap key that equal arrays share; most different ones differ in it."""
    if array.dtype == object:
        return array.shape, repr(array.reshape(-1)[:4].tolist())
    flat = array.reshape(-1)
    return array.dtype, array.shape, flat[:: max(1, flat.size // 16)].tobytes()


def _merge_constants(graph: Graph) -> Graph:
    groups: dict[Any, list[Value]] = {}
    for value in dict.fromkeys(v for v in all_values(graph) if v.const is not None):
        assert value.const is not None
        groups.setdefault(_glance(value.const), []).append(value)
    outputs = set(graph.outputs)
    mapping: dict[Value, Value] = {}
    for group in groups.values():
        if len(group) == 1:
            continue
        first: dict[str, Value] = {}
        for value in group:
            assert value.const is not None
            kept = first.setdefault(_content(value.const), value)
            if kept is not value and value not in outputs:
                mapping[value] = kept
    return graph.substitute(mapping)
