"""Concurrency: where calls may overlap, one does not disturb the other.

The core calls short-form kernels from several threads at once, and steps of one prepared object where the kernel
declares ``overlap``. A second call on other data runs within and beside the first; both must give what they give alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orpheus_conformance.space import Space
from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers.base import Tier
from orpheus_core.types import CPU


def _variants(subject: Subject) -> Sequence[Mapping[str, Any]]:
    return ({"together": True},)


def _applies(subject: Subject, space: Space) -> str | None:
    if subject.backend.device != CPU:
        return "calls on a device follow each other in its queue"
    if subject.kernel.prepare is not None and not subject.kernel.overlap:
        return "does not declare that calls may overlap"
    return None


CONCURRENCY = Tier("concurrency", "calls that overlap", ("normal",), variants=_variants, applies=_applies)
