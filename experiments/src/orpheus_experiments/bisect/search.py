"""The search: one pass over all boundaries, each judged by itself.

A boundary is a value that executed (fused) operations of both sides give. Looking at all of them in one pass is sound
where halving is not: differences grow, shrink under saturation and rounding, and grow again, so that "differs here" is
no property that holds from some layer on.

At each boundary the layers between it and the boundaries before it are computed in float64, once from the values that
side A had there, once from those of B. So each side's own error (against float64 on its own inputs) is told from what
its inputs' difference has become on the way (the difference of the two float64 results). A side is at fault where its
own error is above what rounding explains, which :mod:`orpheus_experiments.layer.exact` derives from how the layer is
conditioned on these very values; the sides part there when they also differ by more than that. With a ``bound``, they
part where the largest difference exceeds that share of the largest magnitude, whosoever's fault it is.

NaN equals NaN, and an infinity one of its sign; against anything else they are infinitely far. Two sides that overflow
alike do not part, though float64 does not overflow there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from orpheus_core.errors import OrpheusError, UsageError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.process import Child, ChildError
from orpheus_core.session import InferenceSession
from orpheus_core.session.threads import check_threads
from orpheus_experiments.bisect.found import Bisection, Boundary, Segment, SideFact
from orpheus_experiments.bisect.side import Captured, Setting, StepFact, reference_to
from orpheus_experiments.layer.exact import REFERENCE, Exact, apart, evaluate, exact, limit_of, wide, widen
from orpheus_experiments.layer.work import name_of

__all__ = ["bisect", "check_two"]


def bisect(
    settings: tuple[Setting, Setting],
    names: tuple[str, str],
    feeds: Mapping[str, Any],
    *,
    bound: float | None = None,
    timeout: float = 600.0,
    say: Callable[[str], None] = lambda text: None,
) -> Bisection:
    """Find the first layer at which two sides part on ``feeds``; ``names`` are the sides' names in the report.

    Raises ChildError (exit code 4) when a side crashes, hangs or fails, naming the node that it was at; BackendError
    when the float64 reference is not installed.
    """
    say("loading the reference ...")
    fixed = {k: tuple(np.shape(v)) for k, v in feeds.items()}
    session = InferenceSession(
        settings[0].model, providers=[REFERENCE], threads=check_threads(settings[0].threads), shapes=fixed
    )
    graph = session.graph
    captured = _capture(settings, names, feeds, graph, timeout, say)
    search = _Search(graph, captured, dict(zip(graph.inputs, session.ordered(feeds))), bound)
    rows: list[Boundary] = []
    segments: dict[str, Segment] = {}
    for number, node in enumerate(graph.nodes):
        say(f"node {number + 1} of {len(graph.nodes)}: {name_of(node)} ...")
        for row, segment in search.boundaries(node):
            rows.append(row)
            if row.parts and not segments:
                segments[row.value] = segment
    outputs, whole = _outputs(session, captured, names, rows)
    for setting, name in zip(settings, names):
        if name in whole and setting.is_engine:
            say(f"looking for what {name} fuses wrongly ...")
            whole[name] += _cured(setting, feeds, session, rows, timeout)
    summaries = (captured[0].summary, captured[1].summary)
    return Bisection(names, summaries, tuple(rows), outputs, whole, bound, segments)


def _capture(
    settings: tuple[Setting, Setting],
    names: tuple[str, str],
    feeds: Mapping[str, Any],
    graph: Graph,
    timeout: float,
    say: Callable[[str], None],
) -> tuple[Captured, Captured]:
    """Sessions first: engines are asked for what the other side's operations give, and for nothing else."""
    found: dict[int, Captured] = {}
    for index in sorted((0, 1), key=lambda i: settings[i].is_engine):
        setting = settings[index]
        say(f"running {names[index]} ...")
        others = list(found.values())
        wanted = list(others[0].values) if others else [v.name for n in graph.nodes for v in n.results]
        try:
            with Child(reference_to(setting), setting, timeout=timeout) as child:
                found[index] = child.call("capture", dict(feeds), wanted if setting.is_engine else None)
        except ChildError as error:
            raise ChildError(error.kind, f"{names[index]} {error.kind}: {error}") from None
        except OrpheusError as error:
            raise type(error)(f"{names[index]}: {error}") from None
    return found[0], found[1]


