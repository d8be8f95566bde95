"""Residual networks (He et al. 2016, arXiv 1512.03385), as torchvision builds them: the stride of a bottleneck
is in its 3x3 convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orpheus_experiments.zoo.builder import LINEAR, Builder, Value

__all__ = ["resnet"]


def resnet(b: Builder, x: Value, *, blocks: Sequence[int], bottleneck: bool) -> Value:
    """Logits of 1000 classes from (N, 3, H, W); ``blocks`` counts the blocks of the four stages."""
    block = _bottleneck if bottleneck else _basic
    # Branches this small let the sum over all blocks grow by a factor of e at most.
    scale = 1 / math.sqrt(sum(blocks))
    x = b.relu(b.bn(b.conv(x, "conv1", 64, 7, stride=2), "bn1"))
    x = b.pool(x, "MaxPool", 3, 2, 1)
    for stage, count in enumerate(blocks):
        for index in range(count):
            stride = 2 if index == 0 and stage > 0 else 1
            x = block(b, x, f"layer{stage + 1}.{index}", 64 << stage, stride, scale)
    return b.linear(b.global_average(x), "fc", 1000)


def _basic(b: Builder, x: Value, name: str, width: int, stride: int, scale: float) -> Value:
    y = b.relu(b.bn(b.conv(x, f"{name}.conv1", width, 3, stride=stride), f"{name}.bn1"))
    y = b.bn(b.conv(y, f"{name}.conv2", width, 3, gain=LINEAR), f"{name}.bn2", scale=scale)
    return b.relu(b.add(y, _shortcut(b, x, name, width, stride), f"{name}.add"))


def _bottleneck(b: Builder, x: Value, name: str, width: int, stride: int, scale: float) -> Value:
    y = b.relu(b.bn(b.conv(x, f"{name}.conv1", width), f"{name}.bn1"))
    y = b.relu(b.bn(b.conv(y, f"{name}.conv2", width, 3, stride=stride), f"{name}.bn2"))
    y = b.bn(b.conv(y, f"{name}.conv3", 4 * width, gain=LINEAR), f"{name}.bn3", scale=scale)
    return b.relu(b.add(y, _shortcut(b, x, name, 4 * width, stride), f"{name}.add"))


def _shortcut(b: Builder, x: Value, name: str, channels: int, stride: int) -> Value:
    if stride == 1 and x.channels == channels:
        return x
    y = b.conv(x, f"{name}.downsample.0", channels, stride=stride)
    return b.bn(y, f"{name}.downsample.1")
