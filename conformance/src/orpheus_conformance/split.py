"""Batch splitting: a layer computed in two parts along its batch axis, put together again."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.instance import Instance, assemble, spec_of_case
from orpheus_conformance.space import Space
from orpheus_conformance.subject import Observed, Subject, format_of, observe
from orpheus_core.selection.candidates import Candidate


def can_split(instance: Instance, space: Space) -> bool:
    """Whether the layer has a batch of two or more that is no constant's."""
    axes = space.batch(instance.case) if space.batch is not None else None
    if axes is None:
        return False
    sizes = {
        instance.arrays[i].shape[a] for i, a in axes[0].items() if isinstance(instance.arrays[i], np.ndarray)
    }
    return len(sizes) == 1 and min(sizes) >= 2 and not set(axes[0]) & set(instance.problem.constants)


def observe_split(subject: Subject, instance: Instance, space: Space) -> Observed:
    """Run the first part of the batch, then the rest."""
    assert space.batch is not None
    axes = space.batch(instance.case)
    assert axes is not None
    inputs, outputs = axes
    first = next(iter(inputs))
    middle = (instance.arrays[first].shape[inputs[first]] + 1) // 2
    parts = []
    for piece in (slice(0, middle), slice(middle, None)):
        arrays = tuple(_cut(a, inputs.get(i), piece) for i, a in enumerate(instance.arrays))
        part = assemble(instance.case, spec_of_case(instance.case), arrays, instance.node.attributes)
        found, _ = subject.answer(part.problem)
        wanted = [c for c in found if c.format == format_of(instance.case) and not c.late]
        if not wanted:
            # A kernel may be made for one batch size: then the whole is all there is.
            return observe(subject, _whole(subject, instance), instance)
        parts.append(observe(subject, wanted[0], part))
    joined = tuple(
        np.concatenate([p.outputs[n] for p in parts], outputs[n]) if n in outputs and parts[0].outputs[n] is not None
        else parts[0].outputs[n]
        for n in range(len(parts[0].outputs))
    )  # fmt: skip
    return Observed(joined, tuple(v for p in parts for v in p.violations))


def _whole(subject: Subject, instance: Instance) -> Candidate:
    return next(c for c in subject.answer(instance.problem)[0] if c.format == format_of(instance.case))


def _cut(array: Any, axis: int | None, piece: slice) -> Any:
    if axis is None or not isinstance(array, np.ndarray):
        return array
    return array[(slice(None),) * axis + (piece,)]
