"""Value, Node, Graph: a typed graph in static single assignment form.

A Value is an identity: two values are the same when they are the same object. Nodes and graphs are
frozen; a pass builds a new Graph and shares what it did not change. A node's subgraphs are ordinary
attributes of type Graph and refer to outer values directly, so a capture is simply a value that the
subgraph neither defines nor takes as an input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias, Union

from orpheus_core.types import UNKNOWN, Array, ValueType, type_of_array

#: What an attribute may hold. Strings are str (UTF-8) or bytes (when they are not UTF-8).
Attribute: TypeAlias = Union[int, float, str, bytes, Array, "Graph", ValueType, tuple[Any, ...]]


class Value:
    """One result or constant. ``const`` holds the array of a constant, else None."""

    __slots__ = ("const", "name", "type")

    def __init__(self, name: str, type: ValueType = UNKNOWN, const: Array | None = None) -> None:
        self.name = name
        self.type = type
        self.const = const

    @classmethod
    def constant(cls, name: str, array: Array) -> Value:
        """A constant of the array's own type."""
        return cls(name, type_of_array(array), array)

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}" + (" const" if self.const is not None else "")


@dataclass(frozen=True, eq=False)
class Node:
    """One operator call.

    ``version`` is the ``since_version`` of the operator schema that gives the node its meaning.
    ``attributes`` holds every attribute with its default filled in; one without a default that was
    not given is absent. Trailing omitted inputs and outputs are dropped; inner ones are None.
    """

    op: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    version: int = 1

    @cached_property
    def subgraphs(self) -> tuple[Graph, ...]:
        """Graphs among the attributes, in attribute order."""
        return tuple(a for a in self.attributes.values() if isinstance(a, Graph))

    @cached_property
    def reads(self) -> tuple[Value, ...]:
        """Every value the node depends on: inputs, then captures of its subgraphs, no repeats."""
        seen = dict.fromkeys(v for v in self.inputs if v is not None)
        for graph in self.subgraphs:
            seen.update(dict.fromkeys(graph.captures))
        return tuple(seen)

    @cached_property
    def results(self) -> tuple[Value, ...]:
        """The outputs that are present."""
        return tuple(v for v in self.outputs if v is not None)

    @property
    def op_id(self) -> str:
        """``Conv``, or ``domain:Op`` outside the default domain."""
        return f"{self.domain}:{self.op}" if self.domain else self.op

    def input(self, index: int) -> Value | None:
        """Input ``index``, or None when it was omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def replace(self, **changes: Any) -> Node:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def __str__(self) -> str:
        return "\n".join(_node_lines(self, 0))


@dataclass(frozen=True, eq=False)
class Graph:
    """Inputs, outputs and nodes in topological order.

    ``defaults`` holds the values of inputs that may be left out (initializers that the model also
    lists as inputs, IR version 4 and later).
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    name: str = "graph"
    defaults: Mapping[Value, Array] = field(default_factory=dict)

    @cached_property
    def producers(self) -> dict[Value, Node]:
        """The node that computes each value (subgraphs' own values excluded)."""
        return {v: node for node in self.nodes for v in node.results}

    @cached_property
    def consumers(self) -> dict[Value, tuple[Node, ...]]:
        """The nodes that read each value, through captures too; once per node."""
        table: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.reads:
                table.setdefault(value, []).append(node)
        return {v: tuple(nodes) for v, nodes in table.items()}

    @cached_property
    def captures(self) -> tuple[Value, ...]:
        """Outer values read here: neither inputs, nor constants, nor defined by a node."""
        defined: set[Value] = set(self.inputs)
        found: dict[Value, None] = {}
        for node in self.nodes:
            for value in node.reads:
                if value not in defined and value.const is None:
                    found[value] = None
            defined.update(node.results)
        for value in self.outputs:
            if value not in defined and value.const is None:
                found[value] = None
        return tuple(found)

    @cached_property
    def constants(self) -> tuple[Value, ...]:
        """Constants read by the nodes or returned, subgraphs excluded, no repeats."""
        seen: dict[Value, None] = {}
        for node in self.nodes:
            seen.update(dict.fromkeys(v for v in node.inputs if v is not None and v.const is not None))
        seen.update(dict.fromkeys(v for v in self.outputs if v.const is not None))
        return tuple(seen)

    @cached_property
    def ops(self) -> frozenset[str]:
        """Names of the operators of all nodes, those of subgraphs included, whatever their domain."""
        return frozenset(node.op for node in self.walk())

    def walk(self) -> Iterator[Node]:
        """Every node, those of subgraphs after the node that holds them."""
        for node in self.nodes:
            yield node
            for graph in node.subgraphs:
                yield from graph.walk()

    def replace(self, **changes: Any) -> Graph:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def substitute(self, mapping: Mapping[Value, Value]) -> Graph:
        """The graph with each read of a key replaced by its value, in subgraphs too.

        Chains are followed, so ``{a: b, b: c}`` turns ``a`` into ``c``. Definitions stay.
        """
        if not mapping:
            return self

        def find(value: Value) -> Value:
            while value in mapping:
                value = mapping[value]
            return value

        return self._substitute(find)

    def _substitute(self, find: Callable[[Value], Value]) -> Graph:
        nodes = tuple(_substitute_node(node, find) for node in self.nodes)
        outputs = tuple(find(v) for v in self.outputs)
        if outputs == self.outputs and all(a is b for a, b in zip(nodes, self.nodes)):
            return self
        return self.replace(nodes=nodes, outputs=outputs)

    def fresh(self) -> tuple[Graph, dict[Value, Value]]:
        """A copy with new Values for everything but constants, and the map from old to new.

        Captured values are kept, so a copy of a subgraph still reads its surroundings.
        """
        mapping: dict[Value, Value] = {}
        return self._fresh(mapping), mapping

    def _fresh(self, mapping: dict[Value, Value]) -> Graph:
        def define(value: Value) -> Value:
            mapping[value] = Value(value.name, value.type)
            return mapping[value]

        def read(value: Value) -> Value:
            return mapping.get(value, value)

        inputs = tuple(define(v) for v in self.inputs)
        nodes = []
        for node in self.nodes:
            attributes = node.attributes
            if node.subgraphs:
                attributes = {
                    k: a._fresh(mapping) if isinstance(a, Graph) else a for k, a in attributes.items()
                }
            nodes.append(
                node.replace(
                    inputs=tuple(None if v is None else read(v) for v in node.inputs),
                    outputs=tuple(None if v is None else define(v) for v in node.outputs),
                    attributes=attributes,
                )
            )
        return self.replace(
            inputs=inputs,
            outputs=tuple(read(v) for v in self.outputs),
            nodes=tuple(nodes),
            defaults={read(v): a for v, a in self.defaults.items()},
        )

    def bake_defaults(self) -> Graph:
        """The graph with inputs that have a default turned into constants of that value."""
        if not self.defaults:
            return self
        constants = {v: Value.constant(v.name, array) for v, array in self.defaults.items()}
        baked = self.substitute(constants)
        return baked.replace(inputs=tuple(v for v in self.inputs if v not in constants), defaults={})

    def sorted(self) -> Graph:
        """The graph with nodes in a topological order that keeps the given order where it can.

        Raises ValueError naming a node on a cycle.
        """
        return self.replace(nodes=toposort(self.nodes))

    def __str__(self) -> str:
        return "\n".join(_graph_lines(self, 0))


