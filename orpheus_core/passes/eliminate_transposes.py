"""Remove transposes: compose neighbours, and move operators to the other axis order where that saves any.

Elementwise operators, reductions, Concat, Pad and the like work as well on permuted operands. For each permutation in
the graph, every such operator near a Transpose either stays or computes in the permuted order, and a Transpose is
needed wherever the two meet. Which is best is a minimum cut whose capacities are element counts; the graph changes
only when the cut is below what the present transposes cost, so the pass never adds work and settles.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import make_node
from orpheus_core.passes import eliminate_dead
from orpheus_core.passes.match import is_op, rank_of, shape_of, static_shape_of
from orpheus_core.passes.min_cut import INFINITE, SINK, SOURCE, Network
from orpheus_core.passes.permuted import Moved, Perm, compose, inverse, moved, permuted_constant
from orpheus_core.passes.reshaping import make_reshape
from orpheus_core.passes.rewriting import Context, Names, Replacement, rewrite
from orpheus_core.types import TensorType


def run(graph: Graph) -> Graph:
    """Cut until nothing is gained, graph by graph; what then moves only axes of size 1 becomes a Reshape."""
    if "Transpose" not in graph.ops:
        return graph
    names = Names(graph)
    return rewrite(_settle(graph, names), _as_reshape, names)


def _settle(graph: Graph, names: Names) -> Graph:
    graph = _in_subgraphs(graph, names)
    while True:
        graph = rewrite(graph, _compose, names)
        for perm in dict.fromkeys(p for p in map(perm_of, graph.nodes) if p is not None):
            better = _cut(graph, perm, names)
            if better is not None and _elements_moved(better) < _elements_moved(graph):
                graph = better
                break
        else:
            return graph


def _in_subgraphs(graph: Graph, names: Names) -> Graph:
    nodes = []
    for node in graph.nodes:
        changed = {k: _settle(a, names) for k, a in node.attributes.items() if isinstance(a, Graph)}
        same = all(node.attributes[k] is a for k, a in changed.items())
        nodes.append(node if same else node.replace(attributes={**node.attributes, **changed}))
    return graph if all(a is b for a, b in zip(nodes, graph.nodes)) else graph.replace(nodes=tuple(nodes))


def perm_of(node: Node | None) -> Perm | None:
    """The permutation of a Transpose, its default reversal included; None for anything else."""
    if node is None or not is_op(node, "Transpose") or node.input(0) is None:
        return None
    given: Any = node.attributes.get("perm")
    rank = rank_of(node.inputs[0])
    if given is not None:
        return tuple(given)
    return None if rank is None else tuple(reversed(range(rank)))


def _compose(node: Node, context: Context) -> Replacement | None:
    perm, result, source = perm_of(node), node.outputs[0] if node.outputs else None, node.input(0)
    if perm is None or result is None or source is None:
        return None
    before = context.producer(source)
    earlier = perm_of(before)
    if before is not None and earlier is not None and before.inputs[0] is not None:
        source, perm = before.inputs[0], compose(earlier, perm)
    if perm == tuple(range(len(perm))):
        return Replacement(values={result: source})
    if source is node.inputs[0]:
        return None
    return Replacement([make_node("Transpose", [source], [result], {"perm": perm}, name=node.name)])


def _as_reshape(node: Node, context: Context) -> Replacement | None:
    perm, result, source = perm_of(node), node.outputs[0] if node.outputs else None, node.input(0)
    shape = static_shape_of(source)
    if perm is None or result is None or source is None or shape is None or not _keeps_order(shape, perm):
        return None
    return Replacement([make_reshape(context, source, tuple(shape[p] for p in perm), result, node.name)])


def _keeps_order(shape: tuple[int, ...], perm: Perm) -> bool:
    long = [p for p in perm if shape[p] != 1]
    return long == sorted(long)


def _weight(value: Value | None, perm: Perm) -> int:
    """Elements that a Transpose of the value moves; symbols count as 1."""
    shape = shape_of(value) or ()
    numbers = tuple(d if isinstance(d, int) else 1 for d in shape)
    if static_shape_of(value) is not None and _keeps_order(numbers, perm):
        return 0
    return math.prod(max(d, 1) for d in numbers)


def _elements_moved(graph: Graph) -> int:
    """What the Transposes of a graph cost together."""
    return sum(_weight(n.input(0), p) for n in graph.nodes if (p := perm_of(n)) is not None)


class _Frame:
    """What one permutation means for a graph: which nodes may move, and which transposes lead in and out."""

    def __init__(self, graph: Graph, perm: Perm) -> None:
        self.graph, self.perm, self.back = graph, perm, inverse(perm)
        self.opening: set[Node] = set()
        self.closing: set[Node] = set()
        self.movable: dict[Node, Moved] = {}
        inside: set[Value] = set()
        for node in graph.nodes:
            found = perm_of(node)
            if found == self.back and (found != perm or node.inputs[0] in inside):
                self.closing.add(node)
            elif found == perm:
                self.opening.add(node)
                inside.update(node.results)
            elif found is None:
                how = moved(node, perm)
                if how is not None:
                    self.movable[node] = how
                    if any(node.inputs[i] in inside for i in how.data):
                        inside.update(node.results)
        self._keep_near()

    def _keep_near(self) -> None:
        """Forget movable nodes that no chain of movable nodes joins to a Transpose of this frame."""
        producers, consumers = self.graph.producers, self.graph.consumers
        near: dict[Node, Moved] = {}
        front: list[Value] = [v for n in self.opening for v in n.results]
        front += [v for n in self.closing for v in n.inputs if v is not None]
        seen = set(front)
        while front:
            value = front.pop()
            for node in (*consumers.get(value, ()), *([producers[value]] if value in producers else ())):
                if node not in self.movable or node in near:
                    continue
                near[node] = self.movable[node]
                touched = [*node.results, *(node.inputs[i] for i in self.movable[node].data)]
                fresh = [v for v in touched if v is not None and v.const is None and v not in seen]
                seen.update(fresh)
                front += fresh
        self.movable = near

    def side_of_result(self, node: Node | None) -> Hashable:
        """The point of the network whose side tells how the node's results are held."""
        if node in self.opening:
            return SINK
        return node if node in self.movable else SOURCE

    def side_of_reader(self, node: Node, value: Value) -> set[Hashable]:
        """The points whose sides tell how the node reads the value."""
        if node in self.closing:
            return {SINK}
        if node not in self.movable:
            return {SOURCE}
        data = self.movable[node].data
        plain = any(v is value and i not in data for i, v in enumerate(node.inputs))
        held = any(node.inputs[i] is value for i in data)
        return ({node} if held else set()) | ({SOURCE} if plain else set())


