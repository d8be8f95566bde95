"""The problem spaces of computing operators: layers are valid, judged, and the reference is right on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orpheus_numpy
import pytest
from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned
from orpheus_conformance.distribution import Distribution
from orpheus_conformance.engine import Options, Row, run
from orpheus_conformance.formulas import formulas
from orpheus_conformance.oracle import OnnxOracle
from orpheus_conformance.space import find_space
from orpheus_conformance.subject import Subject
from orpheus_conformance.verdict import FAILED, PASSED, Court

from orpheus_core.plugin import Backend, Kernel
from orpheus_core.types import Array

FAMILIES = {
    "unary": "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Cos Cosh Erf Exp Floor IsInf IsNaN Log Neg Not "
    "Reciprocal Round Sigmoid Sign Sin Sinh Sqrt Tan Tanh",
    "binary": "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Clip Div Equal Greater GreaterOrEqual Less "
    "LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where Xor",
    "casts": "BitCast Cast CastLike",
    "activations": "Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Shrink "
    "Softmax Softplus Softsign SwiGLU Swish ThresholdedRelu",
    "reductions": "ArgMax ArgMin CumProd CumSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean "
    "ReduceMin ReduceProd ReduceSum ReduceSumSquare TopK",
    "pooling": "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool MaxRoiPool MaxUnpool RoiAlign",
    "convolutions": "CausalConvWithState Col2Im ConvTranspose DeformConv",
    "quantized": "ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul "
    "QuantizeLinear",
    "normalizations": "BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization "
    "LpNormalization MeanVarianceNormalization RMSNormalization ai.orpheus:ScaleShift",
    "products": "Einsum Gemm MatMul ai.orpheus:FusedGemm ai.orpheus:FusedMatMul",
    "attention": "Attention LinearAttention RotaryEmbedding ai.onnx.preview:FlexAttention",
    "sampling": "AffineGrid DepthToSpace GridSample Resize SpaceToDepth",
    "losses": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    "recurrent": "GRU LSTM RNN",
    "random": "Bernoulli Dropout Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
}
BACKEND = orpheus_numpy.orpheus_backend()


def _rows(names: str, examples: int, tiers: tuple[str, ...]) -> list[Row]:
    wanted = set(names.split())
    backend = replace(BACKEND, kernels=tuple(k for k in BACKEND.kernels if k.op_id in wanted))
    assert {k.op_id for k in backend.kernels} == wanted
    return list(run(backend, Options(examples=examples, tiers=tiers, oracle="onnx", shrink_seconds=2)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_conforms_and_few_layers_are_wasted(family: str) -> None:
    for row in _rows(FAMILIES[family], 5, ("exact", "bounded", "special")):
        shown = row.case.line() if row.case is not None else ""
        assert row.outcome in ("passed", "inapplicable"), f"{row.kernel} {row.tier}: {row.message} {shown}"
        if row.outcome == "passed":
            wasted = row.invalid + sum(row.unjudged.values()) + sum(row.refused.values())
            assert row.executed >= 5, f"{row.kernel} {row.tier}: {row.executed} cases only"
            assert wasted <= row.executed, f"{row.kernel} {row.tier}: {wasted} wasted, {row.unjudged}"


def test_images_are_decoded() -> None:
    pytest.importorskip("PIL")
    for row in _rows("ImageDecoder", 10, ("bounded",)):
        assert row.outcome == "passed" and row.executed == 10, row.message


def test_every_formula_says_why_it_stands_in() -> None:
    for (domain, op), known in formulas().items():
        assert find_space(domain, op) is not None, f"a formula for {op}, which has no problem space"
        assert all(len(f.why) > 10 for f in known)


def _softmax(x: Array, *, axis: int = -1) -> Array:
    y = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(y / y.sum(axis=axis, keepdims=True))


def softmax_in_half(input: Array, *, axis: int = -1) -> Array:
    """A softmax that computes in half precision."""
    return _softmax(input.astype(np.float16), axis=axis).astype(input.dtype)


def softmax_without_maximum(input: Array, *, axis: int = -1) -> Array:
    """A softmax that does not subtract the maximum: right while nothing overflows."""
    y = np.exp(input)
    return np.asarray(y / y.sum(axis=axis, keepdims=True))


def uniform_past_high(
    *, shape: tuple[int, ...], dtype: int = 1, high: float = 1, low: float = 0, seed: float = 0
) -> Array:
    """Uniform numbers that reach too far."""
    return np.random.default_rng(int(seed)).uniform(low, high + 0.2, shape).astype(np.float32)


def uniform_without_seed(
    *, shape: tuple[int, ...], dtype: int = 1, high: float = 1, low: float = 0, seed: float = 0
) -> Array:
    """Uniform numbers that ignore the seed."""
    return np.random.default_rng().uniform(low, high, shape).astype(np.float32)


def _verdict(function: str, case: Case) -> str:
    kernel = Kernel(op=case.op, name="tried", run=f"{__name__}:{function}")
    backend = Backend(name="tried", api=1, kernels=(kernel,))
    return Court(Subject(backend, kernel), OnnxOracle())(case).outcome


@pytest.mark.parametrize(
    ("function", "outcome"), [("softmax_in_half", FAILED), ("softmax_without_maximum", PASSED)]
)
def test_the_conditioned_bound_tells_half_precision_from_another_order(function: str, outcome: str) -> None:
    case = Case("Softmax", 13, (Operand("float32", (3, 50)),), {"axis": -1})
    assert isinstance(find_space("", "Softmax").tolerance_of(case), Conditioned)  # type: ignore[union-attr]
    assert _verdict(function, case) == outcome


@pytest.mark.parametrize("function", ["uniform_past_high", "uniform_without_seed"])
def test_a_wrong_distribution_is_told(function: str) -> None:
    attributes = {"shape": (40, 50), "seed": 1.0, "dtype": 1}
    case = Case("RandomUniform", 22, (), attributes)
    assert isinstance(find_space("", "RandomUniform").tolerance_of(case), Distribution)  # type: ignore[union-attr]
    assert _verdict(function, case) == FAILED
