"""A layer's surroundings: the network as it is planned, the values that flow through it, and where they lie."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from orpheus_core.errors import OrpheusError, UsageError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.plan.executable import Executable
from orpheus_core.plan.operands import Operation
from orpheus_core.plugin import Backend, Problem
from orpheus_core.selection.assignment import input_place, output_place
from orpheus_core.selection.candidates import Candidate
from orpheus_core.selection.conversion import HOME, Place
from orpheus_core.selection.cost import Scored, Source
from orpheus_core.selection.decision import Decision
from orpheus_core.session import InferenceSession
from orpheus_core.types import TensorType
from orpheus_experiments.layer.exact import REFERENCE, Exact, evaluate, exact
from orpheus_experiments.layer.work import name_of
from orpheus_experiments.layer.worker import Ask

__all__ = ["Move", "Scene"]

#: A conversion: of a value of this type, from one place to another.
Move: TypeAlias = tuple[TensorType, Place, Place]


@dataclass(frozen=True)
class _Around:
    """Who makes and who reads each value."""

    makers: Mapping[Value, tuple[int, int]]
    readers: Mapping[Value, Sequence[tuple[int, int]]]
    at_home: frozenset[Value]


class Scene:
    """One session's plan for one set of inputs. It is made, where shapes are open, but not run.

    ``backends`` have the kernels to look at, by default those that the session chose from.
    """

    def __init__(
        self, session: InferenceSession, feeds: Mapping[str, Any], backends: Sequence[Backend] | None = None
    ) -> None:
        self.session = session
        self.backends = tuple(backends or session.options.backends)
        self.inputs = session.ordered(feeds)
        self.plan = session.executable.ready(self.inputs).plan
        self.graph: Graph = self.plan.graph
        self.decisions: tuple[Decision, ...] = self.plan.selection.decisions
        self.operations: dict[Node, Operation] = {o.node: o for o in self.plan.program.operations}
        self._around = _around(self.graph)

    def find(self, name: str) -> int:
        """The place of the node called so, or one of whose results is; UsageError naming the nearest."""
        for index, node in enumerate(self.graph.nodes):
            if name == node.name or name in (v.name for v in node.results):
                return index
        known = [name_of(n) for n in self.graph.nodes]
        inside = [k for k in known if name.lower() in k.lower() or k.lower() in name.lower()]
        near = list(dict.fromkeys([*difflib.get_close_matches(name, known, n=5, cutoff=0.3), *inside]))[:5]
        raise UsageError(
            f"no node {name!r} after simplification; close to it: {', '.join(near) or 'none'}"
            " (`orpheus layers` lists all; a node that was fused into another has that one's name)"
        )

    @property
    def constant_bytes(self) -> int:
        """Bytes of all constants of the network, and of its arena: what one inference touches."""
        return (
            sum(v.const.nbytes for v in self.graph.constants if v.const is not None) + self.plan.arena_bytes
        )

    def values(self, wanted: Sequence[Value]) -> dict[Value, Any]:
        """What these values are when the reference computes the network on the inputs.

        Where the reference is not ready or lacks an operator, the session's own backends compute them.
        """
        computed = [v for v in dict.fromkeys(wanted) if v.const is None and v not in self.graph.inputs]
        known = {v: v.const for v in wanted if v.const is not None}
        known.update(zip(self.graph.inputs, self.inputs))
        if computed:
            graph = self.graph.replace(outputs=tuple(computed))
            known.update(zip(computed, self._evaluate(graph)))
        return {v: known[v] for v in wanted}

    def _evaluate(self, graph: Graph) -> list[Any]:
        try:
            return evaluate(graph, self.inputs, threads=self.session.threads)
        except OrpheusError:
            return Executable(graph, self.session.options, lambda g: g, is_checked=False).run(self.inputs)

    def ask(
        self, index: int, values: Mapping[Value, Any], *, others: int | None = None
    ) -> tuple[Ask, Exact | str]:
        """The layer for a worker, and its exact results or why there are none."""
        node, problem = self.graph.nodes[index], self.decisions[index].problem
        inputs = tuple(None if v is None or v.const is not None else values[v] for v in node.inputs)
        found = exact_of(node, problem, values)
        own = sum(a.nbytes for a in problem.constants.values())
        rest = max(0, self.constant_bytes - own) if others is None else others
        return Ask(problem, inputs, None if isinstance(found, str) else found.outputs, rest), found

    def moves(self, index: int, candidate: Candidate) -> tuple[Move, ...]:
        """The conversions around a node if ``candidate`` computes it and all else stays as it is."""
        return tuple(move for _, move in self.moves_by_value(index, candidate))

    def is_counted_at(self, value: Value, index: int) -> bool:
        """Whether a sum over all nodes counts this value's conversions here: where it is made, else read first."""
        maker = self._around.makers.get(value)
        return index == (maker[0] if maker is not None else self._around.readers[value][0][0])

    def moves_by_value(self, index: int, candidate: Candidate) -> list[tuple[Value, Move]]:
        """The same, each with the value that is converted."""
        node = self.graph.nodes[index]
        around = self._around

        def scored(other: int) -> Scored:
            return Scored(candidate, 0.0, Source.RANK) if other == index else self.decisions[other].chosen

        found: list[tuple[Value, Move]] = []
        for value in dict.fromkeys(
            v for v in (*node.inputs, *node.results) if v is not None and v.const is None
        ):
            if not isinstance(value.type, TensorType):
                continue
            maker = around.makers.get(value)
            here = (
                HOME
                if maker is None
                else output_place(scored(maker[0]), self.graph.nodes[maker[0]], maker[1])
            )
            wanted = [
                input_place(scored(i), self.graph.nodes[i], k) for i, k in around.readers.get(value, ())
            ]
            if value in around.at_home:
                wanted.append(HOME)
            found += [(value, (value.type, here, place)) for place in dict.fromkeys(wanted) if place != here]
        return found

    def chained(self, index: int) -> str:
        """With which other nodes its backend computes this one together; empty when alone."""
        operation = self.operations.get(self.graph.nodes[index])
        if operation is None or operation.chain is None:
            return ""
        others = [name_of(o.node) for o in operation.chain.operations if o is not operation]
        return f"computed together with {', '.join(others)}, which its own time does not show"


def exact_of(node: Node, problem: Problem, values: Mapping[Value, Any]) -> Exact | str:
    """What one node computes in float64 from these values, or why that cannot be told."""
    runtime = tuple(v for v in dict.fromkeys(node.inputs) if v is not None and v.const is None)
    graph = Graph(runtime, node.results, (node,), node.name or node.op)
    try:
        return exact(graph, [values[v] for v in runtime])
    except OrpheusError as error:
        return f"{REFERENCE} has no float64 result: {error}"
    except Exception as error:  # a reference that was not written for a widened operator
        return f"{REFERENCE} has no float64 result: {type(error).__name__}: {error}"


def _around(graph: Graph) -> _Around:
    makers = {v: (i, o) for i, n in enumerate(graph.nodes) for o, v in enumerate(n.outputs) if v is not None}
    readers: dict[Value, list[tuple[int, int]]] = {}
    at_home = set(graph.outputs)
    for i, node in enumerate(graph.nodes):
        for k, value in enumerate(node.inputs):
            if value is not None and value.const is None:
                readers.setdefault(value, []).append((i, k))
        for inner in node.subgraphs:
            at_home.update(inner.captures)
    return _Around(makers, readers, frozenset(at_home))
