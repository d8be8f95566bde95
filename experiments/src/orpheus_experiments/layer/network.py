"""A whole network's choices: what each layer takes, what the best alternative would take: ``orpheus layers``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orpheus_core.graph import Value
from orpheus_core.plugin import Backend
from orpheus_core.selection.alike import Alike
from orpheus_core.selection.measure import can_measure
from orpheus_core.session import InferenceSession
from orpheus_experiments.layer.rows import KernelRow, Limits, rows_of
from orpheus_experiments.layer.scene import Scene
from orpheus_experiments.layer.stand import Stand, Timing
from orpheus_experiments.layer.study import SCHEMA, plain, study_at
from orpheus_experiments.layer.work import name_of, work_of

__all__ = ["LayerChoice", "NetworkStudy", "study_network"]


@dataclass(frozen=True)
class LayerChoice:
    """One node: the chosen kernel and the best other one, in place, conversions included; seconds.

    ``alike`` numbers the distinct layers: nodes with one number were measured once. ``seconds`` and ``low``, ``high``
    are the chosen kernel's own; ``conversions`` those around it. ``alternative`` is the fastest right other kernel in
    place and ``excluded`` why selection may not take it. ``lost``: seconds that taking it instead would save, 0 when
    it would save none; ``ratio``: its time in place over the chosen one's. ``bad`` lists kernels that gave no right
    result. ``reason``: why nothing was measured; empty otherwise.
    """

    node: str
    op: str
    alike: int
    chosen: str
    status: str
    seconds: float | None
    low: float | None
    high: float | None
    conversions: float | None
    share_of_peak: float | None
    alternative: str
    alternative_seconds: float | None
    ratio: float | None
    lost: float
    is_sure: bool
    excluded: str
    macs: int | None
    nbytes: int | None
    bad: tuple[str, ...]
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class NetworkStudy:
    """Every node in running order, and totals in seconds.

    ``seconds`` sums the chosen kernels' own times, ``conversions`` what converting between them takes (each
    conversion once), ``lost`` what the alternatives would save if each were taken alone, ``lost_surely`` those of them
    that the spread of the turns does not explain.
    """

    layers: tuple[LayerChoice, ...]
    distinct: int
    conversions: float
    limits: Limits
    summary: str

    @property
    def seconds(self) -> float:
        """The sum of the chosen kernels' medians."""
        return sum(x.seconds or 0.0 for x in self.layers)

    @property
    def lost(self) -> float:
        """The sum over all layers."""
        return sum(x.lost for x in self.layers)

    @property
    def lost_surely(self) -> float:
        """The sum over the layers where it is beyond the spread."""
        return sum(x.lost for x in self.layers if x.is_sure)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "schema": SCHEMA,
            "summary": self.summary,
            "distinct": self.distinct,
            "peak": asdict(self.limits.peak),
            "bandwidth": asdict(self.limits.bandwidth),
            "totals": {
                "seconds": self.seconds,
                "conversions": self.conversions,
                "lost": self.lost,
                "lost_surely": self.lost_surely,
            },
            "layers": [plain(asdict(x)) for x in self.layers],
        }


