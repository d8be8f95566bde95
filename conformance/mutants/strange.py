"""Unusual backends that are right, and must pass: other algorithms, other orders, other precisions, declared."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from mutants import plain
from mutants.elements import QUANTIZE
from mutants.fused import FUSED
from mutants.memory import BLOCKED, FLAT, REORDERS, Bound, block, shape_of, unblock
from mutants.mutant import UNUSUAL, Trial, kernel_of, unusual
from orpheus_core.plugin import API, Accuracy, Backend, Rule

_THREE = (
    Rule("X.rank", "==", 4), Rule("group", "==", 1), Rule("auto_pad", "==", "NOTSET"),
    Rule("W.shape[2]", "==", 3), Rule("W.shape[3]", "==", 3),
    Rule("strides", "in", (None, (1, 1))), Rule("dilations", "in", (None, (1, 1))),
)  # fmt: skip


def winograd_matrices(m, r, points):
    """Toom-Cook: (AT [m, n], G [n, r], BT [n, n]) of F(m, r), n = m + r - 1, on n - 1 points and infinity.

    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308.
    """
    n = m + r - 1
    points = [Fraction(p) for p in points]
    scale = [np.prod([p - q for q in points if q != p], dtype=object) for p in points]
    AT = [[p**i for p in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    G = [[p**j / s for j in range(r)] for p, s in zip(points, scale)] + [
        [Fraction(int(j == r - 1)) for j in range(r)]
    ]
    BT = []
    for p in [*points, None]:
        poly = [Fraction(1)]
        for q in points:
            if q != p:
                poly = [a - q * b for a, b in zip([Fraction(0), *poly], [*poly, Fraction(0)])]
        BT.append(poly + [Fraction(0)] * (n - len(poly)))
    return [np.array([[float(v) for v in row] for row in matrix]) for matrix in (AT, G, BT)]


def winograd(X, W, B, pads, m, points):
    """Conv of 3x3 filters in tiles of m x m outputs, in the input's own precision."""
    AT, G, BT = (matrix.astype(X.dtype) for matrix in winograd_matrices(m, 3, points))
    top, left, bottom, right = pads or (0, 0, 0, 0)
    height, width = X.shape[2] + top + bottom - 2, X.shape[3] + left + right - 2
    rows, columns = -(-height // m), -(-width // m)
    widths = [(top, bottom + rows * m - height), (left, right + columns * m - width)]
    padded = np.pad(X, [(0, 0), (0, 0), *widths])
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (m + 2, m + 2), (2, 3))[:, :, ::m, ::m]
    V = BT @ tiles @ BT.T
    U = G @ W @ G.T
    M = np.einsum("nchwij,mcij->nmhwij", V, U)
    Y = (AT @ M @ AT.T).transpose(0, 1, 2, 4, 3, 5).reshape(X.shape[0], W.shape[0], rows * m, columns * m)
    Y = Y[:, :, :height, :width]
    return Y if B is None else Y + plain.channels(B, 4)


@unusual("Conv", where=_THREE, accuracy=Accuracy(factor=2))
def winograd_2(X, W, B=None, *, pads=None, **_):
    """Winograd F(2x2, 3x3): exact on integers, its factors being powers of two; a NaN spreads over its tile."""
    return winograd(X, W, B, pads, 2, (0, 1, -1))


@unusual("Conv", where=_THREE, accuracy=Accuracy(factor=4, exact_integers=False))
def winograd_4(X, W, B=None, *, pads=None, **_):
    """Winograd F(4x4, 3x3), declared as inexact."""
    return winograd(X, W, B, pads, 4, (0, 1, -1, Fraction(1, 2), -2))


@unusual("MatMul")
def matmul_in_blocks(A, B):
    """Partial sums of four terms, added up at the end."""
    if A.ndim == 1 or B.ndim == 1:
        return np.matmul(A, B)
    parts = [np.matmul(A[..., k : k + 4], B[..., k : k + 4, :]) for k in range(0, A.shape[-1], 4)]
    return sum(parts[1:], parts[0]) if parts else np.matmul(A, B)


