"""SSDLite on MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, section 6.2): 91 COCO classes, 300x300.

Six feature maps; each has a head for boxes and one for classes, of a depthwise and a pointwise convolution.
"""

from __future__ import annotations

import itertools

from orpheus_experiments.zoo.builder import LINEAR, Builder, Value
from orpheus_experiments.zoo.detection import anchors, decode, detections
from orpheus_experiments.zoo.mobilenet import conv_bn_relu6, mobilenet_v2_features

__all__ = ["ssd_mobilenet_v2"]

_CLASSES = 91
# Channels of the maps that halve the last one of the backbone again and again.
_EXTRA = (512, 256, 256, 128)


def ssd_mobilenet_v2(b: Builder, x: Value) -> None:
    """Adds the graph outputs: boxes (D, 4) as y1, x1, y2, x2 in [0, 1], scores (D,), classes (D,) and images
    (D,), the index in the batch; D is at most 100 for each image, by falling score.
    """
    tap, last = mobilenet_v2_features(b, x)
    maps = [tap, last]
    for index, channels in enumerate(_EXTRA):
        maps.append(_extra(b, maps[-1], f"extra.{index}", channels))
    locations, logits, priors = [], [], []
    for index, (feature, sizes) in enumerate(zip(maps, _anchor_sizes())):
        count = len(sizes)
        locations.append(_head(b, feature, f"heads.{index}.box", count, 4))
        logits.append(_head(b, feature, f"heads.{index}.class", count, _CLASSES))
        priors.append(anchors(b, feature, f"anchors.{index}", sizes))
    location = b.emit("Concat", locations, "locations", axis=1)
    logit = b.emit("Concat", logits, "logits", axis=1)
    prior = b.emit("Concat", priors, "anchors", axis=0)
    detections(b, decode(b, location, prior), logit)


def _extra(b: Builder, x: Value, name: str, channels: int) -> Value:
    y = conv_bn_relu6(b, x, f"{name}.0", channels // 2)
    y = conv_bn_relu6(b, y, f"{name}.1", channels // 2, 3, stride=2, group=channels // 2)
    return conv_bn_relu6(b, y, f"{name}.2", channels)


def _head(b: Builder, x: Value, name: str, anchors_per_cell: int, values: int) -> str:
    """(N, H * W * anchors, values); the shape is computed in the graph, as an exporter writes x.shape[0]."""
    y = conv_bn_relu6(b, x, f"{name}.0", x.channels, 3, group=x.channels)
    y = b.conv(y, f"{name}.1", anchors_per_cell * values, bias=True, gain=LINEAR)
    last = b.emit("Transpose", [y.name], f"{name}.transpose", perm=(0, 2, 3, 1))
    batch = b.emit(
        "Gather", [b.emit("Shape", [y.name], f"{name}.shape"), b.integers("zero", 0)], f"{name}.batch"
    )
    batch = b.emit("Unsqueeze", [batch, b.integers("axis.0", [0])], f"{name}.batch.axis")
    shape = b.emit("Concat", [batch, b.integers("any", [-1]), b.integers(f"values.{values}", [values])],
                   f"{name}.rows", axis=0)  # fmt: skip
    return b.emit("Reshape", [last, shape], f"{name}.flat")


def _anchor_sizes() -> list[list[tuple[float, float]]]:
    """(height, width) of the anchors of each map, as shares of the image (Liu et al. 2016, section 2.2).

    Scales rise evenly from 0.2 to 0.95; the finest map has three anchors, the others six.
    """
    scales = [0.2 + 0.15 * index for index in range(6)] + [1.0]
    sizes = [[(0.1, 0.1), _size(scales[0], 2.0), _size(scales[0], 0.5)]]
    for scale, following in itertools.pairwise(scales[1:]):
        ratios = [_size(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
        sizes.append([*ratios, _size((scale * following) ** 0.5, 1.0)])
    return sizes


def _size(scale: float, ratio: float) -> tuple[float, float]:
    return scale / ratio**0.5, scale * ratio**0.5
