"""The driver of local rewrites: a rule looks at one node and says what stands in its place.

``rewrite(graph, rule)`` offers every node, those of subgraphs included, to the rule in topological order and
goes on until nothing matches. Work is near-linear: after a rewrite only its neighbours are offered again.

What a rule can rely on:

* ``Replacement.nodes`` take the matched node's place; ``Replacement.values`` says which old value is
  read as which other value from now on. A new node may also simply define the matched node's own outputs.
* Every used output of the matched node must be defined again or replaced. Outputs of other nodes (the siblings
  of a merge) may be replaced too, never defined again.
* New values need their type; :meth:`Context.new_value` takes it.
* Nodes that nothing reads any more because of the rewrite vanish, so a rule that fuses a producer into
  its consumer returns the fused node only.
* The graph's inputs and outputs stay the very same Values: where an output is replaced, the replacing value
  takes over its identity, or an Identity is left when that value is an input, a constant, a captured value or
  another output.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from orpheus_core.graph import Attribute, Graph, Node, Value, toposort
from orpheus_core.ops import make_node
from orpheus_core.types import UNKNOWN, Array, ValueType

_log = logging.getLogger("orpheus.passes")


@dataclass(frozen=True)
class Replacement:
    """Nodes in place of the matched one, and old values with what is read in their stead."""

    nodes: Sequence[Node] = ()
    values: Mapping[Value, Value] = field(default_factory=dict)


Rule: TypeAlias = "Callable[[Node, Context], Replacement | None]"


class Names:
    """Value names in use anywhere in a graph, so that new ones are unique."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._taken: set[str] | None = None
        self._next: dict[str, int] = {}

    def unique(self, hint: str) -> str:
        """``hint``, or ``hint_1`` and so on when it is taken."""
        if self._taken is None:
            self._taken = {v.name for v in all_values(self._graph)}
        name = hint
        while name in self._taken:
            self._next[hint] = self._next.get(hint, 0) + 1
            name = f"{hint}_{self._next[hint]}"
        self._taken.add(name)
        return name


def all_values(graph: Graph) -> Iterable[Value]:
    """Every value a graph and its subgraphs define, take, read or return (with repeats)."""
    yield from graph.inputs
    yield from graph.outputs
    for node in graph.nodes:
        yield from (v for v in node.inputs if v is not None)
        yield from node.results
        for inner in node.subgraphs:
            yield from all_values(inner)