@unusual("ReduceSum")
def reduce_sum_backwards(data, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    """One addition after another, from the end."""
    axes = plain.axes_of(data, axes, noop_with_empty_axes)
    kept = [a for a in range(data.ndim) if a not in axes]
    count = plain.size(data.shape[a] for a in axes)
    rows = (
        np.transpose(data, [*kept, *axes]).reshape(*(data.shape[a] for a in kept), count)
        if axes
        else data[..., None]
    )
    total = np.zeros(rows.shape[:-1], data.dtype)
    for n in reversed(range(rows.shape[-1])):
        total = total + rows[..., n]
    return (
        total.reshape([1 if a in axes else s for a, s in enumerate(data.shape)])
        if keepdims and axes
        else total
    )


@unusual("MatMul", dtypes={"T": ("float16",)}, accuracy=Accuracy(factor=2))
def matmul_in_declared_half(A, B):
    """Products and sums in float16, one after another, and says so."""
    total = np.zeros(np.matmul(A, B).shape, np.float16)
    a, b = (A[None] if A.ndim == 1 else A), (B[:, None] if B.ndim == 1 else B)
    for k in range(a.shape[-1]):
        total += (a[..., k : k + 1] * b[..., k : k + 1, :]).reshape(total.shape)
    return total


@unusual("Gemm")
def gemm_wider(A, B, C=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    """float64 within, one rounding at the end: what fused multiply-add and extended registers come close to."""
    a, b = A.astype(np.float64), B.astype(np.float64)
    Y = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return (Y if C is None else Y + beta * C.astype(np.float64)).astype(A.dtype)


def flushed(x):
    """Denormals as zeros of the same sign."""
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, np.copysign(x.dtype.type(0), x), x)


@unusual("Conv")
def conv_flushes_denormals(X, W, B=None, **attributes):
    """FTZ and DAZ, as a compiler's fast mode sets them."""
    return flushed(plain.conv(flushed(X), flushed(W), None if B is None else flushed(B), **attributes))


@unusual("Relu")
def relu_flushes_denormals(X):
    """The same for one element."""
    return flushed(plain.relu(flushed(X)))


@unusual("Mul")
def mul_flushes_denormals(A, B):
    """The same for a product."""
    return flushed(flushed(A) * flushed(B))


@unusual("Conv", prepared=True, formats=BLOCKED, where=FLAT)
class conv_in_blocks_of_channels(Bound):  # noqa: N801
    """NCHW16c in and out, with plain as its other format."""

    def compute(self, inputs, outputs, workspace):
        """See the class."""
        blocked = self.problem.inputs[0].layout.block > 1
        X = unblock(inputs[0], shape_of(self.problem.inputs[0])) if blocked else inputs[0]
        Y = plain.conv(X, *inputs[1:], **self.attributes)
        outputs[0][...] = block(Y) if blocked else Y


@unusual("Reorder", prepared=True, formats=REORDERS, domain="ai.orpheus")
class reorder_in_blocks_of_channels(Bound):  # noqa: N801
    """NCHW to NCHW16c and back; nothing from plain to plain."""

    def compute(self, inputs, outputs, workspace):
        """See the class."""
        to_blocks = self.problem.outputs[0].layout.block > 1
        outputs[0][...] = (
            block(inputs[0]) if to_blocks else unblock(inputs[0], shape_of(self.problem.inputs[0]))
        )


@unusual("MatMul", prepared=True, overlap=True)
class matmul_overlaps(Bound):  # noqa: N801
    """A layer object whose calls may run at the same time: all that a call writes to is its own workspace."""

    def __init__(self, problem):
        super().__init__(problem)
        self.workspace = problem.outputs[0].nbytes

    def compute(self, inputs, outputs, workspace):
        """Through the workspace."""
        scratch = (
            workspace.view(outputs[0].dtype).reshape(outputs[0].shape) if outputs[0].size else outputs[0]
        )
        scratch[...] = np.matmul(*inputs)
        outputs[0][...] = scratch


@unusual("Relu", inplace=((0, 0),), writes_out=True)
def relu_in_place(X, *, out):
    """Element by element, so that the output may lie upon the input."""
    np.maximum(X, X.dtype.type(0), out=out[0])
    return out[0]


_CHANNELS = {"T": plain.FLOATS, "T1": plain.FLOATS, "T2": plain.FLOATS}
_ONE_OUTPUT = (Rule("Mean.present", "==", False), Rule("InvStdDev.present", "==", False))
_NOTSET = (Rule("auto_pad", "==", "NOTSET"), Rule("output_shape", "==", None))

#: The right kernels that the mutants change: a mutant is caught for its bug only if its original passes.
_ORIGINALS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("Conv", "conv", {}),
    ("ConvTranspose", "conv_transpose", {"where": _NOTSET}),
    ("MaxPool", "max_pool", {"where": (Rule("Indices.present", "==", False),)}),
    ("AveragePool", "average_pool", {}),
    ("FusedConv", "fused_conv", FUSED),
    ("MatMul", "matmul", {}),
    ("Gemm", "gemm", {}),
    ("Relu", "relu", {}),
    ("LeakyRelu", "leaky_relu", {}),
    ("Clip", "clip", {}),
    ("Add", "add", {"dtypes": {"T": ("float32", "int64")}}),
    ("Identity", "identity", {"dtypes": {"V": plain.FLOATS}}),
    ("Div", "divide", {"dtypes": {"T": ("int32", "int64", "float32")}}),
    ("Round", "round_even", {}),
    ("Where", "where", {}),
    ("ReduceSum", "reduce_sum", {}),
    ("ReduceMean", "reduce_mean", {}),
    ("ReduceMax", "reduce_max", {}),
    ("Softmax", "softmax", {}),
    ("LayerNormalization", "layer_norm", {"where": _ONE_OUTPUT}),
    ("BatchNormalization", "batch_norm", {"where": (Rule("training_mode", "==", 0),), "dtypes": _CHANNELS}),
    ("QuantizeLinear", "quantize", QUANTIZE),
    ("Transpose", "transpose", {}),
    ("Concat", "concat", {}),
    ("Gather", "gather", {"dtypes": {"T": plain.FLOATS, "Tind": ("int64",)}}),
    ("Slice", "slice_", {"dtypes": {"T": plain.FLOATS, "Tind": ("int64",)}}),
)
for _op, _name, _more in _ORIGINALS:
    _kernel = kernel_of(_op, f"mutants.plain:{_name}", **_more)
    _backend = Backend(name=f"toy_plain_{_name}", api=API, kernels=(_kernel,))
    UNUSUAL[f"plain_{_name}"] = Trial(
        f"plain_{_name}", f"The right {_op} that mutants are made of.", _backend
    )
