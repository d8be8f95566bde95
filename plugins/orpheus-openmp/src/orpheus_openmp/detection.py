"""NonMaxSuppression; the native side is native/kernels/nms.cpp. Its result's length is known only when it has run."""

from __future__ import annotations

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp import isa as isas
from orpheus_openmp.layer import raw


def non_max_suppression(
    boxes: Array, scores: Array, max_output_boxes_per_class: Array | None = None, iou_threshold: Array | None = None,
    score_threshold: Array | None = None, *, problem: Problem, center_point_box: int = 0,
) -> Array:  # fmt: skip
    """(batch, class, box) of the boxes kept, int64 [kept, 3], from boxes [batch, n, 4] and scores [batch, classes, n].

    Raises KernelError for shapes that do not fit together. Source:
    https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html
    """
    if boxes.ndim != 3 or scores.ndim != 3 or boxes.shape[2] != 4 or boxes.shape[:2] != scores.shape[::2]:
        raise KernelError(
            f"NonMaxSuppression: boxes {list(boxes.shape)} and scores {list(scores.shape)} do not fit;"
            " they are [batch, n, 4] and [batch, classes, n]"
        )
    batches, classes, count = scores.shape
    limit = 0 if max_output_boxes_per_class is None else int(max_output_boxes_per_class.reshape(()))
    most = min(limit, count)
    if most <= 0 or scores.size == 0:
        return np.zeros((0, 3), np.int64)
    kept = np.empty((batches, classes, most), np.int64)
    counts = np.empty((batches, classes), np.int64)
    space = np.empty((problem.threads, count), np.int64)
    isas.native().Step(
        isas.current(), "nms", problem.threads,
        {
            "batches": batches, "classes": classes, "boxes": count, "most": most, "centred": center_point_box,
            "has_threshold": int(score_threshold is not None), "overlap": _number(iou_threshold),
            "threshold": _number(score_threshold), "x": np.ascontiguousarray(boxes),
            "scores": np.ascontiguousarray(scores), "kept": raw(kept), "counts": raw(counts), "workspace": raw(space),
        },
    )()  # fmt: skip
    batch, label, place = np.nonzero(np.arange(most) < counts[:, :, None])
    return np.stack([batch, label, kept[batch, label, place]], 1)


def _number(value: Array | None) -> float:
    return 0.0 if value is None else float(value.reshape(()))
