"""A small builder of ONNX networks: layers by the names that a PyTorch state dict would have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from orpheus_core.types import Array
from orpheus_experiments.zoo import sampling
from orpheus_experiments.zoo.fold import fold_batch_normalization

__all__ = ["CLASSIFIER", "LINEAR", "RECTIFIED", "Builder", "Value"]

#: Variance gain of a layer whose output is rectified: He's 2 (He et al. 2015), less the factor 1.11 that the
#: spread of the BatchNormalization statistics adds (the mean of 1 / U(0.5, 1.5) times that of U(0.8, 1.2) squared).
RECTIFIED = 1.8
#: Variance gain of a layer whose output is used as it is.
LINEAR = 0.9
#: Variance gain of a classifier, whose inputs are averages over a map and differ little.
CLASSIFIER = 20.0
# The mean square of a rectified normal number over its variance.
_CENTRED = 1 / (1 - 1 / math.pi)


class Value(NamedTuple):
    """A feature map or a row of features: its name in the graph and its size along axis 1."""

    name: str
    channels: int


class Builder:
    """Collects nodes and seeded float32 parameters; :meth:`model` makes the ONNX model of them.

    A node and its output share one name: ``layer1.0.conv1`` with parameter ``layer1.0.conv1.weight``, and
    ``layer1.0.bn1.relu`` for what follows without parameters. BatchNormalization is always added as a node of
    its own; :meth:`model` folds it unless asked not to.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._taken: dict[str, int] = {}

    def input(self, name: str, shape: Sequence[int | str]) -> Value:
        """A float32 graph input of ``shape`` (N, C, H, W)."""
        self._inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
        return Value(name, int(shape[1]))

    def output(
        self, source: str, name: str, shape: Sequence[int | str], dtype: int = onnx.TensorProto.FLOAT
    ) -> None:
        """Make ``source``, which no node reads, a graph output called ``name``."""
        producer = next(node for node in self._nodes if node.output[0] == source)
        producer.output[0] = name
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, name: str, value: Any) -> str:
        """A float32 initializer; asking again for the same name gives the same one."""
        return self._constant(name, np.asarray(value, np.float32))

    def integers(self, name: str, value: int | Sequence[int]) -> str:
        """An int64 initializer, a scalar or a list; asking again for the same name gives the same one."""
        return self._constant(name, np.asarray(value, np.int64))

    def emit(self, op: str, inputs: Sequence[str], name: str, *, outputs: int = 1, **attributes: Any) -> str:
        """Add any node; gives the name of its first output (further ones are ``NAME.1`` and so on).

        ``name`` gets a number behind it when it is taken.
        """
        count = self._taken.get(name, 0)
        self._taken[name] = count + 1
        if count:
            name = f"{name}_{count}"
        names = [name, *(f"{name}.{index}" for index in range(1, outputs))]
        self._nodes.append(helper.make_node(op, inputs, names, name=name, **attributes))
        return name

    def conv(
        self,
        x: Value,
        name: str,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        pad: bool = True,
        group: int = 1,
        bias: bool = False,
        gain: float = RECTIFIED,
    ) -> Value:
        """2-D convolution to ``channels``; ``pad`` adds half the kernel on each side, otherwise nothing."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = (channels, x.channels // group, height, width)
        inputs = [x.name, self._weight(f"{name}.weight", shape, gain, centred=group == 1)]
        if bias:
            inputs.append(self._normal(f"{name}.bias", (channels,), 0.05))
        half = (height // 2, width // 2) if pad else (0, 0)
        out = self.emit(
            "Conv", inputs, name, kernel_shape=(height, width), strides=(stride, stride), pads=half + half,
            dilations=(1, 1), group=group,
        )  # fmt: skip
        return Value(out, channels)

    def bn(self, x: Value, name: str, *, scale: float = 1.0, epsilon: float = 1e-5) -> Value:
        """BatchNormalization with random statistics; ``scale`` multiplies what it puts out."""
        shape = (x.channels,)
        gamma = sampling.uniform(self.seed, f"{name}.weight", shape, 0.8, 1.2) * np.float32(scale)
        var = sampling.uniform(self.seed, f"{name}.running_var", shape, 0.5, 1.5)
        inputs = [
            x.name,
            self._constant(f"{name}.weight", gamma),
            self._normal(f"{name}.bias", shape, 0.05 * scale),
            self._normal(f"{name}.running_mean", shape, 0.1),
            self._constant(f"{name}.running_var", var),
        ]
        return Value(self.emit("BatchNormalization", inputs, name, epsilon=epsilon, momentum=0.9), x.channels)

    def linear(self, x: Value, name: str, features: int, *, gain: float = CLASSIFIER) -> Value:
        """Fully connected layer with bias on (N, C)."""
        weight = self._weight(f"{name}.weight", (features, x.channels), gain, centred=True)
        bias = self._normal(f"{name}.bias", (features,), 0.05)
        return Value(self.emit("Gemm", [x.name, weight, bias], name, transB=1), features)

    def relu(self, x: Value) -> Value:
        """max(x, 0)."""
        return Value(self.emit("Relu", [x.name], f"{x.name}.relu"), x.channels)

    def relu6(self, x: Value) -> Value:
        """min(max(x, 0), 6), written as Clip with its bounds as initializers."""
        bounds = [self.constant("relu6.min", 0.0), self.constant("relu6.max", 6.0)]
        return Value(self.emit("Clip", [x.name, *bounds], f"{x.name}.relu6"), x.channels)

    def add(self, x: Value, y: Value, name: str) -> Value:
        """Elementwise sum of two maps of one shape."""
        return Value(self.emit("Add", [x.name, y.name], name), x.channels)

    def concat(self, values: Sequence[Value], name: str) -> Value:
        """Concatenation along the channels."""
        names = [value.name for value in values]
        return Value(self.emit("Concat", names, name, axis=1), sum(value.channels for value in values))

    def pool(self, x: Value, kind: str, kernel: int, stride: int, pad: int = 0) -> Value:
        """``MaxPool`` or ``AveragePool``; the average counts padded zeros, as PyTorch's does."""
        counted = {"count_include_pad": 1} if kind == "AveragePool" and pad else {}
        out = self.emit(
            kind, [x.name], f"{x.name}.pool", kernel_shape=(kernel, kernel), strides=(stride, stride),
            pads=(pad,) * 4, **counted,
        )  # fmt: skip
        return Value(out, x.channels)

    def global_average(self, x: Value) -> Value:
        """(N, C, H, W) to (N, C)."""
        pooled = self.emit("GlobalAveragePool", [x.name], f"{x.name}.mean")
        return Value(self.emit("Flatten", [pooled], f"{pooled}.flat", axis=1), x.channels)

    def model(self, name: str, *, raw: bool, opset: int) -> onnx.ModelProto:
        """The model; unless ``raw``, BatchNormalization behind a convolution is folded into it."""
        if not raw:
            fold_batch_normalization(self._nodes, self._constants)
        initializers = [numpy_helper.from_array(array, key) for key, array in self._constants.items()]
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, initializers)
        imports = [helper.make_opsetid("", opset)]
        return helper.make_model(
            graph,
            opset_imports=imports,
            ir_version=helper.find_min_ir_version_for(imports),
            producer_name="orpheus-experiments",
        )

    def _weight(self, name: str, shape: Sequence[int], gain: float, *, centred: bool) -> str:
        """``centred``: each row sums to zero, so that what all inputs have in common (a rectified map is nowhere
        negative) does not drown what they differ in; a random deep network would else give every image the same
        result.
        """
        deviation = math.sqrt(gain * (_CENTRED if centred else 1.0) / math.prod(shape[1:]))
        weight = sampling.normal(self.seed, name, shape, deviation)
        if centred:
            weight -= weight.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        return self._constant(name, weight)

    def _normal(self, name: str, shape: Sequence[int], deviation: float) -> str:
        return self._constant(name, sampling.normal(self.seed, name, shape, deviation))

    def _constant(self, name: str, array: Array) -> str:
        known = self._constants.setdefault(name, array)
        if known is not array and not np.array_equal(known, array):
            raise ValueError(f"two different arrays are called {name!r}")
        return name