def study_network(
    session: InferenceSession,
    feeds: Mapping[str, Any],
    *,
    timing: Timing | None = None,
    timeout: float = 60.0,
    isolate: bool = False,
    backends: Sequence[Backend] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> NetworkStudy:
    """Measure every kernel of every layer of the session's network, layers that are alike once.

    ``backends`` may have kernels that the session was made without.
    """
    scene = Scene(session, feeds, backends)
    limits = Limits.of(session)
    groups = _groups(scene)
    say("computing what flows through the network ...")
    heads = [members[0] for members in groups.values()]
    values = scene.values(_read_by(scene, heads))
    rows: dict[int, tuple[int, tuple[KernelRow, ...]]] = {}
    began = time.monotonic()
    with Stand(scene.backends, session.threads, timeout=timeout, isolate=isolate) as stand:
        for number, members in enumerate(groups.values()):
            left = (time.monotonic() - began) / number * (len(groups) - number) if number else None
            told = f"layer {number + 1} of {len(groups)}" + ("" if left is None else f", {_clock(left)} left")
            study, measured = study_at(
                scene, members[0], stand, limits,
                timing=timing or Timing(rounds=5, seconds=0.05), values=values,
                say=lambda text, told=told: say(f"{told}: {text}"),  # type: ignore[misc]
            )  # fmt: skip
            rows[members[0]] = (number, study.rows)
            for index in members[1:]:
                rows[index] = (number, rows_of(scene, index, stand, limits, measured))
        moves = {m for i in range(len(scene.graph.nodes)) for m in _own_moves(scene, i)}
        known = {m: stand.seconds_of(m[1]) for m in moves}
    layers = tuple(_choice(scene, i, rows.get(i)) for i in range(len(scene.graph.nodes)))
    conversions = sum(s or 0.0 for s in known.values())
    return NetworkStudy(layers, len(groups), conversions, limits, scene.plan.selection.summary)


def _groups(scene: Scene) -> dict[object, list[int]]:
    """Nodes that can be measured, those that are alike together."""
    alike = Alike(scene.session.options.backends, None)
    groups: dict[object, list[int]] = {}
    for index, decision in enumerate(scene.decisions):
        if decision.candidate.backend.name == "core" or not can_measure(decision.problem):
            continue
        key = alike.key(decision.problem)
        # The same work under another pin or limit is chosen otherwise, but measured alike.
        groups.setdefault(("alone", index) if key is None else key, []).append(index)
    return groups


def _read_by(scene: Scene, indices: list[int]) -> list[Value]:
    return [v for i in indices for v in scene.graph.nodes[i].inputs if v is not None]


def _own_moves(scene: Scene, index: int) -> list[tuple[Value, Any]]:
    """The conversions of what this node makes, and of graph inputs at their first reader: each is counted once."""
    decision = scene.decisions[index]
    return [
        (v, m) for v, m in scene.moves_by_value(index, decision.candidate) if scene.is_counted_at(v, index)
    ]


def _choice(scene: Scene, index: int, found: tuple[int, tuple[KernelRow, ...]] | None) -> LayerChoice:
    node, decision = scene.graph.nodes[index], scene.decisions[index]
    work, name, label = work_of(node), name_of(node), decision.candidate.label
    if found is None:
        is_view = decision.candidate.backend.name == "core"
        reason = "" if is_view else "cannot run alone: control flow, or a shape is open"
        status, seconds = ("view", 0.0) if is_view else ("unmeasured", None)
        return LayerChoice(
            name, node.op_id, -1, label, status, seconds, seconds, seconds, None, None, "", None, None, 0.0, False, "",
            work.macs, work.nbytes, (), reason,
        )  # fmt: skip
    number, rows = found
    chosen = next((r for r in rows if r.is_chosen), None)
    others = [r for r in rows if not r.is_chosen and r.status == "ok" and r.in_place is not None]
    rival = min(others, key=lambda r: r.in_place or math.inf, default=None)
    mine = chosen.in_place if chosen is not None and chosen.status == "ok" else None
    theirs = rival.in_place if rival is not None else None
    both = mine is not None and theirs is not None
    return LayerChoice(
        node=name,
        op=node.op_id,
        alike=number,
        chosen=label,
        status=chosen.status if chosen else "unmeasured",
        seconds=chosen.median if chosen else None,
        low=chosen.low if chosen else None,
        high=chosen.high if chosen else None,
        conversions=None if mine is None or chosen is None else mine - (chosen.median or 0.0),
        share_of_peak=chosen.share_of_peak if chosen else None,
        alternative=rival.kernel if rival else "",
        alternative_seconds=theirs,
        ratio=theirs / mine if both and mine and theirs is not None else None,
        lost=max(0.0, mine - theirs) if mine is not None and theirs is not None else 0.0,
        is_sure=_is_sure(chosen, rival),
        excluded=rival.excluded if rival else "",
        macs=work.macs,
        nbytes=work.nbytes,
        bad=tuple(f"{r.kernel}: {r.status}: {r.reason}" for r in rows if r.status not in ("ok", "view")),
        reason=chosen.reason if chosen else "the chosen kernel was not found among the candidates",
        note=scene.chained(index),
    )


def _is_sure(chosen: KernelRow | None, rival: KernelRow | None) -> bool:
    """Whether the rival is faster in place even at the upper end of its time's ratio to the chosen one's."""
    if chosen is None or rival is None or rival.ratio_high is None or chosen.median is None:
        return False
    if chosen.in_place is None or rival.in_place is None or rival.median is None:
        return False
    return rival.ratio_high * chosen.median + (rival.in_place - rival.median) < chosen.in_place


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
