"""Special: NaN, infinities, signed zeros and denormals among the inputs.

A NaN may not vanish, an infinity keeps its sign. Hardware may flush denormals: a result is right when it is right for
the inputs as they are or with denormals as zeros. A kernel that declares a transform (``Accuracy.factor`` above 1, or
not exact on integers) may spread a NaN to results that share its tile. One that declares ``Accuracy.special=False``
promises nothing here, which its row says, and is not judged.
"""

from __future__ import annotations

from orpheus_conformance.space import Space
from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers.base import Tier, takes_floats


def _promised(subject: Subject, space: Space) -> str | None:
    """A reason when the kernel declares that it does not keep such values, or cannot get any."""
    if not subject.kernel.accuracy.special:
        return "declares that NaN, infinities and denormals may be lost"
    return takes_floats(subject, space)


SPECIAL = Tier("special", "NaN, infinities, signed zeros, denormals", ("special",), applies=_promised)
