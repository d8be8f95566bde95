"""Rows of packed convolutions, look-ups, conversions, searches and BatchNormalization. No kernel is imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orpheus_core.plugin import Accuracy, Format, Kernel, Rule
from orpheus_openmp.manifest_tensors import ANY, FULL
from orpheus_openmp.rules import rule

_FLOAT = ("float32",)
#: Element types that Cast converts, in the order in which native/kernels/cast.cpp lists them.
NUMBERS = (
    "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool", "float16",
    "bfloat16",
)  # fmt: skip


def kernels(layout: str) -> Iterator[Kernel]:
    """The table, for the blocked layout ``layout``."""
    packed: dict[str, Any] = {"where": (rule("X.rank", "in", (3, 4, 5)), rule("W.constant", "==", True))}
    for domain, op in (("", "Conv"), ("ai.orpheus", "FusedConv")):
        yield _row(
            op, "spatial-pack", "spatial:SpatialPack", "limits:im2col", domain=domain,
            cost="orpheus_openmp.cost:spatial_pack", **packed,
        )  # fmt: skip
    yield _row(
        "ConvTranspose", "spatial-pack", "spatial:ConvTranspose", "limits:im2col",
        cost="orpheus_openmp.cost:conv_transpose", **packed,
    )  # fmt: skip
    indices = {"Tind": ("int32", "int64")}
    runtime = (rule("indices.constant", "==", False),)  # constant ones are boxes: see moves.py
    for op, limit, where in (
        ("Gather", "gather", runtime),
        ("GatherElements", "gather_elements", ()),
    ):
        yield _row(
            op, "indexed", f"pick:{op}", f"limits_pick:{limit}", dtypes={"T": ANY, **indices}, where=where
        )
    yield _row(
        "GatherND", "indexed", "pick:GatherND", "limits_pick:gather_nd", dtypes={"T": ANY}, opset=(11, None)
    )
    yield _row(
        "Cast", "vector", "cast:Cast", "limits_pick:cast", dtypes={"T1": NUMBERS, "T2": NUMBERS}, opset=(6, None)
    )  # fmt: skip
    for op in ("ArgMax", "ArgMin"):
        yield _row(op, "rows", "search:Extreme", "limits_pick:search")
    yield _row(
        "TopK", "heap", "search:TopK", "limits_pick:top_k", cost="orpheus_openmp.cost:top_k", opset=(10, None),
        where=(rule("K.constant", "==", True),),
    )  # fmt: skip
    yield _row(
        "BatchNormalization", "vector", "batchnorm:BatchNorm", "limits_pick:batch_norm", opset=(7, None),
        formats=(Format(), Format((layout,), (layout,))), inplace=((0, 0),),
        accuracy=Accuracy(factor=4, exact_integers=False),
    )  # fmt: skip


def _row(op: str, name: str, code: str, limit: str, where: tuple[Rule, ...] = (), **more: Any) -> Kernel:
    """A kernel; of float32 and bound by memory where nothing else is said."""
    more.setdefault("dtypes", {"T": _FLOAT})
    more.setdefault("cost", "orpheus_openmp.cost:traffic")
    return Kernel(
        op=op,
        name=name,
        overlap=True,
        prepare=f"orpheus_openmp.{code}",
        supports=f"orpheus_openmp.{limit}",
        where=(FULL, *where),
        **more,
    )
