"""Rows of the operators that move, resample, reduce, normalise and compare tensors. Nothing here imports a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orpheus_core.plugin import Accuracy, Format, Kernel, Rule
from orpheus_openmp.rules import rule

_FLOAT = ("float32",)
#: There is something to compute.
FULL = rule("*.size", ">=", 1)
_ROUNDED = Accuracy(factor=4, exact_integers=False)
#: Inputs of a blocked Concat and outputs of a blocked Split that the formats name; more are refused.
MOST_PARTS = 128
#: Operators whose first input is called data; that of the others is called input.
_DATA = ("Transpose", "Slice", "Pad", "Gather")
#: Every element type that is moved by its size.
ANY = (
    "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16", "float64", "uint32", "uint64",
    "complex64", "bfloat16",
)  # fmt: skip


def kernels(layout: str) -> Iterator[Kernel]:
    """The table, for the blocked layout ``layout``."""
    yield from _moves(layout)
    yield from _resizes(layout)
    yield from _reductions(layout)
    yield from _normalisations()
    yield from _broadcasts()
    yield from _others()


def _moves(layout: str) -> Iterator[Kernel]:
    plain, blocked = Format(), Format((layout,), (layout,))
    parts, sides = Format((layout,), (layout,) * MOST_PARTS), (Format((layout,), ()), Format((), (layout,)))
    # Operator, name, limit, layouts, versions, constant inputs. What older versions have as attributes
    # the importer makes constant inputs.
    rows: tuple[tuple[str, str, str, tuple[Format, ...], tuple[int, int | None], tuple[str, ...]], ...] = (
        ("Transpose", "move", "move", (plain,), (1, None), ()),
        ("Transpose", "blocked", "transpose_blocked", sides, (1, None), ()),
        ("Slice", "move", "move", (plain,), (10, None), ("starts", "ends", "axes", "steps")),
        ("Slice", "blocked", "slice_blocked", (blocked,), (10, None), ("starts", "ends", "axes", "steps")),
        ("Split", "move", "move", (plain,), (13, None), ("split",)),
        ("Split", "blocked", "split_blocked", (parts,), (13, None), ("split",)),
        ("Pad", "move", "move", (plain,), (18, None), ("pads", "axes")),
        ("Pad", "blocked", "pad_blocked", (blocked,), (18, None), ("pads", "axes")),
        ("Gather", "move", "move", (plain,), (1, None), ("indices",)),
        ("Expand", "move", "move", (plain,), (8, None), ("shape",)),
        ("Tile", "move", "move", (plain,), (6, None), ("repeats",)),
        ("DepthToSpace", "move", "move", (plain,), (1, None), ()),
        ("SpaceToDepth", "move", "move", (plain,), (1, None), ()),
    )
    for op, name, limit, formats, opset, constants in rows:
        yield _row(
            op, name, "moves:Move", f"limits_moves:{limit}", formats, opset=opset,
            dtypes={"T": ANY if formats == (plain,) else _FLOAT},
            where=(
                rule(f"{'data' if op in _DATA else 'input'}.size", ">=", 1), *map(_constant, constants),
                *((rule("data.rank", "==", 4),) if formats == sides else ()),
            ),
        )  # fmt: skip


def _resizes(layout: str) -> Iterator[Kernel]:
    for name, limit, formats in (
        ("separable", "resize", Format()),
        ("separable-blocked", "resize_blocked", Format((layout,), (layout,))),
    ):
        yield _row(
            "Resize", name, "resize:resize", f"limits_moves:{limit}", (formats,), opset=(11, None),
            dtypes={"T1": ANY if name == "separable" else _FLOAT}, accuracy=Accuracy(factor=4),
            where=(
                rule("X.size", ">=", 1), rule("scales.runtime", "==", False), rule("sizes.runtime", "==", False),
            ),
        )  # fmt: skip


def _reductions(layout: str) -> Iterator[Kernel]:
    for op in (
        "ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
        "ReduceLogSum", "ReduceLogSumExp",
    ):  # fmt: skip
        accuracy = _ROUNDED if op.startswith("ReduceLog") else Accuracy(exact_integers=op != "ReduceL2")
        since = 13 if op == "ReduceSum" else 18  # axes are an input since then
        where = (rule("data.size", ">=", 1), rule("axes.runtime", "==", False))
        yield _row(
            op, "plain", "reduce:Reduce", "limits_reduce:reduce", (Format(),), accuracy=accuracy, opset=(since, None),
            where=where,
        )  # fmt: skip
        if op in ("ReduceLogSum", "ReduceLogSumExp"):  # they make something of a block's zeros
            continue
        inner = (rule("data.rank", "==", 4), rule("axes.present", "==", True), rule("keepdims", "==", 1))
        yield _row(
            op, "blocked", "reduce:Reduce", "limits_reduce:reduce_blocked", (Format((layout,), (layout,)),),
            accuracy=accuracy, opset=(since, None), where=(*where, *inner),
        )  # fmt: skip


def _normalisations() -> Iterator[Kernel]:
    for op, code, limit, opset, types in (
        ("LayerNormalization", "LayerNorm", "layer_norm", (17, None), ("T", "U")),
        ("RMSNormalization", "RmsNorm", "layer_norm", (23, None), ("T", "V")),
        ("InstanceNormalization", "InstanceNorm", "instance_norm", (6, None), ("T",)),
        ("GroupNormalization", "GroupNorm", "group_norm", (21, None), ("T",)),
    ):
        yield _row(
            op, "rows", f"normalize:{code}", f"limits_reduce:{limit}", (Format(),), opset=opset,
            dtypes=dict.fromkeys(types, _FLOAT), accuracy=_ROUNDED, where=(FULL,),
        )  # fmt: skip


def _broadcasts() -> Iterator[Kernel]:
    exact, bools = Accuracy(), ("bool",)
    rows: tuple[tuple[tuple[str, ...], int, dict[str, tuple[str, ...]], Accuracy], ...] = (
        (("Add", "Sub", "Mul", "Div", "PRelu"), 7, {"T": _FLOAT}, exact),
        (("Max", "Min", "Sum"), 8, {"T": _FLOAT}, exact),
        (("Mod",), 10, {"T": _FLOAT}, exact),
        (("Pow",), 13, {"T": _FLOAT, "T1": _FLOAT}, _ROUNDED),
        (("Equal", "Less", "Greater"), 7, {"T": _FLOAT}, exact),
        (("LessOrEqual", "GreaterOrEqual"), 12, {"T": _FLOAT}, exact),
        (("And", "Or", "Xor"), 7, {"T": bools}, exact),
    )
    for ops, since, dtypes, accuracy in rows:
        for op in ops:
            yield _row(
                op, "broadcast", "broadcast:Binary", "limits_broadcast:broadcast", (Format(),), opset=(since, None),
                dtypes=dtypes, accuracy=accuracy, rank=110, where=(FULL,),
            )  # fmt: skip
    yield _row(
        "Where", "broadcast", "broadcast:Where", "limits_broadcast:broadcast", (Format(),), opset=(9, None),
        where=(FULL,),
    )  # fmt: skip


def _others() -> Iterator[Kernel]:
    for op, constants, plain in (
        ("LSTM", ("B", "P"), ("layout", "input_forget")),
        ("GRU", ("B",), ("layout",)),
    ):
        yield Kernel(
            op=op, name="steps", dtypes={"T": _FLOAT}, opset=(7, None), accuracy=_ROUNDED, overlap=True,
            prepare=f"orpheus_openmp.recurrent:{op.capitalize()}", supports="orpheus_openmp.limits_recurrent:recurrent",
            cost="orpheus_openmp.cost:traffic",
            where=(
                FULL, rule("W.constant", "==", True), rule("R.constant", "==", True),
                *(rule(f"{name}.runtime", "==", False) for name in constants),
                rule("sequence_lens.present", "==", False),
                *(rule(name, "in", (0, None)) for name in plain), rule("clip", "==", None),
            ),
        )  # fmt: skip
    yield Kernel(
        op="NonMaxSuppression", name="heap", run="orpheus_openmp.detection:non_max_suppression", takes_problem=True,
        overlap=True, opset=(10, None), cost="orpheus_openmp.cost:traffic",
    )  # fmt: skip


def _constant(operand: str) -> Rule:
    """The rule that an operand, where it is given, is a constant."""
    required = operand in ("starts", "ends", "pads", "indices", "shape", "repeats")
    return rule(f"{operand}.constant", "==", True) if required else rule(f"{operand}.runtime", "==", False)


def _row(op: str, name: str, code: str, limit: str, formats: tuple[Format, ...], **more: Any) -> Kernel:
    """A kernel that is bound by memory; of float32 where nothing else is said."""
    more.setdefault("dtypes", {"T": _FLOAT})
    return Kernel(
        op=op, name=name, formats=formats, overlap=True, prepare=f"orpheus_openmp.{code}",
        supports=f"orpheus_openmp.{limit}", cost="orpheus_openmp.cost:traffic", **more,
    )  # fmt: skip
