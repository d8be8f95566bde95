"""Convolution by im2col, Gemm and MatMul, with what is fused to them, over the products of any library.

The sum starts as what is added to it (bias, residual), which the library's own addition then completes; scale, shift
and activation follow in place. Columns, [C, taps, positions] of one image at a time, lie in the workspace.

Sources: https://onnx.ai/onnx/operators/; K. Chellapilla et al., High Performance Convolutional Neural Networks for
Document Processing, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from orpheus_blas.find import FILES, load
from orpheus_core.errors import BackendError, KernelError
from orpheus_core.plugin import Problem, Ready, Step, Unavailable
from orpheus_core.types import Array, TensorType

_ACTIVATIONS: dict[str, Callable[..., object]] = {
    "Relu": lambda y: np.maximum(y, 0, out=y),
    "Clip": lambda y, low, high: np.clip(y, low, high, out=y),
    "LeakyRelu": lambda y, alpha: np.copyto(y, alpha * y, where=y < 0),
    "Sigmoid": lambda y: np.copyto(y, _sigmoid(y)),
    "Tanh": lambda y: np.tanh(y, out=y),
    "HardSwish": lambda y: np.multiply(y, np.clip(y / 6 + 0.5, 0, 1), out=y),
    "Swish": lambda y, alpha: np.multiply(y, _sigmoid(alpha * y), out=y),
}


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


class _Layer:
    """One prepared layer: what its sum starts from, its products, what is done to the sum."""

    workspace = 0
    axes = 0  # of the result behind the one of bias, scale and shift

    def __init__(self, library: str, problem: Problem) -> None:
        self.product, self.problem, self.attributes = load(library).product, problem, problem.attributes

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A step on these arrays; KernelError when one is not what was prepared for, or the result lies over it."""
        types = (*self.problem.inputs[: len(inputs)], *self.problem.outputs)
        for array, type_ in zip((*inputs, *outputs), types):
            if array is not None and isinstance(type_, TensorType):
                fits = (array.dtype, array.shape) == (type_.dtype.numpy, type_.static_shape)
                if not (fits and array.flags.c_contiguous and array.flags.aligned):
                    raise KernelError(f"needs contiguous {type_}, got {array.dtype}{list(array.shape)}")
        x, w, bias, residual, scale, shift = (*inputs, *(None,) * 6)[:6]
        y, total = (*outputs, None)[:2]
        if any(np.may_share_memory(a, y) for a in (x, w, bias, scale, shift) if a is not None):
            raise KernelError(f"{self.problem.op} cannot write its result over what it reads")
        wide = (1,) * self.axes
        bias, scale, shift = (v if v is None else v.reshape((*v.shape, *wide)) for v in (bias, scale, shift))
        start = [a for a in (bias, residual) if a is not None]
        beta = float(self.attributes.get("beta", 1.0)) if start else 0.0
        fill = partial(np.add, *start, out=y) if len(start) > 1 else partial(np.copyto, y, *start)
        steps: list[Step] = [*([fill] if start else ()), *self._products(x, w, y, beta, workspace)]
        if total is not None:
            steps.append(partial(np.copyto, total, y))
        if scale is not None:
            steps += [partial(np.multiply, y, scale, out=y), partial(np.add, y, shift, out=y)]
        if self.attributes.get("activation"):
            parameters = map(float, self.attributes["activation_params"])
            steps.append(partial(_ACTIVATIONS[self.attributes["activation"]], y, *parameters))

        def step() -> None:
            for part in steps:
                part()

        return step

    def _products(self, x: Array, w: Array, y: Array, beta: float, workspace: Any) -> Iterator[Step]:
        """What adds the layer's products to ``beta`` times what is in ``y``, in order."""
        raise NotImplementedError


