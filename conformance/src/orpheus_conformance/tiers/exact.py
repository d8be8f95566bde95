"""Exact: on small integers, whose sums and products are exact, results are equal to the last bit.

A kernel whose arithmetic rounds on integers too (Winograd) declares ``Accuracy.exact_integers=False`` and is held to
its bound instead.
"""

from __future__ import annotations

from orpheus_conformance.instance import Instance
from orpheus_conformance.space import Space
from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers.base import Tier


def _applies(subject: Subject, space: Space) -> str | None:
    if not callable(space.tolerance) and not space.tolerance.exact_integers:
        return "results are not exact on integers"
    return None


def _admits(instance: Instance, space: Space) -> bool:
    return space.tolerance_of(instance.case).exact_integers


EXACT = Tier("exact", "small integers, equal bits", ("small",), applies=_applies, admits=_admits)
