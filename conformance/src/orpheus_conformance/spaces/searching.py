"""Operators whose result's size depends on the elements, and determinants."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Operand
from orpheus_conformance.draw import DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import EXACT, MOVEMENT, Evidence, Ulps
from orpheus_core.types import Array


@space("NonZero", EXACT, since=9)
def non_zero(d: Draw) -> Layer:
    """Tensors of any rank; about half of the elements are zero in some."""
    shape = d.shape("X", (2, 1, 3, 0, 4))
    kind = d.choose((d.kind, "positive")) if d.kind == "normal" else d.kind
    return Layer((d.tensor("X", d.dtype("T"), shape, kind=kind),))


@space("Unique", MOVEMENT)
def unique(d: Draw) -> Layer:
    """Elements or slices, in order or as they come; repeats are certain among small integers."""
    shape = d.shape("X", (1, 2, 3), (1, 2, 3, 5, 7))
    axis = d.choose((OMIT, d.axis(len(shape))))
    # Which NaN, and which zero, stands for its equals is not said.
    kind = "normal" if d.kind == "special" else d.choose((d.kind, "small"))
    attributes = {"axis": axis, "sorted": d.attribute("sorted", (1, OMIT, 0))}
    outputs = (True, *(d.flag() for _ in range(3)))
    while not outputs[-1]:
        outputs = outputs[:-1]
    return Layer((d.tensor("X", d.dtype("T"), shape, kind=kind),), attributes, outputs)


def _volume(e: Evidence) -> Array:
    """Hadamard's bound on the determinant, the product of the rows' lengths: errors are relative to it."""
    x = np.asarray(e.inputs[0], np.float64)
    return np.asarray(np.prod(np.sqrt((x * x).sum(-1)), -1))


class _Elimination(Ulps):
    """n steps of Gaussian elimination, each of which may double elements (Wilkinson) though it hardly ever does."""

    def bound(self, evidence: Evidence) -> Any:
        """``count`` ULPs of Hadamard's bound for each row."""
        bound = super().bound(evidence)
        return None if bound is None else bound * max(1, np.shape(evidence.inputs[0])[-1])


@space(
    "Det", _Elimination(4.0, "elimination in the output's precision, per row", half=2.0, magnitude=_volume)
)
def det(d: Draw) -> Layer:
    """Square matrices, none of them empty, and stacks."""
    size = d.dim("X", -1, (2, 1, 3, 5))
    rank = d.rank("X", (2, 3, 4))
    batch = tuple(d.dim("X", a, DIMS[:4], rank=rank) for a in range(rank - 2))
    return Layer((d.tensor("X", d.dtype("T"), (*batch, size, size), special=False),))


@space("NonMaxSuppression", EXACT)
def non_max_suppression(d: Draw) -> Layer:
    """Boxes on a grid of eighths, so that areas and overlaps are exact; corners in either order, or centre and size."""
    batch, boxes, classes = d.choose((1, 2)), d.choose((3, 1, 5, 7)), d.choose((1, 2))
    centred = d.attribute("center_point_box", (0, 1))
    values: list[float] = []
    for _ in range(batch * boxes):
        y, x = (d.integer(0, 8) / 8 for _ in range(2))
        high, wide = (d.integer(1, 8) / 8 for _ in range(2))
        if centred:
            values += [x, y, wide, high]
        else:
            ends = [[y, x], [y + high, x + wide]]
            first = d.choose((0, 1))
            values += ends[first] + ends[1 - first]
    # Scores differ: the order of equal ones is not said.
    order = d.shuffled(range(batch * classes * boxes))
    scores = tuple((n + 1) / 128 for n in order)
    inputs: list[Any] = [
        Operand("float32", (batch, boxes, 4), "normal", tuple(values), d.constant("boxes")),
        Operand("float32", (batch, classes, boxes), "normal", scores, d.constant("scores")),
    ]
    rank = d.choose(((), (1,)))
    options: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
        ("max_output_boxes_per_class", "int64", (3, 1, 0, 100)),
        # Overlaps are quotients of small integers, so that one which equals the threshold does so in every precision.
        ("iou_threshold", "float32", (0.5, 0.0, 1.0, 0.25)),
        ("score_threshold", "float32", (0.07421875, 0.00390625)),
    )
    for name, dtype, choices in options:
        present = name == "max_output_boxes_per_class" or d.flag()
        inputs.append(
            Operand(dtype, rank, "normal", (d.choose(choices),), d.constant(name)) if present else None
        )
    if d.flag():
        inputs = inputs[: d.choose((2, 3, 4))]
    return Layer(tuple(inputs), {"center_point_box": d.maybe("center_point_box", centred, 0)})
