"""Every kernel of the backend as data. Nothing here imports a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orpheus_core.plugin import Accuracy, Format, Kernel, Rule
from orpheus_openmp import manifest_more, manifest_tensors
from orpheus_openmp.bilinear import ALGORITHMS
from orpheus_openmp.cook_toom import FORMS
from orpheus_openmp.manifest_tensors import FULL, MOST_PARTS
from orpheus_openmp.rules import rule

_ORPHEUS = "ai.orpheus"
_FLOAT = {"T": ("float32",)}
_TILE_VECTORS = 2  # of every instruction set's register tile
#: Activations and elementary functions of one tensor, and the newest version of each that is implemented.
UNARY = (
    "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Swish", "Elu", "Celu", "Selu", "Gelu",
    "Mish", "Softplus", "Softsign", "ThresholdedRelu", "Exp", "Abs", "Neg", "Sqrt", "Reciprocal", "Log", "Erf", "Floor",
    "Ceil",
)  # fmt: skip
_EXACT_UNARY = ("Relu", "Clip", "Abs", "Neg", "Floor", "Ceil")
#: 1x1, stride 1.
_POINTWISE = ("pointwise", "strassen", "strassen2")


def kernels(block: int) -> tuple[Kernel, ...]:
    """The table, for blocked layouts of ``block`` channels."""
    layout = f"NCHW{block}c"
    tensors = manifest_tensors.kernels(layout)
    return (
        *_convolutions(layout, block), *_products(), *_pools(layout), *_elementwise(layout), *_movement(layout),
        *tensors, *manifest_more.kernels(layout),
    )  # fmt: skip


def _convolutions(layout: str, block: int) -> Iterator[Kernel]:
    blocked = Format((layout, "plain", "plain", layout), (layout, layout))
    first = Format(("plain", "plain", "plain", layout), (layout, layout))
    errors = {name: Accuracy(factor=f.factor, exact_integers=f.exact) for name, f in FORMS.items()}
    rows: tuple[tuple[str, str, str, Format, Accuracy], ...] = (
        *((name, f"winograd:layers.{name}", "winograd", blocked, errors[name]) for name in FORMS),
        ("strassen", "strassen:Strassen", "strassen", blocked, Accuracy(factor=4, normwise=True)),
        ("strassen2", "strassen:Strassen2", "strassen2", blocked, Accuracy(factor=8, normwise=True)),
        ("pointwise", "conv:Pointwise", "pointwise", blocked, Accuracy()),
        ("depthwise", "conv:Depthwise", "depthwise", blocked, Accuracy()),
        ("direct", "conv:Direct", "direct", blocked, Accuracy()),
        ("stem", "conv:Direct", "stem", first, Accuracy()),
    )
    costs = {name: f"winograd.{name}" for name in FORMS}
    kept = {name for name, form in FORMS.items() if form.fly}  # weights as they are
    also_plain = [name for name, form in FORMS.items() if form.plain]
    for op, domain in (("Conv", ""), ("FusedConv", _ORPHEUS)):
        for name, code, limit, layouts, accuracy in rows:
            yield Kernel(
                op=op, domain=domain, name=name, dtypes=_FLOAT, overlap=True,
                formats=(layouts, first) if name in also_plain else (layouts,),
                prepare=f"orpheus_openmp.{code}", supports=f"orpheus_openmp.limits:{limit}",
                cost=f"orpheus_openmp.cost:{costs.get(name, name)}", accuracy=accuracy,
                expands=code.startswith(("winograd", "strassen")) and name not in kept, whole=bool(domain),
                where=(FULL, rule("X.rank", "==", 4), *_constants(op), *_rules(name, block)),
                inplace=((0, 3),) if domain else (),
            )  # fmt: skip
        yield Kernel(
            op=op, domain=domain, name="im2col", dtypes=_FLOAT, overlap=True,
            prepare="orpheus_openmp.im2col:Im2col", supports="orpheus_openmp.limits:im2col",
            cost="orpheus_openmp.cost:im2col", where=(FULL, rule("X.rank", "in", (3, 4))),
        )  # fmt: skip


def _constants(op: str) -> tuple[Rule, ...]:
    """What is packed in advance cannot come at run time."""
    others = ("B", "scale", "shift") if op == "FusedConv" else ("B",)
    return (rule("W.constant", "==", True), *(rule(f"{name}.runtime", "==", False) for name in others))


def _rules(name: str, block: int) -> tuple[Rule, ...]:
    """Limits of a convolution that are plain facts; the others are in limits.py."""
    size = (1, 1) if name in _POINTWISE else FORMS[name].kernel if name in FORMS else ()
    rules = tuple(rule(f"W.shape[{axis}]", "==", taps) for axis, taps in enumerate(size, 2))
    if name in ALGORITHMS:
        channels, filters = ALGORITHMS[name].least(block, _TILE_VECTORS)
        least = rule("X.shape[1]", ">=", channels), rule("W.shape[0]", ">=", filters)
        return (*rules, *least, rule("strides", "each", (1,)))
    if name not in FORMS:
        return (rule("W.shape[1]", "==", 1),) if name == "depthwise" else rules
    steps = {"strides": FORMS[name].step, "dilations": 1}
    each = (rule(n, "each", (step,)) for n, step in steps.items())
    return (*rules, rule("group", "==", 1), *each, rule("pads", "each", tuple(range(max(size) // 2 + 1))))


def _products() -> Iterator[Kernel]:
    for op, code in (
        ("Gemm", "Gemm"),
        ("FusedGemm", "Gemm"),
        ("MatMul", "MatMul"),
        ("FusedMatMul", "MatMul"),
    ):
        yield Kernel(
            op=op, domain=_ORPHEUS if op.startswith("Fused") else "", name="panels", dtypes=_FLOAT, overlap=True,
            opset=(7, None) if op == "Gemm" else (1, None),
            where=(FULL, rule("B.rank", ">=", 2)) if code == "MatMul" else (FULL,),
            prepare=f"orpheus_openmp.gemm:{code}", supports=f"orpheus_openmp.limits:{code.lower()}",
            cost="orpheus_openmp.cost:product",
        )  # fmt: skip


def _pools(layout: str) -> Iterator[Kernel]:
    for op in ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"):
        more = (rule("Indices.present", "==", False),) if op == "MaxPool" else ()
        for name, layouts, cost in (
            ("blocked", Format((layout,), (layout,)), "pool"),
            ("plain", Format(), "plain_pool"),
        ):
            yield Kernel(
                op=op, name=name, dtypes=_FLOAT, formats=(layouts,), overlap=True,
                prepare=f"orpheus_openmp.pool:{op}",
                cost=f"orpheus_openmp.cost:{cost}", where=(FULL, rule("X.rank", "in", (3, 4)), *more),
            )  # fmt: skip


def _elementwise(layout: str) -> Iterator[Kernel]:
    plain, blocked = Format(), Format((layout, layout), (layout,))
    for op in UNARY:
        exact = op in _EXACT_UNARY
        yield _by_traffic(
            op, "vector", "elementwise:Unary", "unary", (plain, Format((layout,), (layout,))),
            inplace=((0, 0),), accuracy=Accuracy() if exact else Accuracy(factor=4, exact_integers=False),
            where=tuple(rule(f"{bound}.runtime", "==", False) for bound in ("min", "max") if op == "Clip"),
            opset=(11 if op == "Clip" else 1, None),
        )  # fmt: skip
    for op in ("Add", "Sub", "Mul", "Div", "PRelu"):
        second = "slope" if op == "PRelu" else "B"
        rows: list[tuple[str, str, tuple[Format, ...], tuple[tuple[int, int], ...]]] = [
            ("same", "binary_same", (plain, blocked), ((0, 0), (0, 1))),
            ("channel", "binary_channel", (plain, blocked), ((0, 0), (0, 1))),
            ("single", "binary_single", (plain, Format((layout, "plain"), (layout,))), ((0, 0),)),
        ]
        if op != "PRelu":
            left = (plain, Format(("plain", layout), (layout,)))
            rows.append(("single-left", "binary_single_left", left, ((0, 1),)))
        # A plain constant beside a blocked tensor, of any rank that broadcasts: reordering takes tensors of four axes.
        constants = {"channel-constant": second, "channel-constant-left": "A"}
        beside, before = Format((layout, "plain"), (layout,)), Format(("plain", layout), (layout,))
        rows.append(("channel-constant", "binary_channel_constant", (beside,), ((0, 0),)))
        if op != "PRelu":
            rows.append(("channel-constant-left", "binary_channel_constant_left", (before,), ((0, 1),)))
        for name, limit, layouts, inplace in rows:
            opset = (7, None)
            single = {"single": second, "single-left": "A"}.get(name)
            where: tuple[Rule, ...] = () if single is None else (rule(f"{single}.size", "==", 1),)
            if name in constants:
                where = (
                    rule("Y.rank" if op == "PRelu" else "C.rank", "==", 4),
                    rule(f"{constants[name]}.constant", "==", True),
                )
            yield _by_traffic(
                op, name, "elementwise:Binary", limit, layouts, inplace=inplace, opset=opset, where=where
            )
    yield _by_traffic(
        "ScaleShift", "vector", "elementwise:ScaleShift", "scale_shift", (plain, Format((layout,), (layout,))),
        domain=_ORPHEUS, inplace=((0, 0),),
        where=(rule("scale.constant", "==", True), rule("shift.constant", "==", True)),
    )  # fmt: skip


def _movement(layout: str) -> Iterator[Kernel]:
    sides = ("plain", layout)
    formats = (Format(), *(Format((a,), (b,)) for a in sides for b in sides if a != b))
    yield _by_traffic(
        "Reorder", "vector", "movement:Reorder", "reorder", formats, domain=_ORPHEUS,
        where=(rule("X.rank", "==", 4),),
    )  # fmt: skip
    yield _by_traffic("Concat", "plain", "movement:Concat", None, (Format(),), opset=(4, None))
    yield _by_traffic(
        "Concat", "blocked", "splice:concat", "concat_blocks", (Format((layout,) * MOST_PARTS, (layout,)),),
        opset=(4, None),
    )  # fmt: skip
    for op in ("Softmax", "LogSoftmax"):
        yield _by_traffic(
            op, "rows", "movement:Softmax", "softmax", (Format(),), opset=(13, None),
            accuracy=Accuracy(factor=4, exact_integers=False),
        )  # fmt: skip


def _by_traffic(
    op: str,
    name: str,
    code: str,
    limit: str | None,
    formats: tuple[Format, ...],
    where: tuple[Rule, ...] = (),
    **more: Any,
) -> Kernel:
    """A kernel of float32 that is bound by memory."""
    return Kernel(
        op=op, name=name, dtypes=_FLOAT, formats=formats, overlap=True, prepare=f"orpheus_openmp.{code}",
        supports=limit and f"orpheus_openmp.limits:{limit}", cost="orpheus_openmp.cost:traffic", where=(FULL, *where),
        **more,
    )  # fmt: skip
