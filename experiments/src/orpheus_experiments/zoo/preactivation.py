"""Pre-activation residual networks (He et al. 2016, arXiv 1603.05027): normalise and rectify before each
convolution, and leave the sum alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orpheus_experiments.zoo.builder import LINEAR, Builder, Value

__all__ = ["resnet_v2", "wide_resnet"]


def wide_resnet(b: Builder, x: Value, *, depth: int, widen: int) -> Value:
    """WRN-depth-widen for CIFAR (Zagoruyko and Komodakis 2016, arXiv 1605.07146); logits of 10 classes."""
    count = (depth - 4) // 6
    scale = 1 / math.sqrt(3 * count)
    x = b.conv(x, "conv1", 16, 3)
    for stage in range(3):
        for index in range(count):
            stride = 2 if index == 0 and stage > 0 else 1
            x = _wide_block(b, x, f"block{stage + 1}.layer.{index}", (16 << stage) * widen, stride, scale)
    x = b.relu(b.bn(x, "bn1"))
    return b.linear(b.global_average(x), "fc", 10)


def _wide_block(b: Builder, x: Value, name: str, width: int, stride: int, scale: float) -> Value:
    active = b.relu(b.bn(x, f"{name}.bn1"))
    y = b.conv(active, f"{name}.conv1", width, 3, stride=stride)
    y = b.relu(b.bn(y, f"{name}.bn2"))
    y = b.conv(y, f"{name}.conv2", width, 3, gain=LINEAR * scale**2)
    if x.channels != width:
        x = b.conv(active, f"{name}.convShortcut", width, stride=stride)
    return b.add(x, y, f"{name}.add")


def resnet_v2(b: Builder, x: Value, *, blocks: Sequence[int]) -> Value:
    """ResNet-v2 with bottlenecks as Keras builds it: each stage but the last ends in its stride-2 block, whose
    shortcut is a subsampling MaxPool. Logits of 1000 classes from (N, 3, H, W).
    """
    scale = 1 / math.sqrt(sum(blocks))
    x = b.pool(b.conv(x, "conv1", 64, 7, stride=2, bias=True), "MaxPool", 3, 2, 1)
    for stage, count in enumerate(blocks):
        for index in range(count):
            stride = 2 if index == count - 1 and stage < len(blocks) - 1 else 1
            x = _v2_block(b, x, f"conv{stage + 2}.{index}", 64 << stage, stride, scale)
    x = b.relu(b.bn(x, "post_bn"))
    return b.linear(b.global_average(x), "predictions", 1000)


def _v2_block(b: Builder, x: Value, name: str, width: int, stride: int, scale: float) -> Value:
    active = b.relu(b.bn(x, f"{name}.preact_bn"))
    if x.channels != 4 * width:
        x = b.conv(active, f"{name}.shortcut", 4 * width, stride=stride, bias=True)
    elif stride > 1:
        x = b.pool(x, "MaxPool", 1, stride)
    y = b.relu(b.bn(b.conv(active, f"{name}.conv1", width), f"{name}.bn1"))
    y = b.relu(b.bn(b.conv(y, f"{name}.conv2", width, 3, stride=stride), f"{name}.bn2"))
    y = b.conv(y, f"{name}.conv3", 4 * width, bias=True, gain=LINEAR * scale**2)
    return b.add(x, y, f"{name}.add")
