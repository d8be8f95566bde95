"""Two runs of the same trials: what got slower, what broke, and how sure that is.

The processes of two runs are no pairs, so each trial is compared by Welch's test on the logarithms of its processes'
medians. Of many trials some differ by chance alone: the probabilities are corrected by Holm's method, and a change is
called real only when it is beyond the noise between processes, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orpheus_experiments.benchmark.comparing import is_wrong, times
from orpheus_experiments.report.row import engine_label, identity
from orpheus_experiments.results import Name
from orpheus_experiments.statistics.processes import LEVEL, Difference, chance, compare
from orpheus_experiments.trial import Record, Trial

__all__ = ["Change", "changes", "holm", "regressions"]


@dataclass(frozen=True)
class Change:
    """A trial in both runs. ``verdict``: slower, faster, same, untold (one process has no interval), or in words what
    broke, was mended or is broken in both. ``chance``: the corrected probability of such a gap were there none.
    """

    trial: Trial
    board: str | None
    verdict: str
    difference: Difference | None = None
    chance: float | None = None
    why: str = ""

    @property
    def label(self) -> str:
        """Where, in words."""
        t = self.trial
        words = [t.model.name, engine_label(t), f"threads {t.threads}", f"batch {t.batch}", t.scenario]
        return ", ".join([*([self.board] if self.board else []), *words])

    @property
    def confidence(self) -> float | None:
        """That there is a difference; None where it cannot be told."""
        return None if self.chance is None else 1 - self.chance

    @property
    def is_regression(self) -> bool:
        """Whether it got worse."""
        return self.verdict in ("slower", "broke")


def changes(
    new: Mapping[Name, Record], old: Mapping[Name, Record], least: float = 0.0
) -> tuple[list[Change], int, int]:
    """Each trial of both, regressions first; then how many only ``new`` has, and only ``old``.

    A gap of a share below ``least`` is no change, however sure it is.
    """
    mine = {identity(name, r.trial): (name, r) for name, r in new.items()}
    theirs = {identity(name, r.trial): r for name, r in old.items()}
    both = [(name, r, theirs[key]) for key, (name, r) in mine.items() if key in theirs]
    found = []
    timed = []
    for name, now, then in both:
        broken = _broken(now), _broken(then)
        if broken[0] or broken[1]:
            verdict = "broken in both" if all(broken) else "broke" if broken[0] else "mended"
            found.append(Change(now.trial, name.board, verdict, why=broken[0] or broken[1]))
        else:
            timed.append((name, now.trial, times(now), times(then)))
    told = holm([chance(a, b) for *_, a, b in timed])
    for (name, trial, a, b), probability in zip(timed, told):
        difference = compare(a, b)
        verdict = _verdict(difference, probability, least)
        found.append(Change(trial, name.board, verdict, difference, probability))
    order = ("broke", "slower", "untold", "faster", "mended", "same", "broken in both")
    found.sort(
        key=lambda c: (order.index(c.verdict), -(c.difference.ratio.value if c.difference else 0), c.label)
    )
    return found, len(mine) - len(both), len(theirs) - len(both)


def regressions(found: Sequence[Change]) -> list[Change]:
    """Those that got worse."""
    return [change for change in found if change.is_regression]


def holm(chances: Sequence[float | None]) -> list[float | None]:
    """Probabilities corrected for how many there are, so that one false alarm among all has the chance of one alone."""
    known = sorted((p, i) for i, p in enumerate(chances) if p is not None)
    found: list[float | None] = [None] * len(chances)
    worst = 0.0
    for rank, (p, i) in enumerate(known):
        worst = max(worst, min(1.0, p * (len(known) - rank)))
        found[i] = worst
    return found


def _verdict(difference: Difference, probability: float | None, least: float) -> str:
    if difference.is_real is None or probability is None:
        return "untold"
    ratio = difference.ratio.value
    gap = max(ratio, 1 / ratio) - 1
    if not difference.is_real or probability > 1 - LEVEL or gap < least:
        return "same"
    return "slower" if ratio > 1 else "faster"


def _broken(record: Record) -> str:
    if record.failure is not None:
        return f"{record.failure.kind}: {record.failure.message}"
    return "its results are wrong" if is_wrong(record) else ""
