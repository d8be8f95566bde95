"""An ONNX network as a torch module, written the way its own users write one: a submodule a layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from orpheus_core.errors import UnsupportedModelError
from orpheus_experiments.peers.network import Layer, Network, floats, pads_of, read

__all__ = ["Converted"]


class Converted(nn.Module):  # type: ignore[misc]
    """The network in ``path``; UnsupportedModelError names an operator that is not known here."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.network = read(path)
        self.steps = nn.ModuleList()
        for layer in self.network.layers:
            make = _LAYERS.get(layer.op)
            if make is None:
                raise UnsupportedModelError(f"no conversion of {layer.op} to PyTorch is written")
            self.steps.append(make(layer, self.network))
        for index, (_, array) in enumerate(self._loose()):
            self.register_buffer(f"constant{index}", torch.from_numpy(array.copy()))

    def _loose(self) -> list[tuple[str, Any]]:
        """Constants that a layer takes as an operand, not as a parameter of its module."""
        taken = [name for layer in self.network.layers for name in _operands(layer)]
        return [(n, self.network.constants[n]) for n in dict.fromkeys(taken) if n in self.network.constants]

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Outputs in the model's order; a single one bare."""
        values = dict(zip(self.network.inputs, inputs))
        for index, (name, _) in enumerate(self._loose()):
            values[name] = getattr(self, f"constant{index}")
        for layer, step in zip(self.network.layers, self.steps):
            values[layer.outputs[0]] = step(*(values[name] for name in _operands(layer)))
        found = tuple(values[name] for name in self.network.outputs)
        return found if len(found) > 1 else found[0]


def _operands(layer: Layer) -> tuple[str, ...]:
    return layer.inputs if layer.op in ("Add", "Mul", "Concat") else layer.inputs[:1]


class _Apply(nn.Module):  # type: ignore[misc]
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.function(*values)


def _parameter(network: Network, layer: Layer, index: int) -> nn.Parameter | None:
    name = layer.inputs[index] if index < len(layer.inputs) else ""
    if not name:
        return None
    if name not in network.constants:
        raise UnsupportedModelError(f"{layer.op} with a computed {name!r} is not converted")
    return nn.Parameter(torch.from_numpy(floats(network.constants[name]).copy()), requires_grad=False)


def _symmetric(layer: Layer) -> tuple[int, ...]:
    pads = pads_of(layer, 2)
    if any(before != after for before, after in pads):
        raise UnsupportedModelError(f"{layer.op} with the uneven padding {pads} is not converted")
    return tuple(before for before, _ in pads)


def _conv(layer: Layer, network: Network) -> nn.Module:
    weight, bias = _parameter(network, layer, 1), _parameter(network, layer, 2)
    assert weight is not None
    group = layer.attributes.get("group", 1)
    module = nn.Conv2d(
        weight.shape[1] * group, weight.shape[0], tuple(weight.shape[2:]),
        stride=tuple(layer.attributes.get("strides", (1, 1))), padding=_symmetric(layer),
        dilation=tuple(layer.attributes.get("dilations", (1, 1))), groups=group, bias=bias is not None,
    )  # fmt: skip
    module.weight = weight
    module.bias = bias
    return module


def _batch_norm(layer: Layer, network: Network) -> nn.Module:
    parts = [_parameter(network, layer, i) for i in range(1, 5)]
    channels = network.shapes[layer.inputs[0]][1]
    module = nn.BatchNorm2d(channels, eps=layer.attributes.get("epsilon", 1e-5))
    module.weight, module.bias, module.running_mean, module.running_var = parts
    return module


def _clip(layer: Layer, network: Network) -> nn.Module:
    low, high = (float(network.constants[name]) for name in layer.inputs[1:3])
    return nn.ReLU6() if (low, high) == (0.0, 6.0) else nn.Hardtanh(low, high)


def _max_pool(layer: Layer, _: Network) -> nn.Module:
    return nn.MaxPool2d(
        tuple(layer.attributes["kernel_shape"]), tuple(layer.attributes.get("strides", (1, 1))),
        padding=_symmetric(layer), dilation=tuple(layer.attributes.get("dilations", (1, 1))),
        ceil_mode=bool(layer.attributes.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(layer: Layer, _: Network) -> nn.Module:
    return nn.AvgPool2d(
        tuple(layer.attributes["kernel_shape"]), tuple(layer.attributes.get("strides", (1, 1))),
        padding=_symmetric(layer), ceil_mode=bool(layer.attributes.get("ceil_mode", 0)),
        count_include_pad=bool(layer.attributes.get("count_include_pad", 0)),
    )  # fmt: skip


def _gemm(layer: Layer, network: Network) -> nn.Module:
    if layer.attributes.get("transA", 0) or {layer.attributes.get(k, 1.0) for k in ("alpha", "beta")} != {
        1.0
    }:
        raise UnsupportedModelError("Gemm with transA, alpha or beta is not converted")
    weight, bias = _parameter(network, layer, 1), _parameter(network, layer, 2)
    assert weight is not None
    if not layer.attributes.get("transB", 0):
        weight = nn.Parameter(weight.t().contiguous(), requires_grad=False)
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    module.weight = weight
    if bias is not None:
        module.bias = nn.Parameter(bias.flatten(), requires_grad=False)
    return module


def _reshape(layer: Layer, network: Network) -> nn.Module:
    shape = network.shapes[layer.outputs[0]]
    return _Apply(lambda x: x.reshape(shape))


_LAYERS: dict[str, Callable[[Layer, Network], nn.Module]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Gemm": _gemm,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Relu": lambda layer, _: nn.ReLU(),
    "Sigmoid": lambda layer, _: nn.Sigmoid(),
    "HardSwish": lambda layer, _: nn.Hardswish(),
    "GlobalAveragePool": lambda layer, _: nn.AdaptiveAvgPool2d(1),
    "Identity": lambda layer, _: nn.Identity(),
    "Dropout": lambda layer, _: nn.Identity(),
    "Add": lambda layer, _: _Apply(torch.add),
    "Mul": lambda layer, _: _Apply(torch.mul),
    "Concat": lambda layer, _: _Apply(lambda *xs: torch.cat(xs, layer.attributes["axis"])),
    "Softmax": lambda layer, _: nn.Softmax(layer.attributes.get("axis", -1)),
}
