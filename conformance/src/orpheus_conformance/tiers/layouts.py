"""Layouts: a kernel that takes another layout than plain is right through conversion both ways.

Channel counts that do not fill the last block are among the shapes; what pads it must be zero in outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from orpheus_conformance.space import Space
from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers.base import Tier
from orpheus_core.plugin import Format


def _other(subject: Subject) -> Sequence[Format]:
    return [f for f in subject.kernel.formats if any(n != "plain" for n in (*f.inputs, *f.outputs))]


def _applies(subject: Subject, space: Space) -> str | None:
    return None if _other(subject) else "takes the plain layout only"


LAYOUTS = Tier(
    "layouts", "blocked and permuted layouts, both ways", ("normal",), formats=_other, applies=_applies
)
