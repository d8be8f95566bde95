"""MatMul, Gemm and their fused forms.

Only A holds special values: BLAS may skip a zero factor, so what 0 * NaN gives is not the kernel's choice.
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import DIMS, Draw, rank_of
from orpheus_conformance.space import Layer, space
from orpheus_conformance.spaces.convolution import draw_activation, epilogue_tolerance
from orpheus_conformance.tolerance import MOVEMENT, Accumulation, Tolerance

#: A sum of more terms than a vector has lanes, or a processor's matrix tile takes at once.
_LONG = 33


def _matmul_length(case: Case) -> int:
    a = case.inputs[0]
    assert isinstance(a, Operand)
    return (a.shape[-1] if a.shape else 1) + len(case.inputs) - 2


def _matmul_tolerance(case: Case) -> Tolerance:
    return epilogue_tolerance(case, _matmul_length)


def _matrices(d: Draw) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Element type and the shapes of A and B: vectors, matrices, and stacks that broadcast."""
    dtype = d.dtype("T")
    sizes = d.sizes("A", DIMS)
    m, n, k = d.choose(sizes), d.choose(sizes), d.choose((*sizes, _LONG))
    rank_a, rank_b = d.rank("A", (2, 3, 1, 4)), d.rank("B", (2, 3, 1, 4))
    stack = tuple(d.choose(sizes) for _ in range(max(rank_a, rank_b, 2) - 2))

    def shape(rank: int, matrix: tuple[int, int]) -> tuple[int, ...]:
        own = stack[len(stack) - (rank - 2) :] if rank > 2 else ()
        return (*(d.choose((size, 1)) for size in own), *matrix)

    a = (k,) if rank_a == 1 else shape(rank_a, (m, k))
    b = (k,) if rank_b == 1 else shape(rank_b, (k, n))
    return dtype, a, b


@space("MatMul", _matmul_tolerance)
def matmul(d: Draw) -> Layer:
    """A [..., M, K], B [..., K, N]."""
    dtype, a, b = _matrices(d)
    return Layer(
        (d.tensor("A", dtype, a, constant=None), d.tensor("B", dtype, b, special=False, constant=None))
    )


def _gemm_length(case: Case) -> int:
    a = case.inputs[0]
    assert isinstance(a, Operand)
    return a.shape[0 if case.attributes.get("transA") else 1] + len(case.inputs) - 2


def _gemm_tolerance(case: Case) -> Tolerance:
    return epilogue_tolerance(case, _gemm_length)


def _gemm(d: Draw) -> tuple[list[Operand | None], dict[str, object], tuple[int, int]]:
    dtype = d.dtype("T")
    turn_a, turn_b = d.attribute("transA", (0, 1)), d.attribute("transB", (0, 1))
    m, n = (d.choose(d.sizes("A", DIMS)) for _ in range(2))
    form = d.choose(("full", "column", "row", "any"))
    if form == "column" and d.choose((True, True, False)):
        m = n = d.choose((2, 3, 5))  # where C's rows and columns could be mistaken for each other
    c_shape = {"full": (m, n), "column": (m, 1), "row": (n,), "any": d.broadcastable((m, n))}[form]
    k = d.dim("A", 0 if turn_a else 1, (*DIMS, _LONG), rank=2)
    bias = d.present("C") if d.version >= 11 else True
    inputs: list[Operand | None] = [
        d.tensor("A", dtype, (k, m) if turn_a else (m, k)),
        d.tensor("B", dtype, (n, k) if turn_b else (k, n), special=False, constant=None),
        d.tensor("C", dtype, c_shape, special=False, constant=None) if bias else None,
    ]
    attributes = {"transA": turn_a, "transB": turn_b}
    for name in ("alpha", "beta"):
        attributes[name] = d.maybe(name, d.attribute(name, (1.0, 0.5, -2.0)), 1.0)
    return inputs, attributes, (m, n)


@space("Gemm", _gemm_tolerance, since=7)
def gemm(d: Draw) -> Layer:
    """Alpha A' B' + beta C."""
    inputs, attributes, _ = _gemm(d)
    return Layer(tuple(inputs), attributes)


@space("FusedGemm", _gemm_tolerance, domain="ai.orpheus")
def fused_gemm(d: Draw) -> Layer:
    """Gemm with residual and activation."""
    inputs, attributes, shape = _gemm(d)
    assert inputs[0] is not None
    residual = d.tensor("R", inputs[0].dtype, shape) if d.present("R") else None
    return Layer((*inputs, residual), {**attributes, **draw_activation(d)})


@space("FusedMatMul", _matmul_tolerance, domain="ai.orpheus")
def fused_matmul(d: Draw) -> Layer:
    """MatMul with bias, residual and activation."""
    dtype, a, b = _matrices(d)
    if len(b) == 1:
        b = (*b, d.choose(d.sizes("B", DIMS)))
    if len(a) == 1:
        a = (d.choose(d.sizes("A", DIMS)), *a)
    stack = np.broadcast_shapes(a[:-2], b[:-2])
    bias = d.tensor("bias", dtype, b[-1:], special=False, constant=None) if d.present("bias") else None
    residual = d.tensor("R", dtype, (*stack, a[-2], b[-1])) if d.present("R") else None
    operands = (d.tensor("A", dtype, a, constant=None), d.tensor("B", dtype, b, special=False, constant=None))
    return Layer((*operands, bias, residual), draw_activation(d))


#: Equations, and the operands' ranks follow; an ellipsis stands for two axes.
_EQUATIONS = (
    "ij,jk->ik", "ij,jk", "bij,bjk->bik", "ij->ji", "ii->i", "ii", "ij->", "i,j->ij", "i,i->", "...ij,...jk->...ik",
    "ij,kj->ki", "bhqd,bhkd->bhqk", "...i->...", "ij,jk,kl->il", "ibj->bi", " i j , j k -> i k ",
)  # fmt: skip


def _einsum_length(case: Case) -> int:
    first = [o for o in case.inputs if isinstance(o, Operand)]
    return math.prod(max((1, *o.shape)) for o in first) * len(first)


@space(
    "Einsum",
    Accumulation(_einsum_length),
    without={"special": "a pair of factors is multiplied in any order"},
)
def einsum(d: Draw) -> Layer:
    """Sums of products over the letters that the result lacks; repeated letters take a diagonal."""
    equation = d.choose(_EQUATIONS)
    sizes: dict[str, tuple[int, ...]] = {}
    dtype = d.dtype("T")
    operands = []
    for term in equation.replace(" ", "").partition("->")[0].split(","):
        shape: tuple[int, ...] = ()
        for letter in term.replace("...", "."):
            if letter not in sizes:
                sizes[letter] = (
                    (d.choose((2, 1)), d.choose((1, 3))) if letter == "." else (d.choose((2, 1, 3, 5)),)
                )
            shape += sizes[letter]
        operands.append(d.tensor("Inputs", dtype, shape, constant=None))
    return Layer(tuple(operands), {"equation": equation})


@space("Reorder", MOVEMENT, domain="ai.orpheus")
def reorder(d: Draw) -> Layer:
    """From and to the layouts of the kernel's format; the last block of channels is full or not."""
    start, goal = d.format.input(0), d.format.output(0)
    fixed = rank_of(start) or rank_of(goal)
    rank = d.rank("X", (4, 3, 5) if fixed is None else (fixed,))
    shape = d.shape("X", (rank,))
    attributes = {
        "from_layout": d.maybe("from_layout", start, "plain"),
        "to_layout": d.maybe("to_layout", goal, "plain"),
    }
    return Layer((d.tensor("X", d.dtype("T"), shape),), attributes)
