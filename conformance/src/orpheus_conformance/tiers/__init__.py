"""The tiers: what is asked of a kernel. Each is one file; generated ones are a :class:`.base.Tier`, others a Survey."""

from __future__ import annotations

from orpheus_conformance.tiers.base import Survey, Tier
from orpheus_conformance.tiers.bounded import BOUNDED
from orpheus_conformance.tiers.concurrency import CONCURRENCY
from orpheus_conformance.tiers.contract import CONTRACT
from orpheus_conformance.tiers.exact import EXACT
from orpheus_conformance.tiers.layouts import LAYOUTS
from orpheus_conformance.tiers.metamorphic import METAMORPHIC
from orpheus_conformance.tiers.refusal import REFUSAL
from orpheus_conformance.tiers.special import SPECIAL

#: Tiers whose cases are generated, in the order they run.
TIERS: dict[str, Tier] = {
    t.name: t for t in (EXACT, BOUNDED, SPECIAL, METAMORPHIC, CONCURRENCY, LAYOUTS, REFUSAL)
}
#: Tiers that look at a backend or kernel without generating cases; they run first.
SURVEYS: dict[str, Survey] = {s.name: s for s in (CONTRACT,)}

#: Tiers that look at whole graphs or fixed cases; they run last. Each names a function as :func:`..engine.jobs`
#: calls it: (backend, subjects, options, judges by kernel id) -> jobs.
STUDIES: dict[str, str] = {
    "plan": "orpheus_conformance.plan.study:jobs",
    "corpus": "orpheus_conformance.corpus.study:jobs",
}

__all__ = ["STUDIES", "SURVEYS", "TIERS", "Survey", "Tier"]
