"""Everything that metrics are read from, gathered while a trial ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orpheus_experiments.trial.record import Layer, Measurement, Process
from orpheus_experiments.trial.trial import Trial

__all__ = ["Measure", "Observed"]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The processes of a trial and what was found beside them; ``reasons`` say, by metric, why something is missing.

    ``watts``: of each meter while the machine was idle, a reading for each process. ``peak``: the machine's FLOP/s and
    who measured it; ``bandwidth``: the same of its memory's bytes a second. ``agreement``: the share of equal classes
    among ``images`` inputs.
    """

    trial: Trial
    processes: Sequence[Process]
    model_bytes: int | None = None
    macs: int | None = None
    error: float | None = None
    agreement: float | None = None
    images: int = 0
    reference: str = ""
    peak: tuple[float, str] | None = None
    bandwidth: tuple[float, str] | None = None
    layers: Sequence[Layer] = ()
    watts: Sequence[Mapping[str, float]] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    def samples(self) -> list[list[float]]:
        """Seconds of every inference, a list for each process."""
        return [[s for t in p.turns for row in t.samples for s in row] for p in self.processes]

    def missing(self, metric: str, otherwise: str) -> Measurement:
        """The metric as not measured, for the reason that is known, or ``otherwise``."""
        return Measurement.absent(self.reasons.get(metric, otherwise))


#: Reads one metric.
Measure = Callable[[Observed], Measurement]