def _cut(graph: Graph, perm: Perm, names: Names) -> Graph | None:
    """The graph with the best choice for this permutation; None when the present one is as good."""
    frame = _Frame(graph, perm)
    outputs = set(graph.outputs)
    network = Network()
    present = 0
    for value in dict.fromkeys((*graph.consumers, *graph.outputs)):
        readers = graph.consumers.get(value, ())
        if value.const is not None or rank_of(value) != len(perm):
            continue
        maker = frame.side_of_result(graph.producers.get(value))
        sides = {side for node in readers for side in frame.side_of_reader(node, value)}
        if value in outputs:
            sides.add(SOURCE)
        if sides == {maker}:
            continue
        weight = _weight(value, frame.back)
        here, there = (value, "plain to held"), (value, "held to plain")
        network.add(maker, here, weight)
        network.add(there, maker, weight)
        for side in sides:
            network.add(here, side, INFINITE)
            network.add(side, there, INFINITE)
        at_present = {SINK if s == SINK else SOURCE for s in sides}
        if (SINK if maker == SINK else SOURCE) not in at_present or len(at_present) == 2:
            present += weight
    cost, held = network.cut()
    if cost >= present:
        return None
    return _Rebuilder(frame, {n for n in frame.movable if n in held}, names).run()


class _Rebuilder:
    """Builds the graph in which the chosen nodes compute in the permuted order."""

    def __init__(self, frame: _Frame, chosen: set[Node], names: Names) -> None:
        self.frame, self.chosen, self.names = frame, chosen, names
        self.nodes: list[Node] = []
        self.held: dict[Value, Value] = {}
        self.identities: set[Node] = set()

    def run(self) -> Graph:
        frame, graph = self.frame, self.frame.graph
        outputs = set(graph.outputs)
        for node in graph.nodes:
            if node in self.chosen:
                self._move(node, outputs)
            elif node in frame.closing and node.inputs[0] in self.held and node.inputs[0] is not None:
                self.nodes.append(make_node("Identity", [self.held[node.inputs[0]]], node.outputs))
                self.identities.add(self.nodes[-1])
            else:
                if node in frame.opening and node.outputs[0] is not None and node.inputs[0] is not None:
                    self.held[node.outputs[0]] = node.inputs[0]
                elif node in frame.closing and node.outputs[0] is not None and node.inputs[0] is not None:
                    self.held[node.inputs[0]] = node.outputs[0]
                self.nodes.append(node)
        rebuilt = eliminate_dead.run(graph.replace(nodes=tuple(self.nodes)))
        return rewrite(rebuilt, self._drop_identity, self.names)

    def _drop_identity(self, node: Node, context: Context) -> Replacement | None:
        if node not in self.identities or node.outputs[0] is None or node.inputs[0] is None:
            return None
        return Replacement(values={node.outputs[0]: node.inputs[0]})

    def _move(self, node: Node, outputs: Iterable[Value]) -> None:
        frame, how = self.frame, self.frame.movable[node]
        inputs = list(node.inputs)
        for index in how.data:
            inputs[index] = self._held_form(node.inputs[index])
        for index, array in how.constants.items():
            hint = getattr(node.inputs[index], "name", node.op)
            inputs[index] = Value.constant(self.names.unique(hint), array)
        results = [None if v is None else self._value_like(v) for v in node.outputs]
        attributes = {**node.attributes, **how.attributes}
        self.nodes.append(node.replace(inputs=tuple(inputs), outputs=tuple(results), attributes=attributes))
        for old, new in zip(node.outputs, results):
            if old is None or new is None:
                continue
            self.held[old] = new
            if old in outputs or any(self._reads_plain(n, old) for n in frame.graph.consumers.get(old, ())):
                self.nodes.append(make_node("Transpose", [new], [old], {"perm": frame.perm}))

    def _reads_plain(self, node: Node, value: Value) -> bool:
        sides = self.frame.side_of_reader(node, value)
        return any(s == SOURCE or (s != SINK and s not in self.chosen) for s in sides)

    def _held_form(self, value: Value | None) -> Value | None:
        if value is None or value in self.held:
            return None if value is None else self.held[value]
        if value.const is not None:
            array = permuted_constant(value.const, self.frame.perm)
            new = Value.constant(self.names.unique(value.name), array)
        else:
            new = self._value_like(value)
            self.nodes.append(make_node("Transpose", [value], [new], {"perm": self.frame.back}))
        self.held[value] = new
        return new

    def _value_like(self, value: Value) -> Value:
        type_, shape = value.type, shape_of(value)
        if isinstance(type_, TensorType) and shape is not None:
            type_ = type_.with_shape(tuple(shape[p] for p in self.frame.back))
        return Value(self.names.unique(value.name), type_)
