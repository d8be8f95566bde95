"""Every kernel of the backend as data. Nothing here imports a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orpheus_core.plugin import Accuracy, Format, Kernel, Rule
from orpheus_cuda.expressions import BINARY, COMPARISONS, EVERY, EXACT, UNARY

_ORPHEUS = "ai.orpheus"
NHWC = "NHWC"
_PLAIN, _SAME = Format(), Format((NHWC,), (NHWC,))
_FLOAT = {"T": ("float32",)}
_HALVES = {"T": ("float32", "float16", "bfloat16")}
# Operands keep 11 bits of 24.
_TF32 = Accuracy(factor=2.0**14)
_LOOSE = Accuracy(factor=4, exact_integers=False)


def kernels(*, tf32: bool = False) -> tuple[Kernel, ...]:
    """The table; ``tf32`` adds the kernels that round float32 operands to TF32."""
    return (*_convolutions(tf32), *_products(tf32), *_elementwise())


def _convolutions(tf32: bool) -> Iterator[Kernel]:
    def layouts(x: str, y: str) -> Format:
        return Format((x, "plain", "plain", y), (y, y))

    some = (layouts(NHWC, NHWC), layouts("plain", NHWC), layouts(NHWC, "plain"), layouts("plain", "plain"))
    for op, domain in (("Conv", ""), ("FusedConv", _ORPHEUS)):
        common: dict[str, Any] = {"domain": domain, "where": (Rule("X.rank", "in", (3, 4)),)}
        yield _kernel(op, "implicit", "conv:Conv", "conv", "plain", formats=some, dtypes=_HALVES, **common)
        if tf32:
            yield _kernel(
                op, "tf32", "conv:ConvTF32", "conv", "tensor", formats=some, dtypes=_FLOAT, accuracy=_TF32, **common
            )
        yield _kernel(
            op, "depthwise", "conv:Depthwise", "depthwise", formats=some[:1], domain=domain, dtypes=_HALVES,
            where=(Rule("X.rank", "==", 4), Rule("W.constant", "==", True)),
        )  # fmt: skip
    yield _kernel(
        "ScaleShift", "depthwise", "conv:Depthwise", "filled", formats=(_SAME,), domain=_ORPHEUS, dtypes=_HALVES,
        where=(
            Rule("X.rank", "==", 4), Rule("axis", "in", (1, -3)), Rule("scale.constant", "==", True),
            Rule("shift.constant", "==", True),
        ),
    )  # fmt: skip


def _products(tf32: bool) -> Iterator[Kernel]:
    for op in ("Gemm", "FusedGemm", "MatMul", "FusedMatMul"):
        common: dict[str, Any] = {
            "domain": _ORPHEUS if op.startswith("Fused") else "", "opset": (7, None) if op == "Gemm" else (1, None),
        }  # fmt: skip
        code = f"gemm:{op.removeprefix('Fused')}"
        yield _kernel(op, "tiles", code, "product", "plain", dtypes=_HALVES, **common)
        if tf32:
            yield _kernel(op, "tf32", f"{code}TF32", "product", "tensor", dtypes=_FLOAT, accuracy=_TF32, **common)


def _elementwise() -> Iterator[Kernel]:
    for op, (_, types) in UNARY.items():
        clip = op == "Clip"
        yield _kernel(
            op, "vector", "elementwise:unary", "clip" if clip else "small", formats=(_PLAIN, _SAME),
            accuracy=Accuracy() if op in EXACT else _LOOSE, opset=(11 if clip else 1, None),
            dtypes={} if op in ("Not", "IsNaN") else {"V" if op == "Identity" else "T": types},
            where=_known("min", "max") if clip else (), inplace=() if op == "IsNaN" else ((0, 0),),
        )  # fmt: skip
    both = tuple(Format(pair, (NHWC,)) for pair in ((NHWC, NHWC), (NHWC, "plain"), ("plain", NHWC)))
    for op, (_, types) in BINARY.items():
        variadic = op in ("Min", "Max", "Sum", "Mean")
        yield _kernel(
            op, "broadcast", "elementwise:binary", "pair" if variadic else "small", formats=(_PLAIN, *both),
            opset=(8 if variadic else 7, None), dtypes={"T": types},
            accuracy=Accuracy() if op not in ("Pow",) else _LOOSE,
        )  # fmt: skip
    yield _kernel("Where", "broadcast", "elementwise:where", "small", dtypes={"T": EVERY})
    yield _kernel("Cast", "vector", "elementwise:cast", "small", dtypes={"T1": EVERY, "T2": EVERY}, formats=(_PLAIN, _SAME))


def _known(*names: str) -> tuple[Rule, ...]:
    """Operands that are constant where they are given."""
    return tuple(Rule(f"{name}.runtime", "==", False) for name in names)


def _kernel(op: str, name: str, code: str, limit: str, cost: str = "traffic", **more: Any) -> Kernel:
    return Kernel(
        op=op, name=name, prepare=f"orpheus_cuda.{code}", supports=f"orpheus_cuda.limits:{limit}",
        cost=f"orpheus_cuda.cost:{cost}", overlap=True, **more,
    )  # fmt: skip
