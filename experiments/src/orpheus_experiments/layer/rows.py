"""Rows of the layer study: what a kernel's turns, its layouts and its results amount to at one place of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.selection.candidates import Candidate
from orpheus_core.session import InferenceSession
from orpheus_experiments.layer.exact import Exact, limit_of
from orpheus_experiments.layer.scene import Move, Scene
from orpheus_experiments.layer.stand import Outcome, Stand
from orpheus_experiments.layer.work import Work, work_of
from orpheus_experiments.profile.peak import Bandwidth, Peak, measured_bandwidth, measured_peak
from orpheus_experiments.statistics.rounds import best_ratio, median

__all__ = ["ConversionFact", "KernelRow", "Limits", "Measured", "rows_of"]


_MOMENTS = 3


@dataclass(frozen=True)
class Limits:
    """What the machine can do at best; shares are of these."""

    peak: Peak
    bandwidth: Bandwidth

    @classmethod
    def of(cls, session: InferenceSession) -> Limits:
        """Measured now, with the session's threads: the best of three moments, for the machine may be busy at one."""
        backends, threads = session.options.backends, session.threads
        peaks = [measured_peak(backends, threads) for _ in range(_MOMENTS)]
        rates = [measured_bandwidth(threads) for _ in range(_MOMENTS)]
        return cls(max(peaks, key=lambda p: p.flops), max(rates, key=lambda b: b.rate))


@dataclass(frozen=True)
class ConversionFact:
    """A conversion that a kernel's layouts cost in this place: of what, from and to, and seconds (None: unknown)."""

    type: str
    source: str
    target: str
    seconds: float | None


@dataclass(frozen=True)
class KernelRow:
    """One implementation. Seconds are medians with their 95 % interval; None where nothing was measured.

    ``status``: ok, wrong (an error above its limit), failed, crashed, timed out, or view (memory is shared, nothing
    runs). ``excluded``: why selection would not take it though it can (a limit of memory or error, a pin, the order of
    backends). ``in_place``: median and conversions. ``error`` is the largest absolute difference from float64 on the
    layer's own inputs, ``relative`` that as a share of the largest magnitude, ``limit`` what rounding explains.
    """

    kernel: str
    backend: str
    status: str
    reason: str
    is_chosen: bool
    excluded: str
    layouts: str
    median: float | None
    low: float | None
    high: float | None
    runs: int
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    conversions: tuple[ConversionFact, ...]
    in_place: float | None
    flops: float | None
    share_of_peak: float | None
    bandwidth: float | None
    share_of_bandwidth: float | None
    workspace: int | None
    packed_bytes: int | None
    weight_bytes: int | None
    prepare: float | None
    error: float | None
    mean_error: float | None
    relative: float | None
    limit: float | None


@dataclass(frozen=True)
class Measured:
    """Candidates of one layer, outcomes by their place, and what the layer computes exactly (or why that is unknown).

    It holds for every layer that is alike, wherever in the network it stands.
    """

    found: tuple[Candidate, ...]
    outcomes: Mapping[int, Outcome]
    exact: Exact | str
    with_view: bool = True


def rows_of(
    scene: Scene, index: int, stand: Stand, limits: Limits, measured: Measured
) -> tuple[KernelRow, ...]:
    """Rows at node ``index`` of the scene, fastest in place first, then what gave no time."""
    builder = _Rows(scene, index, stand, limits, measured.exact)
    views = [c for c in measured.found if c.backend.name == "core" and measured.with_view]
    rows = [builder.view(c) for c in views[:1]]
    found, outcomes = measured.found, measured.outcomes
    base = next((o for i, o in outcomes.items() if builder.is_chosen(found[i])), None)
    rows += [builder.row(found[i], o, base) for i, o in outcomes.items()]
    return tuple(sorted(rows, key=lambda r: (r.in_place is None, r.status != "ok", r.in_place or 0.0)))


