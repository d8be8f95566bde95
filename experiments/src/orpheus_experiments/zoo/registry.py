"""The networks of the zoo by name: how each is built, its size, and where it is described."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import onnx

from orpheus_core.errors import UsageError
from orpheus_experiments.zoo.builder import Builder, Value
from orpheus_experiments.zoo.inception import inception_v3
from orpheus_experiments.zoo.mobilenet import mobilenet_v1, mobilenet_v2
from orpheus_experiments.zoo.preactivation import resnet_v2, wide_resnet
from orpheus_experiments.zoo.resnet import resnet
from orpheus_experiments.zoo.ssd import ssd_mobilenet_v2

__all__ = ["NETWORKS", "OPSET", "Network", "build", "names"]

#: The default opset; the networks are written for 13 and later.
OPSET = 17
_OLDEST = 13


@dataclass(frozen=True)
class Network:
    """One network. ``parameters`` and ``macs`` are those of the raw form at batch 1 and ``resolution``.

    ``classifier`` adds a classifier's layers and returns its logits; ``detector`` adds its graph outputs itself.
    """

    resolution: int
    parameters: int
    macs: int
    source: str
    classifier: Callable[[Builder, Value], Value] | None = None
    detector: Callable[[Builder, Value], None] | None = None
    smallest: int = 32


NETWORKS = {
    "wrn-40-2": Network(
        32, 2_243_546, 327_599_360, "Zagoruyko and Komodakis 2016, arXiv 1605.07146",
        partial(wide_resnet, depth=40, widen=2),
    ),
    "mobilenet-v1": Network(224, 4_231_976, 568_740_352, "Howard et al. 2017, arXiv 1704.04861", mobilenet_v1),
    "resnet-18": Network(
        224, 11_689_512, 1_814_073_344, "He et al. 2016, arXiv 1512.03385",
        partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False),
    ),
    "inception-v3": Network(
        299, 23_834_568, 5_713_216_096, "Szegedy et al. 2016, arXiv 1512.00567", inception_v3, smallest=75
    ),
    "resnet-50": Network(
        224, 25_557_032, 4_089_184_256, "He et al. 2016, arXiv 1512.03385",
        partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True),
    ),
    "mobilenet-v2": Network(224, 3_504_872, 300_774_272, "Sandler et al. 2018, arXiv 1801.04381", mobilenet_v2),
    "resnet-50-v2": Network(
        224, 25_568_360, 3_482_255_360, "He et al. 2016, arXiv 1603.05027", partial(resnet_v2, blocks=(3, 4, 6, 3))
    ),
    "ssd-mobilenet-v2": Network(
        300, 4_500_543, 749_503_856, "Sandler et al. 2018, arXiv 1801.04381, section 6.2 (SSDLite)",
        detector=ssd_mobilenet_v2,
    ),
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The names that :func:`build` takes."""
    return tuple(NETWORKS)


def build(
    name: str,
    *,
    raw: bool = False,
    seed: int = 0,
    batch: int | str = 1,
    opset: int = OPSET,
    resolution: int | None = None,
) -> onnx.ModelProto:
    """A network of the zoo with seeded random weights.

    Input ``input`` is float32 (batch, 3, resolution, resolution), for values of about N(0, 1); a ``batch`` that is
    a string names a symbolic dimension. Classifiers give ``logits``; for the detector see
    :func:`~orpheus_experiments.zoo.ssd.ssd_mobilenet_v2`. ``raw`` leaves every BatchNormalization as a node; both
    forms compute the same function. Raises :class:`UsageError` for a name or number that does not exist here.
    """
    network = NETWORKS.get(name)
    if network is None:
        close = difflib.get_close_matches(name, NETWORKS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"the zoo has no network {name!r}; it has {', '.join(NETWORKS)}{hint}")
    size = network.resolution if resolution is None else resolution
    newest = onnx.defs.onnx_opset_version()
    _demand(
        size >= network.smallest, f"resolution {size} is too small for {name}; at least {network.smallest}"
    )
    _demand(isinstance(batch, str) or batch >= 1, f"batch {batch} must be at least 1")
    _demand(seed >= 0, f"seed {seed} must not be negative")
    _demand(
        _OLDEST <= opset <= newest,
        f"opset {opset} is out of range; {_OLDEST} to {newest} can be written here",
    )
    b = Builder(seed)
    x = b.input("input", (batch, 3, size, size))
    if network.classifier is not None:
        logits = network.classifier(b, x)
        b.output(logits.name, "logits", (batch, logits.channels))
    if network.detector is not None:
        network.detector(b, x)
    return b.model(name, raw=raw, opset=opset)


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)