class Context:
    """The graph around the node a rule looks at, always up to date.

    A subgraph has a context of its own, to which the values of the graph around it have no producer.
    """

    def __init__(self, graph: Graph, names: Names) -> None:
        self.graph = graph
        self._names = names
        self._outputs: dict[Value, int] = {}
        for value in graph.outputs:
            self._outputs[value] = self._outputs.get(value, 0) + 1
        # A slot is a node's place; it survives when the node is rebuilt with other inputs.
        self._slot: dict[Node, int] = {}
        self._nodes: dict[int, Node] = {}
        self._order: dict[int, int] = {}
        self._producer: dict[Value, Node] = {}
        self._readers: dict[Value, dict[int, int]] = {}  # value -> slot -> how often it reads the value
        self._alias: dict[Value, Value] = {}
        self._touched: list[int] = []
        self._free_slot = len(graph.nodes)
        for slot, node in enumerate(graph.nodes):
            self._register(node, slot, slot)

    def producer(self, value: Value | None) -> Node | None:
        """The node of this graph that computes the value."""
        return None if value is None else self._producer.get(value)

    def consumers(self, value: Value) -> tuple[Node, ...]:
        """The nodes that read the value, through captures too; once per node."""
        return tuple(self._nodes[slot] for slot in self._readers.get(value, ()))

    def uses(self, value: Value) -> int:
        """How often the value is read: by node inputs, by subgraphs that capture it, as graph output."""
        return sum(self._readers.get(value, {}).values()) + self._outputs.get(value, 0)

    def sole_consumer(self, value: Value) -> Node | None:
        """The one node that reads the value, once and as an input; None if it has any other use."""
        readers = self._readers.get(value, {})
        if len(readers) != 1 or value in self._outputs:
            return None
        ((slot, count),) = readers.items()
        node = self._nodes[slot]
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
        return Value(self._names.unique(hint), type)

    def new_constant(self, hint: str, array: Array) -> Value:
        """A new constant whose name starts with ``hint`` and is unique in the whole model."""
        return Value.constant(self._names.unique(hint), array)

    # What follows is the driver's side.

    def _register(self, node: Node, slot: int, order: int) -> None:
        self._slot[node] = slot
        self._nodes[slot] = node
        self._order[slot] = order
        for value in node.results:
            self._producer[value] = node
        for value in self._reads(node):
            readers = self._readers.setdefault(value, {})
            readers[slot] = readers.get(slot, 0) + 1

    def _unregister(self, node: Node) -> int:
        slot = self._slot.pop(node)
        del self._nodes[slot]
        for value in node.results:
            if self._producer.get(value) is node:
                del self._producer[value]
        for value in self._reads(node):
            self._readers.get(value, {}).pop(slot, None)
        return slot

    def _reads(self, node: Node) -> list[Value]:
        """What the node reads, once for each input and for each node with captures."""
        return [v for v in node.inputs if v is not None] + [self.current(v) for v in _captures(node)]

    def _swap(self, node: Node, fresh: Node) -> None:
        slot = self._unregister(node)
        self._register(fresh, slot, self._order[slot])

    def _redirect(self, old: Value, new: Value) -> None:
        """Every read of ``old`` becomes one of ``new``; captures follow when their node is next visited."""
        readers = [self._nodes[slot] for slot in self._readers.get(old, ())]
        slots = [self._unregister(node) for node in readers]
        self._alias[old] = new
        for node, slot in zip(readers, slots):
            inputs = tuple(new if v is old else v for v in node.inputs)
            fresh = node if inputs == node.inputs else node.replace(inputs=inputs)
            self._register(fresh, slot, self._order[slot])
            self._touched.append(slot)

    def _remove_unread(self, values: Iterable[Value]) -> None:
        """Drop producers of ``values`` whose results nothing reads, and theirs in turn."""
        pending = list(values)
        while pending:
            value = pending.pop()
            node = self._producer.get(value)
            if node is not None and not any(map(self.is_read, node.results)):
                self._unregister(node)
                pending.extend(map(self.current, node.reads))
                continue
            readers = self._readers.get(value, {})
            if node is not None:
                self._touched.append(self._slot[node])
            if len(readers) == 1:
                self._touched.extend(readers)

    def _detach(self, old: Value, replaced: Mapping[Value, Value]) -> list[Value]:
        """Take ``old`` away from the node that computes it; gives the values that node read, if it went."""
        node = self._producer.get(old)
        if node is None:
            return []
        if all(v in replaced or not self.is_read(v) for v in node.results):
            self._unregister(node)
            return [self.current(v) for v in node.reads]
        spare = self.new_value(old.name, old.type)
        self._swap(node, node.replace(outputs=tuple(spare if v is old else v for v in node.outputs)))
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
        unread = [self.current(v) for v in node.reads]
        for added in replacement.nodes:
            self._add(added, order)
        for old in values:
            unread += self._detach(old, values)
        for old, new in values.items():
            new = self.current(new)
            if not self.is_output(old):
                self._redirect(old, new)
            elif self._can_take_over(new):
                maker = self._producer[new]
                self._swap(maker, maker.replace(outputs=tuple(old if v is new else v for v in maker.outputs)))
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

    def _settled(self, node: Node) -> Node:
        """The node with replaced captures followed into its subgraphs."""
        if not any(v in self._alias for v in _captures(node)):
            return node
        fresh = node.replace(
            attributes={
                k: a.substitute(self._alias) if isinstance(a, Graph) else a
                for k, a in node.attributes.items()
            }
        )
        self._swap(node, fresh)
        return fresh

    def slots_in_order(self) -> list[int]:
        """The places of all nodes, roughly in topological order."""
        return sorted(self._nodes, key=lambda slot: (self._order[slot], slot))

    def finish(self) -> Graph:
        """The graph as it is now."""
        for node in tuple(self._nodes.values()):
            self._settled(node)
        return self.graph.replace(nodes=toposort(self._nodes[slot] for slot in self.slots_in_order()))


def _captures(node: Node) -> Iterable[Value]:
    return dict.fromkeys(v for graph in node.subgraphs for v in graph.captures)


def rewrite(graph: Graph, rule: Rule, names: Names | None = None) -> Graph:
    """The graph after the rule has been applied wherever it matches; the same object if nowhere."""
    names = Names(graph) if names is None else names
    context = Context(graph, names)
    queue = deque(range(len(graph.nodes)))
    queued = set(queue)
    budget = 100 * len(graph.nodes) + 1000
    changed = swept = False
    while queue or swept:
        if not queue:
            # A rule may look further than a rewrite's neighbours: sweep until nothing matches anywhere.
            queue.extend(context.slots_in_order())
            queued.update(queue)
            swept = False
            continue
        slot = queue.popleft()
        queued.discard(slot)
        node = context._nodes.get(slot)
        if node is None:
            continue
        if node.subgraphs:
            inner = _rewrite_subgraphs(context._settled(node), rule, names)
            if inner is not context._nodes[slot]:
                context._swap(context._nodes[slot], inner)
                changed = True
            node = inner
        replacement = rule(node, context)
        if replacement is None or not context.apply(node, replacement):
            continue
        changed = swept = True
        budget -= 1
        if budget == 0:
            _log.warning("stopped rewriting %s: the rule keeps matching its own results", graph.name)
            break
        # Neighbours behind the sweep are offered again; those ahead of it still are in the queue.
        again = [s for s in dict.fromkeys(context._touched) if s not in queued and s in context._nodes]
        context._touched.clear()
        queue.extendleft(reversed(again))
        queued.update(again)
    return context.finish() if changed else graph


def _rewrite_subgraphs(node: Node, rule: Rule, names: Names) -> Node:
    attributes: dict[str, Attribute] = dict(node.attributes)
    for key, attribute in node.attributes.items():
        if isinstance(attribute, Graph):
            attributes[key] = rewrite(attribute, rule, names)
    if all(attributes[k] is a for k, a in node.attributes.items()):
        return node
    return node.replace(attributes=attributes)
