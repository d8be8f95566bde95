"""com.microsoft: activations, products with an epilogue, transformers. Source: ContribOperators.md of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces import convolution, linear
from orpheus_conformance.spaces.contrib_quantized import MICROSOFT
from orpheus_conformance.tolerance import Accumulation, Evidence, Tolerance, Ulps
from orpheus_core.types import Array


def _largest(e: Evidence) -> Array:
    return np.asarray(sum(float(np.abs(x).max(initial=0)) for x in e.inputs if x is not None) + 1.0)


_GELU = Ulps(
    16.0, "an error function or a tangent of a rounded argument, times it", half=2.0, magnitude=_largest
)
_WITHOUT = {"special": "what infinity times a vanishing factor gives depends on the formula"}


def _gelu(op: str, second: str = "", *, optional: bool = False, **attributes: tuple[Any, ...]) -> None:
    @space(op, _GELU, domain=MICROSOFT, without=_WITHOUT)
    def draw(d: Draw) -> Layer:
        first = d.spec.input_names[0]
        dtype = d.dtype("T")
        shape = d.shape(first, (2, 1, 3))
        inputs = [d.tensor(first, dtype, shape)]
        if second and (not optional or d.present(second)):
            inputs.append(d.tensor(second, dtype, shape[-1:], constant=None))
        return Layer(tuple(inputs), {k: d.attribute(k, v) for k, v in attributes.items()})


_gelu("Gelu")
_gelu("FastGelu", "bias", optional=True)
_gelu("BiasGelu", "B")
_gelu("QuickGelu", alpha=(OMIT, 1.0, 0.5))

#: Activation -> its parameters, whether exact on integers.
_ACTIVATIONS: dict[str, tuple[tuple[float, ...], bool]] = {
    "Relu": ((), True), "Clip": ((-2.0, 3.0), True), "LeakyRelu": ((0.125,), True),
    "Sigmoid": ((), False), "Tanh": ((), False),
}  # fmt: skip


def _epilogue(d: Draw, *, clip: bool = True) -> tuple[Any, tuple[float, ...]]:
    names = [
        n for n, (_, exact) in _ACTIVATIONS.items() if (exact or d.kind != "small") and (clip or n != "Clip")
    ]
    name = d.attribute("activation", (OMIT, *names))
    return name, () if name is OMIT else _ACTIVATIONS[name][0]


def _tolerance(length: Any) -> Any:
    def of(case: Case) -> Tolerance:
        name = case.attributes.get("activation", "")
        exact = not name or _ACTIVATIONS[str(name)][1]
        off = {"activation": ""} if name else {}
        return Accumulation(length, exact, off, ulps=0.0 if exact else 8.0)

    return of


def _conv_length(case: Case) -> int:
    weights = case.inputs[1]
    assert isinstance(weights, Operand)
    return int(np.prod(weights.shape[1:])) + 2


def _inner_length(case: Case) -> int:
    return max(max(o.shape, default=1) for o in case.inputs[:2] if isinstance(o, Operand)) + 1


@space("FusedConv", _tolerance(_conv_length), domain=MICROSOFT, without=_WITHOUT)
def fused_conv(d: Draw) -> Layer:
    """Convolution, a residual, an activation."""
    inputs, attributes, _ = convolution._conv(d)
    x = inputs[0]
    if d.present("Z"):
        shape = convolution._output_shape(x.shape, inputs[1].shape, attributes)
        inputs.append(d.tensor("Z", x.dtype, shape, special=False))
    name, params = _epilogue(d)
    return Layer(tuple(inputs), {**attributes, "activation": name, "activation_params": params or OMIT})


@space("FusedGemm", _tolerance(_inner_length), domain=MICROSOFT, without=_WITHOUT)
def fused_gemm(d: Draw) -> Layer:
    """Gemm and an activation."""
    inputs, attributes, _ = linear._gemm(d)
    name, params = _epilogue(d, clip=False)
    slope = params[0] if params else OMIT
    return Layer(tuple(inputs), {**attributes, "activation": name, "activation_alpha": slope})


@space("FusedMatMul", _tolerance(_inner_length), domain=MICROSOFT, without=_WITHOUT)
def fused_matmul(d: Draw) -> Layer:
    """Stacks of matrices, each turned in its last axes, its batch axes or both."""
    dtype = d.dtype("T")
    m, k, n = (d.choose(FULL_DIMS) for _ in range(3))
    rank = d.choose((2, 3, 4))
    stack = tuple(d.choose((2, 1, 3)) for _ in range(rank - 2))
    flags = {name: d.attribute(name, (0, OMIT, 1)) for name in ("transA", "transB")}
    flags |= {
        name: d.attribute(name, (0, OMIT, 1) if rank > 2 else (OMIT,))
        for name in ("transBatchA", "transBatchB")
    }

    def shape(matrix: tuple[int, int], letter: str) -> tuple[int, ...]:
        rows, columns = matrix[::-1] if flags[f"trans{letter}"] == 1 else matrix
        whole = (*stack, rows, columns)
        # Turned, the first axis comes after the others of the stack.
        return (rows, *stack, columns) if flags[f"transBatch{letter}"] == 1 else whole

    tensors = [
        d.tensor("A", dtype, shape((m, k), "A")),
        d.tensor("B", dtype, shape((k, n), "B"), constant=None),
    ]
    return Layer(tuple(tensors), {**flags, "alpha": d.attribute("alpha", (OMIT, 0.5, 2.0))})
