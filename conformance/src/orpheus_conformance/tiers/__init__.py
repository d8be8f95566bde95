"""The tiers: what is asked of a kernel. Each is one file; generated ones are a :class:`.base.Tier`, others a Survey."""

from __future__ import annotations

from orpheus_conformance.tiers.base import Survey, Tier
from orpheus_conformance.tiers.bounded import BOUNDED
from orpheus_conformance.tiers.contract import CONTRACT
from orpheus_conformance.tiers.exact import EXACT
from orpheus_conformance.tiers.layouts import LAYOUTS
from orpheus_conformance.tiers.metamorphic import METAMORPHIC
from orpheus_conformance.tiers.refusal import REFUSAL
from orpheus_conformance.tiers.special import SPECIAL

#: Tiers whose cases are generated, in the order they run.
TIERS: dict[str, Tier] = {t.name: t for t in (EXACT, BOUNDED, SPECIAL, METAMORPHIC, LAYOUTS, REFUSAL)}
#: Tiers that look at a backend or kernel without generating cases; they run first.
SURVEYS: dict[str, Survey] = {s.name: s for s in (CONTRACT,)}

__all__ = ["SURVEYS", "TIERS", "Survey", "Tier"]