@dataclass(frozen=True)
class _Rows:
    scene: Scene
    index: int
    stand: Stand
    limits: Limits
    exact: Exact | str

    @property
    def work(self) -> Work:
        return work_of(self.scene.graph.nodes[self.index])

    def is_chosen(self, candidate: Candidate) -> bool:
        chosen = self.scene.decisions[self.index].candidate
        return (candidate.backend.name, candidate.kernel, candidate.format) == (
            chosen.backend.name, chosen.kernel, chosen.format,
        )  # fmt: skip

    def view(self, candidate: Candidate) -> KernelRow:
        return KernelRow(
            candidate.label, "core", "view", "memory is shared, nothing runs", self.is_chosen(candidate), "", "plain",
            0.0, 0.0, 0.0, 0, None, None, None, (), 0.0, None, None, None, None, 0, 0, 0, None, None, None, None, None,
        )  # fmt: skip

    def row(self, candidate: Candidate, outcome: Outcome, base: Outcome | None) -> KernelRow:
        spread = median(outcome.rounds) if outcome.rounds else None
        seconds = None if spread is None else spread.value
        moves = self.scene.moves(self.index, candidate)
        conversions = tuple(self._conversion(m) for m in moves)
        known = [c.seconds for c in conversions]
        total = None if seconds is None or None in known else seconds + sum(k or 0.0 for k in known)
        status, reason, error = outcome.status, outcome.reason, self._error(candidate, outcome)
        if status == "ok" and error.is_wrong:
            status, reason = "wrong", f"off by {error.largest:.2g}, rounding explains {error.limit:.2g}"
        fact = outcome.fact
        flops = None if seconds is None else self.work.flops(seconds)
        rate = None if seconds is None else self.work.bandwidth(seconds)
        ratio = _ratio(outcome, base)
        return KernelRow(
            kernel=candidate.label,
            backend=candidate.backend.name,
            status=status,
            reason=reason,
            is_chosen=self.is_chosen(candidate),
            excluded=self._excluded(candidate),
            layouts=_layouts(candidate),
            median=seconds,
            low=spread.low if spread else None,
            high=spread.high if spread else None,
            runs=sum(map(len, outcome.rounds)),
            ratio=ratio[0],
            ratio_low=ratio[1],
            ratio_high=ratio[2],
            conversions=conversions,
            in_place=total,
            flops=flops,
            share_of_peak=None if flops is None else flops / self.limits.peak.flops,
            bandwidth=rate,
            share_of_bandwidth=None if rate is None else rate / self.limits.bandwidth.rate,
            workspace=fact.workspace if fact else None,
            packed_bytes=fact.packed_bytes if fact else None,
            weight_bytes=fact.weight_bytes if fact else None,
            prepare=fact.prepare_seconds if fact else None,
            error=error.largest,
            mean_error=error.mean,
            relative=error.relative,
            limit=error.limit,
        )

    def _conversion(self, move: Move) -> ConversionFact:
        type_, source, target = move
        return ConversionFact(str(type_), _place(source), _place(target), self.stand.seconds_of(move))

    def _excluded(self, candidate: Candidate) -> str:
        decision = self.scene.decisions[self.index]
        offered = {s.candidate.id for s in (decision.chosen, *decision.alternatives)}
        if candidate.id in offered:
            return ""
        return next((r.text for r in decision.refusals if r.kernel == candidate.id), "")

    def _error(self, candidate: Candidate, outcome: Outcome) -> _Error:
        """Of the output that is furthest beyond, or nearest to, its limit."""
        if outcome.fact is None or outcome.fact.errors is None or isinstance(self.exact, str):
            return _Error()
        node = self.scene.graph.nodes[self.index]
        found = []
        for number, (value, (largest, mean)) in enumerate(zip(node.results, outcome.fact.errors)):
            limit = limit_of(self.exact, number, value.type, candidate.kernel.accuracy.factor)
            found.append(_Error(largest, mean, _relative(largest, self.exact.outputs[number]), limit))
        return max(found, key=lambda e: e.excess, default=_Error())


@dataclass(frozen=True)
class _Error:
    largest: float | None = None
    mean: float | None = None
    relative: float | None = None
    limit: float | None = None

    @property
    def excess(self) -> float:
        if self.largest is None or self.limit is None or self.largest == 0:
            return 0.0
        return self.largest / self.limit if self.limit else math.inf

    @property
    def is_wrong(self) -> bool:
        return self.excess > 1


def _relative(largest: float, wanted: Any) -> float | None:
    if not isinstance(wanted, np.ndarray) or wanted.dtype.kind not in "fiub" or not wanted.size:
        return None
    finite = np.abs(wanted[np.isfinite(wanted)].astype(np.float64))
    scale = float(finite.max()) if finite.size else 0.0
    return largest / scale if scale else largest


def _ratio(outcome: Outcome, base: Outcome | None) -> tuple[float | None, float | None, float | None]:
    if base is None or not base.rounds or not outcome.rounds:
        return None, None, None
    if outcome is base:
        return 1.0, 1.0, 1.0
    count = min(len(base.rounds), len(outcome.rounds))
    _, found = best_ratio(base.rounds[:count], {outcome.label: outcome.rounds[:count]})
    return found.value, found.low, found.high


def _layouts(candidate: Candidate) -> str:
    fmt = candidate.format
    return (
        "plain"
        if fmt.is_plain
        else f"{','.join(fmt.inputs) or 'plain'} -> {','.join(fmt.outputs) or 'plain'}"
    )


def _place(place: tuple[str, Any]) -> str:
    return place[0] if str(place[1]) == "cpu" else f"{place[0]}@{place[1]}"
