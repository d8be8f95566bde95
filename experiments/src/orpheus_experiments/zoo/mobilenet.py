"""MobileNets v1 (Howard et al. 2017, arXiv 1704.04861) and v2 (Sandler et al. 2018, arXiv 1801.04381)."""

from __future__ import annotations

import math

from orpheus_experiments.zoo.builder import LINEAR, Builder, Value

__all__ = ["conv_bn_relu6", "mobilenet_v1", "mobilenet_v2", "mobilenet_v2_features"]

# Output channels and stride of each depthwise-separable pair of v1.
_V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip

# Expansion, output channels, repeats and first stride of each stage of v2 (table 2 of the paper).
_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
_V2_SHORTCUTS = sum(repeats - 1 for _, _, repeats, _ in _V2)


def conv_bn_relu6(
    b: Builder, x: Value, name: str, channels: int, kernel: int = 1, *, stride: int = 1, group: int = 1
) -> Value:
    """Convolution ``NAME.0``, BatchNormalization ``NAME.1``, ReLU6."""
    y = b.conv(x, f"{name}.0", channels, kernel, stride=stride, group=group)
    return b.relu6(b.bn(y, f"{name}.1"))


def mobilenet_v1(b: Builder, x: Value) -> Value:
    """Logits of 1000 classes from (N, 3, H, W)."""
    x = conv_bn_relu6(b, x, "conv1", 32, 3, stride=2)
    for index, (channels, stride) in enumerate(_V1, start=1):
        x = conv_bn_relu6(b, x, f"conv_dw_{index}", x.channels, 3, stride=stride, group=x.channels)
        x = conv_bn_relu6(b, x, f"conv_pw_{index}", channels)
    return b.linear(b.global_average(x), "conv_preds", 1000)


def mobilenet_v2(b: Builder, x: Value) -> Value:
    """Logits of 1000 classes from (N, 3, H, W)."""
    _, x = mobilenet_v2_features(b, x)
    return b.linear(b.global_average(x), "classifier.1", 1000)


def mobilenet_v2_features(b: Builder, x: Value) -> tuple[Value, Value]:
    """What SSD reads: the expanded map before the last stride (1/16 of the size) and the last map (1/32)."""
    x = conv_bn_relu6(b, x, "features.0", 32, 3, stride=2)
    tap, index = x, 1
    for expansion, channels, repeats, first in _V2:
        for repeat in range(repeats):
            stride = first if repeat == 0 else 1
            expanded, x = _inverted_residual(b, x, f"features.{index}", expansion, channels, stride)
            tap = expanded if stride == 2 else tap
            index += 1
    return tap, conv_bn_relu6(b, x, f"features.{index}", 1280)


def _inverted_residual(
    b: Builder, x: Value, name: str, expansion: int, channels: int, stride: int
) -> tuple[Value, Value]:
    """The expanded map and the block's result."""
    expanded, layer = x, 0
    if expansion != 1:
        expanded = conv_bn_relu6(b, x, f"{name}.conv.0", x.channels * expansion)
        layer = 1
    wide = expanded.channels
    y = conv_bn_relu6(b, expanded, f"{name}.conv.{layer}", wide, 3, stride=stride, group=wide)
    shortcut = stride == 1 and x.channels == channels
    y = b.conv(y, f"{name}.conv.{layer + 1}", channels, gain=LINEAR)
    y = b.bn(y, f"{name}.conv.{layer + 2}", scale=1 / math.sqrt(_V2_SHORTCUTS) if shortcut else 1.0)
    return expanded, b.add(x, y, f"{name}.add") if shortcut else y
