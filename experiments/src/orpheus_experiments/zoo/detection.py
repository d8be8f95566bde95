"""The post-processing of SSD (Liu et al. 2016, arXiv 1512.02325) as ONNX operators.

Anchors are computed from the shapes of the feature maps and expanded to the batch inside the graph, as the
export of a network that takes images of any size would have it; with a known input shape all of that is constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from orpheus_experiments.zoo.builder import Builder, Value

__all__ = ["anchors", "decode", "detections"]

_CENTRE_VARIANCE = 0.1
_SIZE_VARIANCE = 0.2
_IOU_THRESHOLD = 0.6
_SCORE_THRESHOLD = 0.4
_PER_IMAGE = 100
_END = 2**31 - 1


def anchors(b: Builder, feature: Value, name: str, sizes: Sequence[tuple[float, float]]) -> str:
    """(H * W * len(sizes), 4) rows of centre y, centre x, height, width, cell after cell, in shares of the image."""
    shape = b.emit("Shape", [feature.name], f"{name}.shape")
    height = b.emit("Gather", [shape, b.integers("two", 2)], f"{name}.height")
    width = b.emit("Gather", [shape, b.integers("three", 3)], f"{name}.width")
    extents = [
        b.emit("Unsqueeze", [extent, b.integers("axis.0", [0])], f"{extent}.axis")
        for extent in (height, width)
    ]
    count = b.integers(f"anchors.{len(sizes)}", [len(sizes)])
    one = b.integers("one.axis", [1])
    column = b.emit("Concat", [*extents, count, one], f"{name}.column", axis=0)
    pair = b.emit("Concat", [*extents, count, b.integers("values.2", [2])], f"{name}.pair", axis=0)
    ys = _centres(b, height, f"{name}.y", (1, 2, 3))
    xs = _centres(b, width, f"{name}.x", (0, 2, 3))
    parts = [
        b.emit("Expand", [ys, column], f"{name}.y.grid"),
        b.emit("Expand", [xs, column], f"{name}.x.grid"),
        b.emit("Expand", [b.constant(f"{name}.sizes", sizes), pair], f"{name}.size.grid"),
    ]
    grid = b.emit("Concat", parts, f"{name}.grid", axis=3)
    return b.emit("Reshape", [grid, b.integers("rows.of.4", [-1, 4])], f"{name}.rows")


def _centres(b: Builder, extent: str, name: str, axes: Sequence[int]) -> str:
    """(i + 0.5) / extent for every i below ``extent``, with the other three axes of the grid added."""
    steps = b.emit("Range", [b.integers("zero", 0), extent, b.integers("one", 1)], f"{name}.range")
    steps = b.emit("Cast", [steps], f"{name}.float", to=onnx.TensorProto.FLOAT)
    steps = b.emit("Add", [steps, b.constant("half", 0.5)], f"{name}.middle")
    size = b.emit("Cast", [extent], f"{name}.extent", to=onnx.TensorProto.FLOAT)
    steps = b.emit("Div", [steps, size], f"{name}.share")
    return b.emit("Unsqueeze", [steps, b.integers(f"axes.{axes[0]}.2.3", axes)], f"{name}.axes")


def decode(b: Builder, locations: str, priors: str) -> str:
    """Boxes (N, A, 4) as y1, x1, y2, x2 in [0, 1] from offsets (N, A, 4) and anchors (A, 4)."""
    rows = b.emit("Unsqueeze", [priors, b.integers("axis.0", [0])], "boxes.anchors")
    shape = b.emit("Shape", [locations], "boxes.shape")
    rows = b.emit("Expand", [rows, shape], "boxes.anchors.batch")
    centres, sizes = _halves(b, rows, "boxes.anchors")
    moves, growths = _halves(b, locations, "boxes.offsets")
    move = b.emit("Mul", [moves, b.constant("boxes.centre.variance", _CENTRE_VARIANCE)], "boxes.move")
    centre = b.emit("Add", [b.emit("Mul", [move, sizes], "boxes.move.scaled"), centres], "boxes.centre")
    growth = b.emit("Mul", [growths, b.constant("boxes.size.variance", _SIZE_VARIANCE)], "boxes.growth")
    size = b.emit("Mul", [b.emit("Exp", [growth], "boxes.growth.exp"), sizes], "boxes.size")
    half = b.emit("Mul", [size, b.constant("half", 0.5)], "boxes.half")
    corners = [b.emit("Sub", [centre, half], "boxes.low"), b.emit("Add", [centre, half], "boxes.high")]
    boxes = b.emit("Concat", corners, "boxes.corners", axis=2)
    return b.emit(
        "Clip", [boxes, b.constant("boxes.min", 0.0), b.constant("boxes.max", 1.0)], "boxes.clipped"
    )


def _halves(b: Builder, rows: str, name: str) -> tuple[str, str]:
    """The first and the last two columns of (N, A, 4)."""
    first = b.emit("Split", [rows, b.integers("halves", [2, 2])], f"{name}.halves", outputs=2, axis=2)
    return first, f"{first}.1"


def detections(b: Builder, boxes: str, logits: str) -> None:
    """Non-maximum suppression within each class, then the best of all; adds the graph's outputs."""
    scores = b.emit("Softmax", [logits], "scores.all", axis=2)
    bounds = [b.integers("values.1", [1]), b.integers("end", [_END]), b.integers("axis.2", [2])]
    scores = b.emit("Slice", [scores, *bounds], "scores.foreground")
    scores = b.emit("Transpose", [scores], "scores.by.class", perm=(0, 2, 1))
    limits = [
        b.integers("nms.most", [_PER_IMAGE]),
        b.constant("nms.iou", [_IOU_THRESHOLD]),
        b.constant("nms.score", [_SCORE_THRESHOLD]),
    ]
    chosen = b.emit("NonMaxSuppression", [boxes, scores, *limits], "nms")
    value = b.emit("GatherND", [scores, chosen], "nms.scores")
    best = b.emit("TopK", [value, _limit(b, boxes, value)], "top", outputs=2, axis=0)
    chosen = b.emit("Gather", [chosen, f"{best}.1"], "top.chosen", axis=0)
    image, label, row = (
        b.emit("Gather", [chosen, b.integers(name, index)], f"top.{name}", axis=1)
        for index, name in enumerate(("zero", "one", "two"))
    )
    pairs = [b.emit("Unsqueeze", [part, b.integers("axis.1", [1])], f"{part}.axis") for part in (image, row)]
    place = b.emit("Concat", pairs, "top.place", axis=1)
    b.output(b.emit("GatherND", [boxes, place], "top.boxes"), "boxes", ["detections", 4])
    b.output(best, "scores", ["detections"])
    label = b.emit("Add", [label, b.integers("one", 1)], "top.class")
    b.output(label, "classes", ["detections"], onnx.TensorProto.INT64)
    b.output(b.emit("Identity", [image], "top.image"), "images", ["detections"], onnx.TensorProto.INT64)


def _limit(b: Builder, boxes: str, scores: str) -> str:
    """How many detections to keep, (1,): what there is, at most 100 for each image of the batch."""
    batch = b.emit("Slice", [b.emit("Shape", [boxes], "top.shape"), b.integers("axis.0", [0]),
                             b.integers("values.1", [1])], "top.batch")  # fmt: skip
    most = b.emit("Mul", [batch, b.integers("nms.most", [_PER_IMAGE])], "top.most")
    return b.emit("Min", [most, b.emit("Shape", [scores], "top.count")], "top.limit")
