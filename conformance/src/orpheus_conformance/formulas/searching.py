"""Selections by value. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Case
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance


def _unsorted(case: Case) -> bool:
    return case.attributes.get("sorted") == 0


@formula("Unique", when=_unsorted, why="it sorts all the same, and mistakes positions for values")
def unique(instance: Instance) -> tuple[Any, ...]:
    """In the order of first occurrence."""
    data = instance.arrays[0]
    axis: Any = instance.node.attributes.get("axis")
    rows = data.reshape(-1) if axis is None else np.moveaxis(data, axis, 0)
    seen: dict[Any, int] = {}
    first, inverse, counts = [], [], []
    for place, row in enumerate(rows):
        key = tuple(np.reshape(row, -1).tolist())
        if key not in seen:
            seen[key] = len(seen)
            first.append(place)
            counts.append(0)
        inverse.append(seen[key])
        counts[seen[key]] += 1
    chosen = rows[first]
    y = chosen if axis is None else np.moveaxis(chosen, 0, axis)
    return (y, *(np.array(column, np.int64) for column in (first, inverse, counts)))


@formula("NonMaxSuppression", why="it fails for scalars and for inputs left out")
def non_max_suppression(instance: Instance) -> tuple[Any, ...]:
    """Boxes by falling score; one that overlaps a kept one of its class by more than the threshold is dropped."""
    boxes, scores, *rest = instance.arrays
    most, overlap, least = (None if x is None else x.reshape(-1)[0] for x in (*rest, None, None, None)[:3])
    kept = []
    for batch in range(scores.shape[0]):
        corners = [
            _corners(b, bool(instance.node.attributes["center_point_box"])) for b in boxes[batch].tolist()
        ]
        for label in range(scores.shape[1]):
            of = scores[batch, label].tolist()
            taken: list[int] = []
            for box in sorted(range(len(of)), key=lambda n: -of[n]):
                if len(taken) >= (0 if most is None else most) or (least is not None and of[box] <= least):
                    break
                limit = 0.0 if overlap is None else float(overlap)
                if all(_overlap(corners[box], corners[other]) <= limit for other in taken):
                    taken.append(box)
            kept += [(batch, label, box) for box in taken]
    return (np.array(kept, np.int64).reshape(len(kept), 3),)


def _corners(box: list[float], centred: bool) -> tuple[float, float, float, float]:
    if centred:
        x, y, w, h = box
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    a, b, c, d = box
    return min(a, c), min(b, d), max(a, c), max(b, d)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    common = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return common / (both - common) if common else 0.0
