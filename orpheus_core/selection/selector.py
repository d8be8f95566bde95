"""Choosing a kernel for every node: pins, then policy, then feasibility, then cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orpheus_core.errors import SelectionError, UnsupportedModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops.spec import find_spec
from orpheus_core.plugin import Problem
from orpheus_core.selection.alike import Alike, judged_by
from orpheus_core.selection.assignment import assign
from orpheus_core.selection.candidates import Candidate, problem_of
from orpheus_core.selection.cost import Scored, Source
from orpheus_core.selection.decision import Decision, Selection
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.pins import pin_for, satisfies
from orpheus_core.selection.refusal import Refusal, RefusalCode
from orpheus_core.selection.whole import beaten, untuned

#: A fused node is taken apart when its parts need less than this share of its time: what is measured of a part alone
#: leaves out that its result goes through memory between them.
_CLEARLY = 0.9


@dataclass(frozen=True, eq=False)
class Choices:
    """What is open for one node: feasible candidates with costs, refusals, and the pin that was applied.

    ``likeness`` is the node's key in what :class:`Alike` remembers.
    """

    node: Node
    problem: Problem
    scored: tuple[Scored, ...]
    refusals: tuple[Refusal, ...]
    pin: str | None = None
    likeness: int | None = None


def select(graph: Graph, options: SelectionOptions) -> tuple[Graph, Selection]:
    """Kernels for every node of ``graph`` (its subgraphs are selected when they are planned).

    Returns the graph, in which fused nodes that are better computed in parts were taken apart, and the decisions in
    the order of its nodes: by measured times where they are kept, unless the plan of these was itself measured and the
    untuned one takes no longer. Raises UnsupportedModelError naming every operator that nothing implements, and
    SelectionError when a pin or ``fallback="error"`` cannot be met.
    """
    cache = options.cache
    chosen, selection = choose(graph, options)
    words = beaten(graph, selection, cache, options) if cache is not None and len(cache) else None
    if words is not None:
        chosen, selection = choose(graph, untuned(options))
        selection = replace(selection, note=words)
    return chosen, selection


def choose(graph: Graph, options: SelectionOptions) -> tuple[Graph, Selection]:
    """As :func:`select`, by the costs of layers alone."""
    options = replace(options, network_bytes=constant_bytes(graph))
    graph, choices = _expand_fused(graph, options)
    _refuse_missing(choices, options)
    picks, seconds, optimal, hubs = assign(graph, [c.scored for c in choices], options)
    decisions = tuple(_decision(c, c.scored[pick]) for c, pick in zip(choices, picks))
    fallbacks = tuple(d for d in decisions if options.is_fallback(d.candidate.backend))
    selection = Selection(decisions, seconds, optimal, fallbacks, hubs)
    if fallbacks and options.fallback == "error":
        raise SelectionError(
            f"fallback='error': {len(fallbacks)} of {len(decisions)} nodes would run on a backend that was not"
            f" asked for: {selection.summary}"
        )
    return graph, selection


def constant_bytes(graph: Graph) -> int:
    """Bytes of the constants that the nodes of ``graph`` read, each counted once."""
    constants = {v for n in graph.nodes for v in n.inputs if v is not None and v.const is not None}
    return sum(v.const.nbytes for v in constants if v.const is not None)


def choices_for(node: Node, options: SelectionOptions, alike: Alike | None = None) -> Choices:
    """Every candidate that pins and policy leave to a node, and every refusal with its reason.

    ``alike`` remembers what was found for nodes before it, under the same options.
    """
    problem = problem_of(node, threads=options.threads, network_bytes=options.network_bytes)
    likeness = None if alike is None else alike.key(problem)
    alike = alike or Alike(options.backends, options.cache)
    pin = pin_for(node, options.pins)
    known = alike.open.get(likeness) if pin is None and likeness is not None else None
    if known is not None:
        return Choices(node, problem, *known, likeness=likeness)
    found, refused = alike.candidates(problem, likeness)
    if pin is not None:
        key, wanted = pin
        for candidate in found:
            if not satisfies(candidate, wanted):
                refused.append(Refusal(candidate.id, RefusalCode.PIN, f"{key!r} is pinned to {wanted}"))
        found = [c for c in found if satisfies(c, wanted)]
    else:
        found = _modest(found, refused, options)
    if pin is None and options.policy == "order" and found:
        first = found[0].backend
        for candidate in found:
            if candidate.backend.name != first.name:
                text = f"{first.name} comes first in the order of backends"
                refused.append(Refusal(candidate.id, RefusalCode.POLICY, text))
        found = [c for c in found if c.backend.name == first.name]
    if pin is None and options.policy == "cost":
        found = _asked_for(found, refused, options)
    scored, refusals = tuple(alike.score(problem, c, likeness) for c in found), tuple(refused)
    if any(s.noise for s in scored):
        scored = _steadied(scored, [alike.static(problem, c, likeness) for c in found])
    if pin is None and likeness is not None:
        alike.open[likeness] = scored, refusals
    return Choices(node, problem, scored, refusals, None if pin is None else pin[0], likeness)


def _steadied(scored: Sequence[Scored], static: Sequence[Scored]) -> tuple[Scored, ...]:
    """Measured times with their noise, but for the kernel that would be taken without them: another must be better."""
    own = min(range(len(static)), key=lambda i: static[i].seconds)
    charged = scored[own].noise
    return tuple(
        s
        if i == own or s.source is not Source.MEASURED
        else replace(s, seconds=s.seconds + s.noise + charged)
        for i, s in enumerate(scored)
    )


def _asked_for(found: list[Candidate], refused: list[Refusal], options: SelectionOptions) -> list[Candidate]:
    """The candidates of backends that were named; all where there is no such one, as a fallback is for that."""
    named = [c for c in found if not options.is_fallback(c.backend)]
    if named and len(named) < len(found):
        text = f"its backend was not asked for, and {named[0].backend.name} can run the node"
        others = dict.fromkeys(c.id for c in found if options.is_fallback(c.backend))
        refused.extend(Refusal(kernel, RefusalCode.POLICY, text) for kernel in others)
    return named or found


def _modest(found: list[Candidate], refused: list[Refusal], options: SelectionOptions) -> list[Candidate]:
    """The candidates within the limits of memory and error that the user set; all where there is no such one."""
    tight = options.memory == "low"
    refusals = []
    for candidate in found:
        factor = candidate.kernel.accuracy.factor
        if tight and candidate.kernel.expands:
            text = "its packed constants outgrow the constants, and memory='low' was asked for"
            refusals.append(Refusal(candidate.id, RefusalCode.MEMORY, text))
        elif factor > options.error_factor:
            text = f"declares {factor:g} times a direct sum's error, and error_factor is {options.error_factor:g}"
            refusals.append(Refusal(candidate.id, RefusalCode.ACCURACY, text))
    if not refusals:
        return found
    names = {r.kernel for r in refusals}
    modest = [c for c in found if c.id not in names]
    if modest:
        refused.extend(refusals)
    return modest or found


def _expand_fused(graph: Graph, options: SelectionOptions) -> tuple[Graph, list[Choices]]:
    """Choices of every node, fused nodes replaced by their parts where that is the better or the only way."""
    nodes: list[Node] = []
    choices: list[Choices] = []
    mapping: dict[Value, Value] = {}
    terms = (options.policy, options.named, options.memory, options.error_factor)
    alike = Alike(options.backends, options.cache, judged_by(options.backends), terms)
    for node in graph.nodes:
        whole = choices_for(node, options, alike)
        key = None if options.pins or not node.domain else whole.likeness
        parts = None if key in alike.whole else _parts(whole, options, alike)
        if parts is None or not _parts_win(whole, parts[1], options):
            if key is not None:
                alike.whole.add(key)
            nodes.append(node)
            choices.append(whole)
            continue
        body, open_choices = parts
        nodes.extend(body.nodes)
        choices.extend(open_choices)
        mapping.update(zip(node.results, body.outputs))
    if not mapping:
        return graph, choices
    expanded = graph.replace(nodes=tuple(nodes)).substitute(mapping)
    # Substitution makes new node objects; the choices must speak of those.
    choices = [
        c if c.node is node else Choices(node, c.problem, c.scored, c.refusals, c.pin)
        for c, node in zip(choices, expanded.nodes)
    ]
    for old, new in mapping.items():
        new.name = old.name
    return expanded, choices


def _parts(whole: Choices, options: SelectionOptions, alike: Alike) -> tuple[Graph, list[Choices]] | None:
    """A fused node taken apart and the choices of its parts; None when the first of them are known to take too long."""
    node = whole.node
    spec = find_spec(node.domain, node.op, node.version) if node.domain else None
    if spec is None or spec.decompose is None:
        return None
    left, choices = _at_most(whole, options), []
    if left < math.inf and options.policy == "order" and not alike.is_measured:
        own = min(whole.scored, key=lambda s: s.seconds)
        if own.candidate.kernel.whole and own.source is Source.MODEL:
            return None
    body = spec.decompose(node)
    present = [v for v in node.inputs if v is not None]
    body = body.substitute(dict(zip(body.inputs, present)))
    renamed = tuple(
        part.replace(name=f"{node.name or node.op}/{part.op}.{i}") for i, part in enumerate(body.nodes)
    )
    body = body.replace(nodes=renamed)
    for part in body.nodes:
        choices.append(choices_for(part, options, alike))
        left -= min((s.seconds for s in choices[-1].scored), default=0.0)
        if left <= 0:
            return None
    return body, choices


def _at_most(whole: Choices, options: SelectionOptions) -> float:
    """Seconds that parts must stay below to win; infinity where something else than time may decide."""
    if not whole.scored or whole.pin is not None:
        return math.inf
    own = min(whole.scored, key=lambda s: s.seconds)
    first = own.candidate.backend.name == options.backends[0].name
    by_time = options.policy == "cost" and not options.is_fallback(own.candidate.backend)
    return _CLEARLY * own.seconds if first or by_time else math.inf


def _parts_win(whole: Choices, parts: Sequence[Choices], options: SelectionOptions) -> bool:
    if any(not c.scored for c in parts):
        return False
    if not whole.scored:
        return True
    if whole.pin is not None:
        return False
    best = [min(c.scored, key=lambda s: s.seconds) for c in parts]
    own = min(whole.scored, key=lambda s: s.seconds)
    if options.policy == "order":
        place = {b.name: i for i, b in enumerate(options.backends)}
        first_part = min(place.get(s.candidate.backend.name, len(place)) for s in best)
        if first_part != place[own.candidate.backend.name]:
            # An earlier backend that has only some of the parts still gets them: fusion must not hide its kernels.
            return first_part < place[own.candidate.backend.name]
    elif any(options.is_fallback(s.candidate.backend) for s in best) != (
        whole_is_fallback := options.is_fallback(own.candidate.backend)
    ):
        return whole_is_fallback  # by cost only those compete that were asked for
    # Ranks only order kernels of one operator, so they cannot weigh a fused kernel against its parts.
    known = all(s.source is not Source.RANK for s in (*best, own))
    return known and sum(s.seconds for s in best) < _CLEARLY * own.seconds


def _decision(choices: Choices, chosen: Scored) -> Decision:
    others = tuple(sorted((s for s in choices.scored if s is not chosen), key=lambda s: s.seconds))
    return Decision(
        choices.node, choices.problem, chosen, _why(choices, chosen, others), others, choices.refusals
    )


def _why(choices: Choices, chosen: Scored, others: Sequence[Scored]) -> str:
    if choices.pin is not None:
        return f"pinned by {choices.pin!r}"
    if not others:
        policy = any(r.code is RefusalCode.POLICY for r in choices.refusals)
        return "first in the order of backends" if policy else "the only kernel that accepts it"
    rival = others[0]
    if chosen.source is Source.RANK and rival.source is Source.RANK:
        return f"rank {chosen.candidate.kernel.rank} against {rival.candidate.kernel.rank} of {rival.candidate.label}"
    text = (
        f"{chosen.source.value} {chosen.seconds * 1e6:.1f} us against"
        f" {rival.source.value} {rival.seconds * 1e6:.1f} us of {rival.candidate.label}"
    )
    return text if chosen.seconds <= rival.seconds else f"{text}, which would need dearer conversions"


def _refuse_missing(choices: Sequence[Choices], options: SelectionOptions) -> None:
    missing = [c for c in choices if not c.scored]
    if not missing:
        return
    pinned = [c for c in missing if c.pin is not None]
    if pinned:
        first = pinned[0]
        reasons = "; ".join(map(str, first.refusals)) or "no backend implements this operator"
        wanted = options.pins[first.pin or ""]
        raise SelectionError(
            f"node {first.node.name or first.node.op_id!r} ({first.node.op_id}) is pinned to {wanted!r}, which"
            f" cannot run it: {reasons}"
        )
    names = ", ".join(b.name for b in options.backends)
    lines = []
    for (op, version), count in Counter((c.node.op_id, c.node.version) for c in missing).items():
        example = next(c for c in missing if c.node.op_id == op)
        reasons = "; ".join(dict.fromkeys(str(r) for r in example.refusals)) or f"no kernel in {names}"
        times = (
            f" ({count} nodes)"
            if count > 1
            else f" (node {example.node.name!r})"
            if example.node.name
            else ""
        )
        lines.append(f"{op} version {version}{times}: {reasons}")
    raise UnsupportedModelError(
        "no backend here can run: "
        + " | ".join(lines)
        + ". Backends asked: "
        + names
        + "; `orpheus backends`"
        " lists what is installed and what is not usable; orpheus-numpy implements every inference operator of ONNX."
    )
