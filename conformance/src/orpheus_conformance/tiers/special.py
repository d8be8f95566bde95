"""Special: NaN, infinities, signed zeros and denormals among the inputs.

A NaN may not vanish, an infinity keeps its sign. Hardware may flush denormals: a result is right when it is right for
the inputs as they are or with denormals as zeros. A kernel that declares a transform (``Accuracy.factor`` above 1, or
not exact on integers) may spread a NaN to results that share its tile.
"""

from __future__ import annotations

from orpheus_conformance.tiers.base import Tier, takes_floats

SPECIAL = Tier("special", "NaN, infinities, signed zeros, denormals", ("special",), applies=takes_floats)
