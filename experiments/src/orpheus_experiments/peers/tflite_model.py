"""An ONNX network as a LiteRT model: images in NHWC, activations fused, padding as the engine wants it.

What a converter by hand would do for XNNPACK's sake is done: a padding that is not LiteRT's own SAME becomes a Pad,
which XNNPACK takes into the convolution; BatchNormalization that stands alone becomes Mul and Add.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.errors import UnsupportedModelError
from orpheus_core.types import Array
from orpheus_experiments.peers.flatbuffer import ModelWriter
from orpheus_experiments.peers.network import Layer, Network, floats, pads_of, read

__all__ = ["write"]

_NHWC = (0, 2, 3, 1)


def write(path: Path, target: Path) -> None:
    """The network in ``path`` as a LiteRT file; UnsupportedModelError names an operator that is not known here."""
    _Converter(read(path)).write(target)


class _Converter:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.out = ModelWriter()
        self.schema = self.out.schema
        self.numbers: dict[str, int] = {}
        self.makers: dict[str, Any] = {}  # the operator that gives a value, where an activation may join it
        self.not_negative: set[str] = set()
        uses = [name for layer in network.layers for name in layer.inputs]
        self.uses = Counter([*uses, *network.outputs])
        for name in network.inputs:
            self.numbers[name] = self.out.tensor(name, self.shape(name))
        for layer in network.layers:
            convert = _LAYERS.get(layer.op)
            if convert is None:
                raise UnsupportedModelError(f"no conversion of {layer.op} to LiteRT is written")
            convert(self, layer)

    def write(self, target: Path) -> None:
        self.out.write(
            target,
            [self.numbers[n] for n in self.network.inputs],
            [self.numbers[n] for n in self.network.outputs],
        )

    # Values.

    def shape(self, name: str) -> tuple[int, ...]:
        shape = self.network.shapes[name]
        return tuple(shape[i] for i in _NHWC) if len(shape) == 4 else shape

    def array(self, name: str) -> Array:
        if name not in self.network.constants:
            raise UnsupportedModelError(f"{name!r} is computed where a constant is expected")
        return floats(self.network.constants[name])

    def value(self, name: str) -> int:
        if name not in self.numbers:
            array = self.array(name)
            placed = np.ascontiguousarray(array.transpose(_NHWC)) if array.ndim == 4 else array
            self.numbers[name] = self.out.constant(name, placed)
        return self.numbers[name]

    def emit(self, op: str, layer: Layer, inputs: list[int], options: str = "", **fields: Any) -> None:
        name = layer.outputs[0]
        self.numbers[name] = self.out.tensor(name, self.shape(name))
        made = self.out.operator(op, inputs, self.numbers[name], options, **fields)
        if hasattr(made.builtinOptions, "fusedActivationFunction"):
            self.makers[name] = made

    # Layers.

    def activation(self, layer: Layer, fused: str, op: str) -> None:
        source, name = layer.inputs[0], layer.outputs[0]
        maker = self.makers.get(source)
        if maker is not None and self.uses[source] == 1 and not maker.builtinOptions.fusedActivationFunction:
            maker.builtinOptions.fusedActivationFunction = getattr(self.schema.ActivationFunctionType, fused)
            self.numbers[name] = self.numbers[source]
        else:
            self.emit(op, layer, [self.value(source)])
        self.not_negative.add(name)

    def clip(self, layer: Layer) -> None:
        if [float(self.array(n)) for n in layer.inputs[1:3]] != [0.0, 6.0]:
            raise UnsupportedModelError("Clip to other limits than 0 and 6 is not converted")
        self.activation(layer, "RELU6", "RELU6")

    def conv(self, layer: Layer) -> None:
        a, weight = layer.attributes, self.array(layer.inputs[1])
        if weight.ndim != 4:
            raise UnsupportedModelError("only two-dimensional convolutions are converted")
        channels, group = self.network.shapes[layer.inputs[0]][1], a.get("group", 1)
        strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
        bias = self.array(layer.inputs[2]) if len(layer.inputs) > 2 else np.zeros(weight.shape[0], np.float32)
        source, padding = self.padded(layer, weight.shape[2:], strides, dilations)
        depthwise = group == channels and weight.shape[1] == 1 and group > 1
        # Depthwise filters are 1 x height x width x channels, others channels first.
        filters = weight.transpose((1, 2, 3, 0) if depthwise else _NHWC)
        inputs = [source, self.out.constant(layer.inputs[1], filters), self.out.constant("bias", bias)]
        fields: dict[str, Any] = {
            "padding": padding, "strideH": strides[0], "strideW": strides[1],
            "dilationHFactor": dilations[0], "dilationWFactor": dilations[1],
        }  # fmt: skip
        if depthwise:
            fields["depthMultiplier"] = weight.shape[0] // channels
            self.emit("DEPTHWISE_CONV_2D", layer, inputs, "DepthwiseConv2DOptions", **fields)
        else:
            self.emit("CONV_2D", layer, inputs, "Conv2DOptions", **fields)

    def padded(self, layer: Layer, window: Any, strides: Any, dilations: Any, fill: float = 0.0) -> Any:
        """The input, behind a Pad where LiteRT's own padding is another, and which of its own remains."""
        pads, name = pads_of(layer, 2), layer.inputs[0]
        kinds, sizes = self.schema.Padding, self.network.shapes[name][2:]
        if not any(map(any, pads)):
            return self.value(name), kinds.VALID
        same = []
        for size, k, s, d in zip(sizes, window, strides, dilations):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            same.append((total // 2, total - total // 2))
        if tuple(same) == tuple(map(tuple, pads)):
            return self.value(name), kinds.SAME
        widths = np.array([(0, 0), *pads, (0, 0)], np.int32)
        shape = [n + a + b for n, (a, b) in zip(self.shape(name), widths.tolist())]
        target = self.out.tensor(f"{name} padded", shape)
        inputs = [self.value(name), self.out.constant("pads", widths)]
        if fill == 0.0:
            self.out.operator("PAD", inputs, target, "PadOptions")
        else:
            inputs.append(self.out.constant("fill", np.array([fill], np.float32)))
            self.out.operator("PADV2", inputs, target, "PadV2Options")
        return target, kinds.VALID

    def pool(self, layer: Layer) -> None:
        a = layer.attributes
        window, strides = a["kernel_shape"], a.get("strides", [1, 1])
        pads = pads_of(layer, 2)
        if a.get("ceil_mode", 0) or any(d != 1 for d in a.get("dilations", [])):
            raise UnsupportedModelError(f"{layer.op} with ceil_mode or dilations is not converted")
        if layer.op == "MaxPool":
            # Zeros do not win over what is not negative, and XNNPACK takes a Pad with zeros.
            fill = 0.0 if layer.inputs[0] in self.not_negative else float(np.finfo(np.float32).min)
            source, padding = self.padded(layer, window, strides, (1, 1), fill)
        elif not any(map(any, pads)):
            source, padding = self.value(layer.inputs[0]), self.schema.Padding.VALID
        elif a.get("count_include_pad", 0):
            # SAME does not count the padding, so it must be a Pad even where the sizes agree.
            source, padding = self.padded(layer, [10**6] * 2, strides, (1, 1))
        else:
            source, padding = self.padded(layer, window, strides, (1, 1))
            if padding != self.schema.Padding.SAME:
                raise UnsupportedModelError(
                    f"AveragePool with the padding {pads}, not counted, is not converted"
                )
        self.emit(
            "MAX_POOL_2D" if layer.op == "MaxPool" else "AVERAGE_POOL_2D", layer, [source], "Pool2DOptions",
            padding=padding, strideH=strides[0], strideW=strides[1],
            filterHeight=window[0], filterWidth=window[1],
        )  # fmt: skip
        if layer.inputs[0] in self.not_negative:
            self.not_negative.add(layer.outputs[0])

    def batch_norm(self, layer: Layer) -> None:
        scale, shift, mean, variance = (self.array(n).astype(np.float64) for n in layer.inputs[1:5])
        factor = scale / np.sqrt(variance + layer.attributes.get("epsilon", 1e-5))
        name = layer.outputs[0]
        scaled = self.out.tensor(f"{name} scaled", self.shape(name))
        constant = self.out.constant("scale", floats(factor))
        self.out.operator("MUL", [self.value(layer.inputs[0]), constant], scaled, "MulOptions")
        self.emit(
            "ADD", layer, [scaled, self.out.constant("shift", floats(shift - mean * factor))], "AddOptions"
        )

    def mean(self, layer: Layer) -> None:
        axes = self.out.constant("axes", np.array([1, 2], np.int32))
        self.emit("MEAN", layer, [self.value(layer.inputs[0]), axes], "ReducerOptions", keepDims=True)

    def gemm(self, layer: Layer) -> None:
        a = layer.attributes
        if a.get("transA", 0) or a.get("alpha", 1.0) != 1.0 or a.get("beta", 1.0) != 1.0:
            raise UnsupportedModelError("Gemm with transA, alpha or beta is not converted")
        weight = self.array(layer.inputs[1])
        weight = weight if a.get("transB", 0) else np.ascontiguousarray(weight.T)
        bias = (
            self.array(layer.inputs[2]).reshape(-1) if len(layer.inputs) > 2 else np.zeros(len(weight), "f")
        )
        constants = [self.out.constant(layer.inputs[1], weight), self.out.constant("bias", bias)]
        self.emit(
            "FULLY_CONNECTED", layer, [self.value(layer.inputs[0]), *constants], "FullyConnectedOptions"
        )

    def reshape(self, layer: Layer) -> None:
        name = layer.inputs[0]
        source, shape = self.value(name), self.network.shapes[name]
        if len(shape) == 4 and shape[2] * shape[3] > 1:
            source = self.out.tensor(f"{name} NCHW", shape)
            order = self.out.constant("NCHW", np.array([0, 3, 1, 2], np.int32))
            self.out.operator("TRANSPOSE", [self.value(name), order], source, "TransposeOptions")
        wanted = np.array(self.network.shapes[layer.outputs[0]], np.int32)
        if len(wanted) == 4:
            raise UnsupportedModelError("a Reshape to four dimensions is not converted")
        inputs = [source, self.out.constant("shape", wanted)]
        self.emit("RESHAPE", layer, inputs, "ReshapeOptions", newShape=wanted)

    def concat(self, layer: Layer) -> None:
        rank = len(self.network.shapes[layer.outputs[0]])
        axis = layer.attributes["axis"] % rank
        axis = _NHWC.index(axis) if rank == 4 else axis
        self.emit(
            "CONCATENATION", layer, [self.value(n) for n in layer.inputs], "ConcatenationOptions", axis=axis
        )
        if all(n in self.not_negative for n in layer.inputs):
            self.not_negative.add(layer.outputs[0])

    def binary(self, layer: Layer) -> None:
        op = layer.op.upper()
        self.emit(op, layer, [self.value(n) for n in layer.inputs], f"{layer.op}Options")

    def softmax(self, layer: Layer) -> None:
        rank = len(self.network.shapes[layer.inputs[0]])
        if layer.attributes.get("axis", -1) % rank != (1 if rank == 4 else rank - 1):
            raise UnsupportedModelError("Softmax over another axis than the channels is not converted")
        self.emit("SOFTMAX", layer, [self.value(layer.inputs[0])], "SoftmaxOptions", beta=1.0)

    def identity(self, layer: Layer) -> None:
        self.numbers[layer.outputs[0]] = self.value(layer.inputs[0])


_LAYERS: dict[str, Callable[[_Converter, Layer], None]] = {
    "Conv": _Converter.conv,
    "BatchNormalization": _Converter.batch_norm,
    "MaxPool": _Converter.pool,
    "AveragePool": _Converter.pool,
    "GlobalAveragePool": _Converter.mean,
    "Gemm": _Converter.gemm,
    "Flatten": _Converter.reshape,
    "Reshape": _Converter.reshape,
    "Concat": _Converter.concat,
    "Add": _Converter.binary,
    "Mul": _Converter.binary,
    "Softmax": _Converter.softmax,
    "Identity": _Converter.identity,
    "Dropout": _Converter.identity,
    "Clip": _Converter.clip,
    "Relu": lambda c, layer: c.activation(layer, "RELU", "RELU"),
    "Sigmoid": lambda c, layer: c.emit("LOGISTIC", layer, [c.value(layer.inputs[0])]),
    "HardSwish": lambda c, layer: c.emit("HARD_SWISH", layer, [c.value(layer.inputs[0])], "HardSwishOptions"),
}
