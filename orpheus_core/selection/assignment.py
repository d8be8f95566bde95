"""From candidates to one choice per node: conversions between layouts and devices, counted, as a PBQP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.selection.conversion import HOME, Conversions, Place
from orpheus_core.selection.cost import Scored
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.pbqp import solve
from orpheus_core.types import CPU, Array, TensorType, ValueType

_AT_HOME: list[Place] = [HOME]


def assign(
    graph: Graph, choices: Sequence[Sequence[Scored]], options: SelectionOptions
) -> tuple[list[int], float, bool, dict[Value, tuple[str, object]]]:
    """Pick one candidate per node: picks, total seconds, whether proved optimal, and the hub places of shared values.

    Graph inputs, outputs, constants and captures lie plainly on the host; constants are converted once, at
    load, which costs nothing here.
    """
    if all(_at_home(s) for scored in choices for s in scored):
        picks = [_cheapest(scored) for scored in choices]
        return picks, sum(s[p].seconds for s, p in zip(choices, picks)), True, {}
    rivals = _rivals(choices)
    picks, seconds, optimal, hubs = _Assignment(graph, [kept for kept, _ in rivals], options).solve()
    return [places[pick] for (_, places), pick in zip(rivals, picks)], seconds, optimal, hubs


def _rivals(choices: Sequence[Sequence[Scored]]) -> list[tuple[list[Scored], list[int]]]:
    """For each node the cheapest candidate of those that have their operands at the same places, and its position.

    The first of equally cheap ones, as a choice among all would take.
    """
    known: dict[int, tuple[list[Scored], list[int]]] = {}  # nodes that are alike have the very same choices
    for scored in choices:
        if id(scored) not in known:
            best: dict[tuple[object, object], int] = {}
            for i, s in enumerate(scored):
                place = (s.candidate.format, s.candidate.backend.device)
                if place not in best or s.seconds < scored[best[place]].seconds:
                    best[place] = i
            positions = sorted(best.values())
            known[id(scored)] = [scored[i] for i in positions], positions
    return [known[id(scored)] for scored in choices]


def _at_home(scored: Scored) -> bool:
    return scored.candidate.backend.device == CPU and scored.candidate.format.is_plain


def _cheapest(scored: Sequence[Scored]) -> int:
    # Ties are broken by id, so that the same machine always chooses the same kernel.
    return min(range(len(scored)), key=lambda i: (scored[i].seconds, scored[i].candidate.label))


def input_place(scored: Scored, node: Node, index: int) -> Place:
    """Where a candidate wants its input: values that are not tensors stay on the host."""
    value = node.inputs[index]
    if value is None or not isinstance(value.type, TensorType):
        return HOME
    return (scored.candidate.format.input(index), scored.candidate.backend.device)


def output_place(scored: Scored, node: Node, index: int) -> Place:
    """Where a candidate leaves its output."""
    value = node.outputs[index]
    if value is None or not isinstance(value.type, TensorType):
        return HOME
    return (scored.candidate.format.output(index), scored.candidate.backend.device)


class _Assignment:
    def __init__(self, graph: Graph, choices: Sequence[Sequence[Scored]], options: SelectionOptions) -> None:
        self.graph = graph
        self.place_seconds = Conversions(options).seconds
        self.choices = choices
        self.costs: list[list[float]] = [[s.seconds for s in scored] for scored in choices]
        self.edges: dict[tuple[int, int], Array] = {}
        self.hub_places: dict[Value, tuple[int, list[Place]]] = {}
        # Nodes that are alike have the very same choices, so their places and matrices are worked out once.
        self._places: dict[tuple[int, bool, int], list[Place]] = {}
        self._matrices: dict[tuple[ValueType, int, int], tuple[Sequence[Place], Sequence[Place], Array]] = {}

    def solve(self) -> tuple[list[int], float, bool, dict[Value, tuple[str, object]]]:
        producer = {v: (i, o) for i, n in enumerate(self.graph.nodes) for o, v in enumerate(n.outputs) if v}
        readers: dict[Value, list[tuple[int, int]]] = {}
        for i, node in enumerate(self.graph.nodes):
            for k, value in enumerate(node.inputs):
                if value is not None and value.const is None:
                    readers.setdefault(value, []).append((i, k))
        at_home = set(self.graph.outputs)
        for node in self.graph.nodes:
            for graph in node.subgraphs:
                at_home.update(graph.captures)
        for value in {**dict.fromkeys(producer), **dict.fromkeys(readers)}:
            self._connect(value, producer.get(value), readers.get(value, []), value in at_home)
        solution = solve(self.costs, self.edges)
        picks = list(solution.choice[: len(self.choices)])
        hubs = {v: places[solution.choice[i]] for v, (i, places) in self.hub_places.items()}
        return picks, solution.cost, solution.optimal, dict(hubs)

    def _connect(
        self, value: Value, source: tuple[int, int] | None, readers: Sequence[tuple[int, int]], at_home: bool
    ) -> None:
        outs = _AT_HOME if source is None else self._outs(*source)
        if len(readers) + at_home <= 1:
            for i, k in readers:
                self._edge(value, None if source is None else source[0], outs, i, k)
            if at_home and source is not None:
                for c, place in enumerate(outs):
                    self.costs[source[0]][c] += self.place_seconds(value.type, place, HOME)
            return
        # Several readers share one conversion: a node of its own chooses the place they share.
        wanted = dict.fromkeys(outs)
        for i, k in readers:
            wanted.update(dict.fromkeys(self._ins(i, k)))
        if at_home:
            wanted[HOME] = None
        places = list(wanted)
        if len(places) == 1:
            return
        hub = len(self.costs)
        self.costs.append([self.place_seconds(value.type, p, HOME) if at_home else 0.0 for p in places])
        self.hub_places[value] = (hub, places)
        matrix = self._matrix(value, outs, places)
        if source is None:
            self.costs[hub] = [c + float(m) for c, m in zip(self.costs[hub], matrix[0])]
        else:
            self._add(source[0], hub, matrix)
        for i, k in readers:
            self._edge(value, hub, places, i, k)

    def _edge(self, value: Value, source: int | None, outs: Sequence[Place], reader: int, index: int) -> None:
        matrix = self._matrix(value, outs, self._ins(reader, index))
        if source is None:
            self.costs[reader] = [c + float(m) for c, m in zip(self.costs[reader], matrix[0])]
        else:
            self._add(source, reader, matrix)

    def _matrix(self, value: Value, outs: Sequence[Place], ins: Sequence[Place]) -> Array:
        key = (value.type, id(outs), id(ins))
        if key not in self._matrices:
            self._matrices[key] = outs, ins, self._work_out(value, outs, ins)  # kept, so that ids stay theirs
        return self._matrices[key][2]

    def _work_out(self, value: Value, outs: Sequence[Place], ins: Sequence[Place]) -> Array:
        # Places repeat: most candidates of a node agree on them.
        rows = {
            a: [self.place_seconds(value.type, a, b) for b in dict.fromkeys(ins)] for a in dict.fromkeys(outs)
        }
        columns = {b: i for i, b in enumerate(dict.fromkeys(ins))}
        order = [columns[b] for b in ins]
        return np.array([[rows[a][i] for i in order] for a in outs])

    def _add(self, i: int, j: int, matrix: Array) -> None:
        if (i, j) in self.edges:
            matrix = matrix + self.edges[i, j]
        self.edges[i, j] = matrix

    def _ins(self, node: int, index: int) -> list[Place]:
        return self._placed(node, index, False)

    def _outs(self, node: int, index: int) -> list[Place]:
        return self._placed(node, index, True)

    def _placed(self, node: int, index: int, out: bool) -> list[Place]:
        choices, place = self.choices[node], output_place if out else input_place
        key = (id(choices), out, index)
        if key not in self._places:
            self._places[key] = [place(s, self.graph.nodes[node], index) for s in choices]
        return self._places[key]