def _substitute_node(node: Node, find: Callable[[Value], Value]) -> Node:
    inputs = tuple(None if v is None else find(v) for v in node.inputs)
    attributes: Mapping[str, Attribute] = node.attributes
    if node.subgraphs:
        attributes = {k: a._substitute(find) if isinstance(a, Graph) else a for k, a in attributes.items()}
        if all(attributes[k] is a for k, a in node.attributes.items()):
            attributes = node.attributes
    if attributes is node.attributes and all(a is b for a, b in zip(inputs, node.inputs)):
        return node
    return node.replace(inputs=inputs, attributes=attributes)


def toposort(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Nodes in topological order, stable where dependencies leave a choice.

    Raises ValueError naming a node on a cycle.
    """
    nodes = tuple(nodes)
    producer = {v: i for i, node in enumerate(nodes) for v in node.results}
    state = [0] * len(nodes)  # 0 unseen, 1 on the stack, 2 done
    order: list[Node] = []
    for start in range(len(nodes)):
        # An explicit stack: graphs are deeper than Python's recursion limit.
        stack: list[tuple[int, Iterator[Value]]] = []
        if state[start] == 0:
            state[start] = 1
            stack.append((start, iter(nodes[start].reads)))
        while stack:
            index, reads = stack[-1]
            for value in reads:
                before = producer.get(value)
                if before is None or state[before] == 2:
                    continue
                if state[before] == 1:
                    raise ValueError(f"node {nodes[before].name or nodes[before].op_id!r} is on a cycle")
                state[before] = 1
                stack.append((before, iter(nodes[before].reads)))
                break
            else:
                state[index] = 2
                order.append(nodes[index])
                stack.pop()
    return tuple(order)


def _attribute_text(value: Attribute) -> str:
    if isinstance(value, Graph):
        return f"graph {value.name}"
    if hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, str):
        return repr(type_text(value))
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def type_text(value: Any) -> str:
    """The type of an array as text, for printing an attribute tensor."""
    return str(type_of_array(value)) if hasattr(value, "dtype") and hasattr(value, "strides") else str(value)


def _node_lines(node: Node, indent: int) -> Iterator[str]:
    pad = "  " * indent
    left = ", ".join("_" if v is None else f"%{v.name}: {v.type}" for v in node.outputs)
    args = ", ".join("_" if v is None else f"%{v.name}" for v in node.inputs)
    attrs = ", ".join(f"{k}={_attribute_text(a)}" for k, a in node.attributes.items())
    yield f"{pad}{left} = {node.op_id}.{node.version}({args})" + (f" {{{attrs}}}" if attrs else "")
    for graph in node.subgraphs:
        yield from _graph_lines(graph, indent + 1)


def _graph_lines(graph: Graph, indent: int) -> Iterator[str]:
    pad = "  " * indent
    args = ", ".join(f"%{v.name}: {v.type}" for v in graph.inputs)
    yield f"{pad}graph {graph.name}({args}) {{"
    for value in graph.constants:
        yield f"{pad}  const %{value.name}: {value.type}"
    for node in graph.nodes:
        yield from _node_lines(node, indent + 1)
    yield f"{pad}  return " + ", ".join(f"%{v.name}" for v in graph.outputs)
    yield f"{pad}}}"
