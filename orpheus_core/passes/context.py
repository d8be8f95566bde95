"""The graph around a node while rules rewrite it; see :mod:`orpheus_core.passes.rewriting`. A helper, not a pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orpheus_core.graph import Graph, Node, Value, toposort
from orpheus_core.ops import make_node
from orpheus_core.passes.names import Names
from orpheus_core.types import UNKNOWN, Array, ValueType


@dataclass(frozen=True)
class Replacement:
    """Nodes in place of the matched one, and old values with what is read in their stead."""

    nodes: Sequence[Node] = ()
    values: Mapping[Value, Value] = field(default_factory=dict)


class Context:
    """The graph around the node a rule looks at, always up to date.

    A subgraph has a context of its own, to which the values of the graph around it have no producer.
    """

    def __init__(self, graph: Graph, names: Names) -> None:
        self.graph = graph
        self.names = names
        self._outputs: dict[Value, int] = {}
        for value in graph.outputs:
            self._outputs[value] = self._outputs.get(value, 0) + 1
        # A slot is a node's place; it survives when the node is rebuilt with other inputs.
        self._slot: dict[Node, int] = {}
        self._nodes: dict[int, Node] = {}
        self._order: dict[int, int] = {}
        self._outdated: set[int] = set()  # slots whose node still names replaced inputs
        self._producer: dict[Value, int] = {}
        self._readers: dict[Value, dict[int, int]] = {}  # value -> slot -> how often it reads the value
        self._alias: dict[Value, Value] = {}
        self._touched: list[int] = []
        self._free_slot = len(graph.nodes)
        for slot, node in enumerate(graph.nodes):
            self._register(node, slot, slot)

    def producer(self, value: Value | None) -> Node | None:
        """The node of this graph that computes the value."""
        slot = None if value is None else self._producer.get(value)
        return None if slot is None else self.node_at(slot)

    def consumers(self, value: Value) -> tuple[Node, ...]:
        """The nodes that read the value, through captures too; once per node."""
        return tuple(map(self.node_at, tuple(self._readers.get(value, ()))))

    def uses(self, value: Value) -> int:
        """How often the value is read: by node inputs, by subgraphs that capture it, as graph output."""
        return sum(self._readers.get(value, {}).values()) + self._outputs.get(value, 0)

    def sole_consumer(self, value: Value) -> Node | None:
        """The one node that reads the value, once and as an input; None if it has any other use."""
        readers = self._readers.get(value, {})
        if len(readers) != 1 or value in self._outputs:
            return None
        ((slot, count),) = readers.items()
        node = self.node_at(slot)
        return node if count == 1 and value in node.inputs else None

    def is_output(self, value: Value) -> bool:
        """Whether the graph returns the value."""
        return value in self._outputs

    def is_read(self, value: Value) -> bool:
        """Whether anything reads the value or the graph returns it."""
        return value in self._outputs or bool(self._readers.get(value))

    def current(self, value: Value) -> Value:
        """What the value has been replaced by, or itself; for rules that keep tables of values."""
        while value in self._alias:
            value = self._alias[value]
        return value

    def new_value(self, hint: str, type: ValueType = UNKNOWN) -> Value:
        """A new value whose name starts with ``hint`` and is unique in the whole model."""
        return Value(self.names.unique(hint), type)

    def new_constant(self, hint: str, array: Array) -> Value:
        """A new constant whose name starts with ``hint`` and is unique in the whole model."""
        return Value.constant(self.names.unique(hint), array)

    # What follows is the driver's side.

    def _register(self, node: Node, slot: int, order: int) -> None:
        self._slot[node] = slot
        self._nodes[slot] = node
        self._order[slot] = order
        for value in node.results:
            self._producer[value] = slot
        for value in self._reads(node):
            readers = self._readers.setdefault(value, {})
            readers[slot] = readers.get(slot, 0) + 1

    def _unregister(self, node: Node) -> int:
        slot = self._slot.pop(node)
        del self._nodes[slot]
        self._outdated.discard(slot)
        for value in node.results:
            if self._producer.get(value) == slot:
                del self._producer[value]
        for value in self._reads(node):
            self._readers.get(value, {}).pop(slot, None)
        return slot

    def _reads(self, node: Node) -> list[Value]:
        """What the node reads, once for each input and for each node with captures."""
        values = (*node.inputs, *_captures(node)) if node.subgraphs else node.inputs
        if not self._alias:
            return [v for v in values if v is not None]
        return [self.current(v) for v in values if v is not None]

    def swap(self, node: Node, fresh: Node) -> None:
        """Put ``fresh`` where ``node`` is."""
        slot = self._unregister(node)
        self._register(fresh, slot, self._order[slot])

    def node_at(self, slot: int) -> Node:
        """The node of a slot, with what it reads brought up to date."""
        node = self._nodes[slot]
        if slot in self._outdated:
            self._outdated.discard(slot)
            inputs = tuple(None if v is None else self.current(v) for v in node.inputs)
            if inputs != node.inputs:
                del self._slot[node]
                node = node.replace(inputs=inputs)
                self._slot[node], self._nodes[slot] = slot, node
        return node

    def _redirect(self, old: Value, new: Value) -> None:
        """Every read of ``old`` becomes one of ``new``; nodes follow when they are next looked at."""
        readers = self._readers.pop(old, {})
        self._alias[old] = new
        merged = self._readers.setdefault(new, {})
        for slot, count in readers.items():
            merged[slot] = merged.get(slot, 0) + count
        self._outdated.update(readers)
        self._touched.extend(readers)

    def _remove_unread(self, values: Iterable[Value]) -> None:
        """Drop producers of ``values`` whose results nothing reads, and theirs in turn."""
        pending = list(values)
        while pending:
            value = pending.pop()
            node = self.producer(value)
            if node is not None and not any(map(self.is_read, node.results)):
                self._unregister(node)
                pending.extend(self._reads(node))
                continue
            readers = self._readers.get(value, {})
            if node is not None:
                self._touched.append(self._slot[node])
            if len(readers) == 1:
                self._touched.extend(readers)

    def _detach(self, old: Value, replaced: Mapping[Value, Value]) -> list[Value]:
        """Take ``old`` away from the node that computes it; gives the values that node read, if it went."""
        node = self.producer(old)
        if node is None:
            return []
        if all(v in replaced or not self.is_read(v) for v in node.results):
            self._unregister(node)
            return self._reads(node)
        spare = self.new_value(old.name, old.type)
        self.swap(node, node.replace(outputs=tuple(spare if v is old else v for v in node.outputs)))
        return []

    def apply(self, node: Node, replacement: Replacement) -> bool:
        """Carry out a replacement of ``node``; False when it would change nothing."""
        values = {old: self.current(new) for old, new in replacement.values.items()}
        values = {old: new for old, new in values.items() if old is not new}
        kept = all(self.is_output(o) and not self._can_take_over(n) for o, n in values.items())
        if kept and not replacement.nodes and node.op == "Identity" and not node.domain:
            return False  # what would be left is this very Identity
        defined = {v for added in replacement.nodes for v in added.results}
        lost = [v for v in node.results if v not in defined and v not in values and self.is_read(v)]
        if lost:
            raise ValueError(f"a rewrite of {node.op_id} {node.name!r} loses its output {lost[0].name!r}")
        order = self._order[self._unregister(node)]
        unread = self._reads(node)
        for added in replacement.nodes:
            self._add(added, order)
        for old in values:
            unread += self._detach(old, values)
        for old, new in values.items():
            new = self.current(new)
            if not self.is_output(old):
                self._redirect(old, new)
            elif self._can_take_over(new):
                maker = self.node_at(self._producer[new])
                self.swap(maker, maker.replace(outputs=tuple(old if v is new else v for v in maker.outputs)))
                self._redirect(new, old)
            else:
                self._add(make_node("Identity", [new], [old]), order)
        self._remove_unread(unread)
        return True

    def _can_take_over(self, value: Value) -> bool:
        return value in self._producer and value not in self._outputs

    def _add(self, node: Node, order: int) -> None:
        inputs = tuple(None if v is None else self.current(v) for v in node.inputs)
        if inputs != node.inputs:
            node = node.replace(inputs=inputs)
        slot, self._free_slot = self._free_slot, self._free_slot + 1
        self._register(node, slot, order)
        self._touched.append(slot)

    def settled(self, slot: int) -> Node:
        """The node of a slot, with replaced captures followed into its subgraphs too."""
        node = self.node_at(slot)
        if node.subgraphs and any(v in self._alias for v in _captures(node)):
            changed = {
                k: a.substitute(self._alias) for k, a in node.attributes.items() if isinstance(a, Graph)
            }
            fresh = node.replace(attributes={**node.attributes, **changed})
            self.swap(node, fresh)
            return fresh
        return node

    def is_there(self, slot: int) -> bool:
        """Whether the slot's node is still part of the graph."""
        return slot in self._nodes

    def may_start(self, slot: int, ops: frozenset[str]) -> bool:
        """Whether the slot's node is one of these operators, or holds graphs in which there may be some."""
        node = self._nodes[slot]
        return node.op in ops or bool(node.subgraphs)

    def take_touched(self) -> list[int]:
        """The slots near rewrites since the last call, each once."""
        touched = [slot for slot in dict.fromkeys(self._touched) if slot in self._nodes]
        self._touched.clear()
        return touched

    def slots_in_order(self) -> list[int]:
        """The places of all nodes, roughly in topological order."""
        return sorted(self._nodes, key=lambda slot: (self._order[slot], slot))

    def finish(self) -> Graph:
        """The graph as it is now, of which this is the context from here on."""
        for slot in tuple(self._nodes):
            self.settled(slot)
        nodes = toposort(self._nodes[slot] for slot in self.slots_in_order())
        self.graph = self.graph.replace(nodes=nodes)
        self._order = {self._slot[node]: place for place, node in enumerate(self.graph.nodes)}
        self._alias.clear()
        self._touched.clear()
        return self.graph


def _captures(node: Node) -> Iterable[Value]:
    return dict.fromkeys(v for graph in node.subgraphs for v in graph.captures)
