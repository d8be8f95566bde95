"""Every kernel of the backend as data. Nothing here imports a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orpheus_core.plugin import Accuracy, Format, Kernel, Rule
from orpheus_cuda.expressions import BINARY, COMPARISONS, EVERY, EXACT, UNARY

_ORPHEUS = "ai.orpheus"
NHWC = "NHWC"
_PLAIN, _SAME = Format(), Format((NHWC,), (NHWC,))
_LOOSE = Accuracy(factor=4, exact_integers=False)


def kernels(*, tf32: bool = False) -> tuple[Kernel, ...]:
    """The table; ``tf32`` adds the kernels that round float32 operands to TF32."""
    return (*_elementwise(),)


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