class Conv(_Layer):
    """Conv and FusedConv of any rank, in groups; 1x1 of stride 1 without pads multiplies the input itself."""

    def __init__(self, library: str, problem: Problem) -> None:
        super().__init__(library, problem)
        x, w, y = (t for t in (*problem.inputs[:2], problem.outputs[0]) if isinstance(t, TensorType))
        (_, channels, *size), item = x.static_shape or (0, 0), x.dtype.numpy.itemsize
        self.taps, self.places = (w.static_shape or ())[2:], (y.static_shape or ())[2:]
        self.axes, self.group, ones = len(size), int(self.attributes.get("group", 1)), (1,) * len(size)
        self.strides, self.gaps = (self.attributes.get(key) or ones for key in ("strides", "dilations"))
        self.before = (self.attributes.get("pads") or (0,) * len(size))[: len(size)]
        sides = zip(self.places, self.strides, self.taps, self.gaps)
        self.reach = tuple((o - 1) * s + (k - 1) * d + 1 for o, s, k, d in sides)
        self.padded = any(self.before) or any(r > n for r, n in zip(self.reach, size))
        self.direct = not self.padded and self.places == tuple(size) and math.prod(self.taps) == 1
        self.columns = (channels, *self.taps, *self.places)
        self.matrix = 0 if self.direct else math.prod(self.columns) * item
        self.workspace = self.matrix + (channels * math.prod(self.reach) * item if self.padded else 0)

    def _products(self, x: Array, w: Array, y: Array, beta: float, workspace: Any) -> Iterator[Step]:
        if workspace is None or workspace.nbytes < self.workspace:
            workspace = np.empty(self.workspace, np.uint8)
        columns, room = workspace[: self.matrix].view(x.dtype), workspace[self.matrix : self.workspace]
        weights = w.reshape(self.group, len(w) // self.group, -1)
        for image, results in zip(x, y.reshape(len(y), self.group, -1, math.prod(self.places))):
            if not self.direct:
                yield from self._fill(columns.reshape(self.columns), image, room)
            factors = (image if self.direct else columns).reshape(self.group, -1, results.shape[-1])
            for weight, factor, result in zip(weights, factors, results):
                yield self.product(weight, factor, result, beta=beta)

    def _fill(self, columns: Array, image: Array, room: Array) -> Iterator[Step]:
        """Columns of one image [C, ...], which is given its pads in ``room`` first."""
        if self.padded:
            padded = room.view(image.dtype).reshape(len(image), *self.reach)
            inside = padded[tuple(slice(b, b + n) for b, n in zip((0, *self.before), image.shape))]
            yield partial(padded.fill, 0)
            yield partial(np.copyto, inside, image[tuple(map(slice, inside.shape))])
            image = padded
        channel, *sides = image.strides
        steps = [n * factor for n, factor in zip((*sides, *sides), (*self.gaps, *self.strides))]
        windows = np.lib.stride_tricks.as_strided(image, columns.shape, (channel, *steps), writeable=False)
        yield partial(np.copyto, columns, windows)


class Gemm(_Layer):
    """Gemm and FusedGemm, on views that are transposed as the attributes say."""

    def _products(self, x: Array, w: Array, y: Array, beta: float, workspace: Any) -> Iterator[Step]:
        a, b = (m.T if self.attributes.get(key) else m for m, key in ((x, "transA"), (w, "transB")))
        yield self.product(a, b, y, float(self.attributes.get("alpha", 1.0)), beta)


class MatMul(_Layer):
    """MatMul and FusedMatMul; a B of rank 2 makes one product of a whole batch."""

    def _products(self, x: Array, w: Array, y: Array, beta: float, workspace: Any) -> Iterator[Step]:
        a, b = np.atleast_2d(x), w.reshape(-1, 1) if w.ndim == 1 else w
        a = a.reshape(-1, len(b)) if b.ndim == 2 else a
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (np.broadcast_to(m, (*batch, *m.shape[-2:])) for m in (a, b))
        sums = y.reshape(*batch, a.shape[-2], b.shape[-1])
        for index in np.ndindex(batch):
            yield self.product(a[index], b[index], sums[index], beta=beta)


class Layers:
    """What the manifest names of one library: its probe, its threads, and the layers over it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.Conv, self.Gemm, self.MatMul = (partial(layer, name) for layer in (Conv, Gemm, MatMul))

    def probe(self) -> Ready | Unavailable:
        """Ready with version, threading, integers and path of the library, or why there is none and what helps."""
        try:
            return Ready(load(self.name).about)
        except BackendError as error:
            reason, _, fix = str(error).partition("; to fix: ")
            return Unavailable(reason, fix)

    def set_threads(self, threads: int) -> None:
        """Tell the library its thread count."""
        load(self.name).set_threads(threads)

    def refusal(self, problem: Problem) -> str | None:
        """What rules cannot say."""
        single, given = load(self.name).single, problem.attributes
        if single and problem.threads != 1:
            return f"{self.name} computes on 1 thread ({single}), {problem.threads} were asked for"
        if given.get("group", 1) > 1 == problem.field("W.shape[1]"):
            return "needs groups of several channels: products of one row are no work for a BLAS"
        if problem.op == "FusedGemm" and given["beta"] != 1 and problem.field("R.present"):
            return f"needs beta == 1 beside a residual, has {given['beta']}"
        return None


mkl, openblas, blis, numpy, accelerate, atlas = map(Layers, FILES)
