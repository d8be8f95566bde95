"""NonMaxSuppression."""

from __future__ import annotations

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import scalar


def non_max_suppression(
    boxes: Array,
    scores: Array,
    max_output_boxes_per_class: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    *,
    center_point_box: int = 0,
) -> Array:
    """ONNX NonMaxSuppression: (batch, class, box) of the boxes kept, int64, shape (kept, 3).

    ``boxes`` (batch, boxes, 4) as two opposite corners, or centre and size; ``scores`` (batch, classes, boxes).
    In each class boxes are taken by falling score; one whose overlap with a box taken before exceeds the threshold
    is dropped.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4 or scores.ndim != 3:
        raise ValueError(
            f"NonMaxSuppression: boxes {boxes.shape} or scores {scores.shape} have the wrong shape"
        )
    if (boxes.shape[0], boxes.shape[1]) != (scores.shape[0], scores.shape[2]):
        raise ValueError(f"NonMaxSuppression: boxes {boxes.shape} do not match scores {scores.shape}")
    most = _number(max_output_boxes_per_class, "max_output_boxes_per_class", 0)
    overlap = _number(iou_threshold, "iou_threshold", 0.0)
    least = None if score_threshold is None else _number(score_threshold, "score_threshold", 0.0)
    kept: list[tuple[int, int, int]] = []
    for batch in range(scores.shape[0] if most > 0 else 0):
        corners = _corners(boxes[batch], bool(center_point_box))
        for label, score in enumerate(scores[batch]):
            # Strictly above the threshold, as every runtime has it: padding boxes score exactly 0.
            passed = np.arange(score.size) if least is None else np.flatnonzero(score > least)
            order = passed[np.argsort(-score[passed], kind="stable")]
            taken = 0
            while order.size and taken < most:
                best, order = order[0], order[1:]
                kept.append((batch, label, int(best)))
                taken += 1
                order = order[_iou(corners[best], corners[order]) <= overlap]
    return np.array(kept, np.int64).reshape(len(kept), 3)


def _number(value: Array | None, name: str, default: float) -> float:
    return default if value is None else float(scalar(value, "NonMaxSuppression", name))


def _corners(boxes: Array, centred: bool) -> Array:
    if centred:
        half = boxes[:, 2:] / 2
        first, second = boxes[:, :2] - half, boxes[:, :2] + half
    else:
        first, second = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


def _iou(box: Array, others: Array) -> Array:
    """Intersection over union of one box with several; 0 where a box has no area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = area + areas - common
    valid = (area > 0) & (areas > 0) & (union > 0)
    return np.where(valid, common / np.where(valid, union, 1), 0)