class _Search:
    def __init__(
        self, graph: Graph, sides: tuple[Captured, Captured], inputs: Mapping[Value, Any], bound: float | None
    ) -> None:
        self.graph, self.sides, self.inputs, self.bound = graph, sides, inputs, bound
        names = {v.name for n in graph.nodes for v in n.results}
        self.common = names & set(sides[0].values) & set(sides[1].values)

    def boundaries(self, node: Node) -> list[tuple[Boundary, Segment]]:
        """Every value of a node at which the sides can be compared."""
        values = [v for v in node.results if v.name in self.common]
        if not values:
            return []
        segment = self._segment(values)
        given = tuple(self._at(v, segment) for v in (0, 1))
        reason, found, other = "", None, None
        try:
            found = exact(segment, given[0])
            other = evaluate(widen(segment), [wide(x) for x in given[1]])
        except OrpheusError as error:
            reason = str(error)
        except Exception as error:  # a reference that was not written for a widened operator
            reason = f"{type(error).__name__}: {error}"
        arrays = tuple(dict(zip((v.name for v in segment.inputs), g)) for g in given)
        rows: list[tuple[Boundary, Segment]] = []
        for number, value in enumerate(values):
            row = self._row(node, value, number, segment, found, other, given, reason)
            rows.append((row, (segment, arrays[0], arrays[1])))
        return rows

    def _at(self, side: int, segment: Graph) -> list[Any]:
        known = self.sides[side].values
        return [self.inputs[v] if v in self.inputs else known[v.name] for v in segment.inputs]

    def _segment(self, values: Sequence[Value]) -> Graph:
        """The nodes from the boundaries before up to these values."""
        nodes: dict[Node, None] = {}
        inputs: dict[Value, None] = {}
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            producer = self.graph.producers.get(value)
            if value.const is not None:
                continue
            if producer is None or (value.name in self.common and value not in values):
                inputs[value] = None
            elif producer not in nodes:
                nodes[producer] = None
                waiting += producer.reads
        ordered = tuple(n for n in self.graph.nodes if n in nodes)
        kept = tuple(v for v in inputs)
        return Graph(kept, tuple(values), ordered, name_of(ordered[-1]) if ordered else "segment")

    def _row(
        self,
        node: Node,
        value: Value,
        number: int,
        segment: Graph,
        found: Exact | None,
        other: Sequence[Any] | None,
        given: tuple[list[Any], ...],
        reason: str,
    ) -> Boundary:
        a, b = (side.values[value.name] for side in self.sides)
        difference = apart(a, b)
        facts = []
        for side, wanted in ((0, found.outputs if found else None), (1, other)):
            fact = self.sides[side].makers[value.name]
            got = self.sides[side].values[value.name]
            error = None if wanted is None else apart(got, wanted[number])
            limit = (
                None
                if found is None
                else limit_of(found, number, value.type, self._factor(side, segment, fact))
            )
            facts.append(SideFact(fact.kernel, error, limit))
        carried = None if found is None or other is None else apart(found.outputs[number], other[number])
        apart_before = {v.name: apart(x, y) for v, x, y in zip(segment.inputs, *given)}
        relative_before = max((_share(apart(x, y), x) for x, y in zip(*given)), default=0.0)
        relative = _share(difference, a)
        nodes = tuple(name_of(n) for n in reversed(segment.nodes))
        return Boundary(
            value.name, name_of(node), node.op_id, nodes, str(value.type), difference, relative, apart_before,
            relative_before, carried, facts[0], facts[1], self._parts(difference, relative, facts, reason), reason,
        )  # fmt: skip

    def _factor(self, side: int, segment: Graph, fact: StepFact) -> float:
        """The largest factor that a kernel between the boundaries declares."""
        makers = self.sides[side].makers
        inner = [makers[v.name].factor for n in segment.nodes for v in n.results if v.name in makers]
        return max((fact.factor, *inner))

    def _parts(self, difference: float, relative: float, facts: Sequence[SideFact], reason: str) -> bool:
        if self.bound is not None:
            return relative > self.bound
        if reason:  # nothing to judge by: only what no rounding explains counts
            return math.isinf(difference)
        limit = max(f.limit or 0.0 for f in facts)
        return difference > limit and any(f.is_at_fault for f in facts)


def _outputs(
    session: InferenceSession,
    sides: tuple[Captured, Captured],
    names: tuple[str, str],
    rows: Sequence[Boundary],
) -> tuple[dict[str, float], dict[str, str]]:
    """How far the plain runs' outputs are apart; and which side's plain run differs from its observed one."""
    outputs = [v.name for v in session.output_values]
    found = {n: apart(a, b) for n, a, b in zip(outputs, sides[0].outputs, sides[1].outputs)}
    known = {row.value: row for row in rows}
    whole: dict[str, str] = {}
    for index, side in enumerate(sides):
        for name, got in zip(outputs, side.outputs):
            row = known.get(name)
            if row is None or name not in side.values:
                continue
            gap = apart(got, side.values[name])
            fact = row.a if index == 0 else row.b
            if gap > max(fact.limit or 0.0, 0.0):
                chains = sorted({", ".join(f.chain) for f in side.makers.values() if f.chain})
                why = (
                    f"operations computed together: {'; '.join(chains)}"
                    if chains
                    else "what it does across the values that were looked at"
                )
                whole[names[index]] = (
                    f"output {name!r} of the plain run is {gap:.2g} off the observed one: {why}"
                )
    return found, whole


def _cured(
    setting: Setting,
    feeds: Mapping[str, Any],
    session: InferenceSession,
    rows: Sequence[Boundary],
    timeout: float,
) -> str:
    """Which values cure an engine when they alone are looked at, in words."""
    known = {row.value: max(row.a.limit or 0.0, row.b.limit or 0.0) for row in rows}
    limits = [known.get(v.name, 0.0) for v in session.output_values]
    outputs = {v.name for v in session.output_values}
    wanted = [row.value for row in rows if row.value not in outputs]
    try:
        with Child(reference_to(setting), setting, timeout=timeout) as child:
            found = child.call("cures", dict(feeds), wanted, limits)
    except OrpheusError as error:
        return f"; which, could not be told: {error}"
    if not found:
        return "; no single value cures it"
    nodes = {row.value: row.node for row in rows}
    return f"; looking at {', '.join(f'{v} (node {nodes[v]})' for v in found)} alone cures it"


def _share(difference: float, value: Any) -> float:
    """A difference as a share of the value's largest finite magnitude."""
    if not isinstance(value, np.ndarray) or value.dtype.kind in "OUST" or not value.size:
        return difference
    finite = np.abs(value[np.isfinite(value)].astype(np.float64))
    scale = float(finite.max()) if finite.size else 0.0
    return difference / scale if scale else difference


def check_two(names: Sequence[str] | None) -> tuple[str, str]:
    """The two sides that were asked for; UsageError for any other number."""
    if names is None or len(names) != 2:
        raise UsageError("-b A,B is needed: two backends, backend:Op/kernel or peer:engine")
    return names[0], names[1]
