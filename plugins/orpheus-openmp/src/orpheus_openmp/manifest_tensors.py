"""Rows of the operators that move, resample, reduce, normalise and compare tensors. Nothing here imports a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orpheus_core.plugin import Format, Kernel, Rule

_FLOAT = ("float32",)
_MAX_OUTPUTS = 64  # of a blocked Split
#: Every element type that is moved by its size.
_ANY = (
    "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16", "float64", "uint32", "uint64",
    "complex64", "bfloat16",
)  # fmt: skip


def kernels(layout: str) -> Iterator[Kernel]:
    """The table, for the blocked layout ``layout``."""
    yield from _moves(layout)


def _moves(layout: str) -> Iterator[Kernel]:
    plain, blocked = Format(), Format((layout,), (layout,))
    parts, sides = Format((layout,), (layout,) * _MAX_OUTPUTS), (Format((layout,), ()), Format((), (layout,)))
    # Operator, name, limit, layouts, versions, constant inputs. Settings that are attributes of older versions are
    # inputs of newer ones, which have to be constant.
    rows: tuple[tuple[str, str, str, tuple[Format, ...], tuple[int, int | None], tuple[str, ...]], ...] = (
        ("Transpose", "move", "move", (plain,), (1, None), ()),
        ("Transpose", "blocked", "transpose_blocked", sides, (1, None), ()),
        ("Slice", "move", "move", (plain,), (10, None), ("starts", "ends")),
        ("Slice", "move-attributes", "move", (plain,), (1, 9), ()),
        ("Slice", "blocked", "slice_blocked", (blocked,), (10, None), ("starts", "ends")),
        ("Slice", "blocked-attributes", "slice_blocked", (blocked,), (1, 9), ()),
        ("Split", "move", "move", (plain,), (2, None), ()),
        ("Split", "blocked", "split_blocked", (parts,), (2, None), ()),
        ("Pad", "move", "move", (plain,), (11, None), ("pads",)),
        ("Pad", "move-attributes", "move", (plain,), (2, 10), ()),
        ("Pad", "blocked", "pad_blocked", (blocked,), (11, None), ("pads",)),
        ("Gather", "move", "move", (plain,), (1, None), ("indices",)),
        ("Expand", "move", "move", (plain,), (8, None), ("shape",)),
        ("Tile", "move", "move", (plain,), (6, None), ("repeats",)),
        ("DepthToSpace", "move", "move", (plain,), (1, None), ()),
        ("SpaceToDepth", "move", "move", (plain,), (1, None), ()),
        ("Resize", "nearest", "resize_nearest", (plain,), (11, None), ()),
        ("Resize", "nearest-blocked", "resize_nearest_blocked", (blocked,), (11, None), ()),
    )
    for op, name, limit, formats, opset, constants in rows:
        type_name = "T1" if op == "Resize" else "T"
        yield _row(
            op, name, "moves:Move", f"limits_moves:{limit}", formats, opset=opset,
            dtypes={type_name: _ANY if formats == (plain,) else _FLOAT},
            where=tuple(Rule(f"{operand}.constant", "==", True) for operand in constants),
        )  # fmt: skip


def _row(op: str, name: str, code: str, limit: str, formats: tuple[Format, ...], **more: Any) -> Kernel:
    """A kernel that is bound by memory; of float32 where nothing else is said."""
    more.setdefault("dtypes", {"T": _FLOAT})
    return Kernel(
        op=op, name=name, formats=formats, overlap=True, prepare=f"orpheus_openmp.{code}",
        supports=f"orpheus_openmp.{limit}", cost="orpheus_openmp.cost:traffic", **more,
    )  # fmt: skip
