"""Inception-v3 without the auxiliary head (Szegedy et al. 2016, arXiv 1512.00567), as torchvision builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

from orpheus_experiments.zoo.builder import Builder, Value

__all__ = ["inception_v3"]


class _Conv(NamedTuple):
    """Convolution, BatchNormalization, ReLU."""

    name: str
    channels: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    pad: bool = True


class _Pool(NamedTuple):
    kind: str
    stride: int
    pad: int = 0


class _Fork(NamedTuple):
    """Branches that read the same map and are concatenated."""

    branches: Sequence[Sequence[_Step]]


_Step = Union[_Conv, _Pool, _Fork]

_SHRINK = _Pool("MaxPool", 2)
_SMOOTH = _Pool("AveragePool", 1, 1)


def _a(pool: int) -> _Fork:
    return _Fork((
        (_Conv("branch1x1", 64),),
        (_Conv("branch5x5_1", 48), _Conv("branch5x5_2", 64, 5)),
        (_Conv("branch3x3dbl_1", 64), _Conv("branch3x3dbl_2", 96, 3), _Conv("branch3x3dbl_3", 96, 3)),
        (_SMOOTH, _Conv("branch_pool", pool)),
    ))  # fmt: skip


def _c(width: int) -> _Fork:
    flat, tall = (1, 7), (7, 1)
    return _Fork((
        (_Conv("branch1x1", 192),),
        (_Conv("branch7x7_1", width), _Conv("branch7x7_2", width, flat), _Conv("branch7x7_3", 192, tall)),
        (_Conv("branch7x7dbl_1", width), _Conv("branch7x7dbl_2", width, tall), _Conv("branch7x7dbl_3", width, flat),
         _Conv("branch7x7dbl_4", width, tall), _Conv("branch7x7dbl_5", 192, flat)),
        (_SMOOTH, _Conv("branch_pool", 192)),
    ))  # fmt: skip


_B = _Fork((
    (_Conv("branch3x3", 384, 3, 2, pad=False),),
    (_Conv("branch3x3dbl_1", 64), _Conv("branch3x3dbl_2", 96, 3), _Conv("branch3x3dbl_3", 96, 3, 2, pad=False)),
    (_SHRINK,),
))  # fmt: skip

_D = _Fork((
    (_Conv("branch3x3_1", 192), _Conv("branch3x3_2", 320, 3, 2, pad=False)),
    (_Conv("branch7x7x3_1", 192), _Conv("branch7x7x3_2", 192, (1, 7)), _Conv("branch7x7x3_3", 192, (7, 1)),
     _Conv("branch7x7x3_4", 192, 3, 2, pad=False)),
    (_SHRINK,),
))  # fmt: skip

_E = _Fork((
    (_Conv("branch1x1", 320),),
    (_Conv("branch3x3_1", 384),
     _Fork(((_Conv("branch3x3_2a", 384, (1, 3)),), (_Conv("branch3x3_2b", 384, (3, 1)),)))),
    (_Conv("branch3x3dbl_1", 448), _Conv("branch3x3dbl_2", 384, 3),
     _Fork(((_Conv("branch3x3dbl_3a", 384, (1, 3)),), (_Conv("branch3x3dbl_3b", 384, (3, 1)),)))),
    (_SMOOTH, _Conv("branch_pool", 192)),
))  # fmt: skip

_STEM = (
    _Conv("Conv2d_1a_3x3", 32, 3, 2, pad=False), _Conv("Conv2d_2a_3x3", 32, 3, pad=False),
    _Conv("Conv2d_2b_3x3", 64, 3), _SHRINK, _Conv("Conv2d_3b_1x1", 80),
    _Conv("Conv2d_4a_3x3", 192, 3, pad=False), _SHRINK,
)  # fmt: skip

_MIXED = {
    "Mixed_5b": _a(32), "Mixed_5c": _a(64), "Mixed_5d": _a(64), "Mixed_6a": _B,
    "Mixed_6b": _c(128), "Mixed_6c": _c(160), "Mixed_6d": _c(160), "Mixed_6e": _c(192), "Mixed_7a": _D,
    "Mixed_7b": _E, "Mixed_7c": _E,
}  # fmt: skip


def inception_v3(b: Builder, x: Value) -> Value:
    """Logits of 1000 classes from (N, 3, H, W); H and W are at least 75."""
    for step in _STEM:
        x = _apply(b, x, step, "")
    for name, fork in _MIXED.items():
        x = _apply(b, x, fork, f"{name}.")
    return b.linear(b.global_average(x), "fc", 1000)


def _apply(b: Builder, x: Value, step: _Step, prefix: str) -> Value:
    if isinstance(step, _Conv):
        name = prefix + step.name
        y = b.conv(x, f"{name}.conv", step.channels, step.kernel, stride=step.stride, pad=step.pad)
        return b.relu(b.bn(y, f"{name}.bn", epsilon=1e-3))
    if isinstance(step, _Pool):
        return b.pool(x, step.kind, 3, step.stride, step.pad)
    ends = []
    for branch in step.branches:
        y = x
        for inner in branch:
            y = _apply(b, y, inner, prefix)
        ends.append(y)
    return b.concat(ends, f"{prefix}concat")
