"""Metamorphic: how a kernel is called does not matter.

Strided inputs (short form; the core gives the full form contiguous ones), inputs that start off a vector boundary, an
output in the place of an input (where declared), a second call of the same step (equal bits), more threads, a batch
computed in two parts (where the space has a batch axis).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orpheus_conformance.instance import Instance
from orpheus_conformance.space import Space, find_space
from orpheus_conformance.split import can_split
from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers.base import Tier
from orpheus_core.types import CPU, TensorType


def _variants(subject: Subject) -> Sequence[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = [{"calls": 2}]
    if subject.backend.device == CPU:
        found.append({"offset": 1})
        found.append({"offset": 3, "calls": 2})
        if subject.kernel.run is not None:
            found.append({"gap": True})
        found.extend({"inplace": pair} for pair in subject.kernel.inplace)
    space = find_space(subject.kernel.domain, subject.kernel.op)
    if space is not None and space.batch is not None:
        found.append({"split": True})
    return found


def _admits(instance: Instance, space: Space) -> bool:
    if instance.case.variant.get("split"):
        return can_split(instance, space)
    pair = instance.case.variant.get("inplace")
    if pair is None:
        return True
    output, source = pair
    types = instance.problem.outputs[output : output + 1] + instance.problem.inputs[source : source + 1]
    if len(types) < 2 or types[0] != types[1] or source in instance.problem.constants:
        return False
    return isinstance(types[0], TensorType) and types[0].is_static


METAMORPHIC = Tier(
    "metamorphic",
    "strides, alignment, in place, repeats, threads",
    ("normal",),
    threads=(1, 2),
    variants=_variants,
    admits=_admits,
)
