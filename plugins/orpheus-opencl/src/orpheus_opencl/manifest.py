"""Every kernel of the backend as data. Nothing here imports a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from orpheus_core.geometry.cook_toom import FORMS
from orpheus_core.plugin import Accuracy, Backend, Format, Kernel, Rule
from orpheus_opencl import device
from orpheus_opencl.expressions import BINARY, EXACT, KEEPS_ZERO, UNARY
from orpheus_opencl.tiles import BLOCK, TILES, tiles_of

_ORPHEUS = "ai.orpheus"
_FLOAT = {"T": ("float32", "float16")}
LAYOUT = "NCHW16c"
_PLAIN, _BLOCKED = Format(), Format((LAYOUT,), (LAYOUT,))
_PAIR = Format((LAYOUT, LAYOUT), (LAYOUT,))
_MAX_INPUTS = 64
#: Element types that copies are made of, by width; the last came with newer operators.
_ANY = (
    "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16", "float64", "uint32", "uint64",
    "bfloat16",
)  # fmt: skip
#: See reduce.FORMS.
REDUCTIONS = (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
)  # fmt: skip
#: From NCHW16c, or from a plain X, as the first layer of a network has it.
_DIRECT = tuple(Format((x, "plain", "plain", LAYOUT), (LAYOUT, LAYOUT)) for x in (LAYOUT, "plain"))
_LOOSE = Accuracy(factor=4, exact_integers=False)


def kernels() -> tuple[Kernel, ...]:
    """The table, but for register tiles of a convolution, which a device tells."""
    return (*_convolutions(), *_products(), *_pools(), *_elementwise(), *_movement(), *_sampling(), *_lines())


def complete(backend: Backend) -> Backend:
    """The backend with its device's usual queues, and a direct convolution for each register tile of that."""
    found = device.find()[0][backend.device.index]
    backend = device.with_queues(backend, device.usual_queues(found))
    return replace(backend, kernels=(*backend.kernels, *_tiled(backend.device.index)))


def on_device(backend: Backend, index: int) -> Backend:
    """The backend with that device's register tiles in place of those it has; with none where it has none."""
    names = {t.name for t in TILES}
    others = tuple(k for k in backend.kernels if k.name not in names)
    there = len(others) < len(backend.kernels)
    return replace(backend, kernels=(*others, *_tiled(index))) if there else backend


def _tiled(index: int) -> Iterator[Kernel]:
    for op, domain, known in _CONVOLUTIONS:
        for t in tiles_of(device.find()[0][index]):
            # All groups' filters; limits count those of one.
            filters = Rule("W.shape[0]", ">=", (t.blocks - 1) * BLOCK + 1)
            yield _kernel(
                op, t.name, f"conv:tiled.{t.name}", f"tiled.{t.name}", f"tiled.{t.name}", formats=_DIRECT,
                domain=domain, where=(*known, Rule("*.size", ">=", 1), filters),
            )  # fmt: skip


def _convolutions() -> Iterator[Kernel]:
    layouts = _DIRECT[0]
    for op, domain, known in _CONVOLUTIONS:
        for name, code, formats in (("direct", "Direct", _DIRECT), ("depthwise", "Depthwise", (layouts,))):
            yield _kernel(
                op, name, f"conv:{code}", name, "direct", formats=formats, domain=domain, where=known
            )
        for name, form in FORMS.items():
            size = (Rule(f"W.shape[{axis}]", "==", taps) for axis, taps in enumerate(form.kernel, 2))
            yield _kernel(
                op, name, f"winograd:layers.{name}", "winograd", f"winograd.{name}", formats=(layouts,), domain=domain,
                accuracy=Accuracy(factor=form.factor, exact_integers=form.factor == 2), expands=True,
                where=(
                    *known, Rule("group", "==", 1), Rule("strides", "each", (1,)),
                    Rule("dilations", "each", (1,)), *size,
                ),
            )  # fmt: skip
    yield _kernel(
        "ScaleShift", "depthwise", "conv:ScaleShift", "scale_shift", formats=(_BLOCKED,), domain=_ORPHEUS,
        where=(
            Rule("X.rank", "==", 4), Rule("axis", "in", (1, -3)), Rule("scale.constant", "==", True),
            Rule("shift.constant", "==", True),
        ),
    )  # fmt: skip
    yield _kernel("Conv", "plain", "conv:Plain", "conv", "plain", where=(Rule("X.rank", "in", (3, 4)),))


def _products() -> Iterator[Kernel]:
    for op, code in (
        ("Gemm", "Gemm"),
        ("FusedGemm", "Gemm"),
        ("MatMul", "MatMul"),
        ("FusedMatMul", "MatMul"),
    ):
        yield _kernel(
            op, "panels", f"gemm:{code}", "product", domain=_ORPHEUS if op.startswith("Fused") else "",
            opset=(7, None) if op == "Gemm" else (1, None),
        )  # fmt: skip


def _pools() -> Iterator[Kernel]:
    yield _kernel(
        "MaxPool", "blocked", "pool:Pool", "pool", formats=(_BLOCKED,), opset=(8, None),
        where=(Rule("X.rank", "==", 4), Rule("Indices.present", "==", False)),
    )  # fmt: skip
    for op in ("AveragePool", "GlobalMaxPool", "GlobalAveragePool"):
        yield _kernel(
            op, "blocked", "pool:Pool", "pool", formats=(_BLOCKED,), where=(Rule("X.rank", "==", 4),)
        )


def _elementwise() -> Iterator[Kernel]:
    for op in UNARY:
        clip = op == "Clip"
        yield _kernel(
            op, "vector", "elementwise:Unary", "scalars" if clip else "moves",
            formats=(_PLAIN, _BLOCKED) if op in KEEPS_ZERO else (_PLAIN,), inplace=((0, 0),),
            accuracy=Accuracy() if op in EXACT else _LOOSE, opset=(11 if clip else 1, None),
            where=_known("min", "max") if clip else (),
        )  # fmt: skip
    yield _kernel(
        "Cast", "vector", "elementwise:Cast", "cast", formats=(_PLAIN, _BLOCKED), opset=(6, None),
        dtypes={"T1": _FLOAT["T"], "T2": _FLOAT["T"]},
    )  # fmt: skip
    for op in BINARY:
        yield _kernel(op, "broadcast", "elementwise:Binary", "moves", opset=(7, None))
        if op != "Div":  # the padding of both would give 0 / 0
            yield _kernel(
                op,
                "same",
                "elementwise:Binary",
                "same",
                formats=(_PAIR,),
                opset=(7, None),
                inplace=((0, 0), (0, 1)),
            )


def _movement() -> Iterator[Kernel]:
    yield _kernel(
        "Reorder", "rows", "movement:Reorder", "moves", domain=_ORPHEUS, where=(Rule("X.rank", "==", 4),),
        formats=(Format(("plain",), (LAYOUT,)), Format((LAYOUT,), ("plain",))),
    )  # fmt: skip
    many = (LAYOUT,) * _MAX_INPUTS
    # Since version 13 the sizes of Split's pieces are an input.
    for op, layouts, opset, where in (
        ("Concat", Format(many, (LAYOUT,)), (4, None), ()),
        ("Split", Format((LAYOUT,), many), (2, 12), ()),
        ("Split", Format((LAYOUT, "plain"), many), (13, None), _known("split")),
    ):
        types = _ANY if opset[1] is None else _ANY[:-1]
        yield _kernel(op, "strided", f"movement:{op}", "moves", opset=opset, where=where, dtypes={"T": types})
        yield _kernel(op, "blocked", f"movement:{op}", "blocks", opset=opset, where=where, formats=(layouts,))
    yield _kernel("Transpose", "strided", "movement:Transpose", "moves", dtypes={"T": _ANY})
    yield _kernel(
        "Slice",
        "strided",
        "picking:Slice",
        "moves",
        opset=(10, None),
        where=_known("starts", "ends", "axes", "steps"),
        dtypes={"T": _ANY},
    )
    yield _kernel("Expand", "strided", "picking:Expand", "moves", where=_known("shape"), dtypes={"T": _ANY})
    yield _kernel(
        "Gather", "table", "picking:Gather", "gather", where=(Rule("indices.constant", "==", True),),
        dtypes={"T": _ANY},
    )  # fmt: skip


def _sampling() -> Iterator[Kernel]:
    # In blocks the axes of batches and channels stay as they are.
    for name, layouts in (("tables", _PLAIN), ("blocked", _BLOCKED)):
        suffix = "" if name == "tables" else "_planes"
        known = _known("pads", "constant_value", "axes")
        for opset, where in (((11, 17), known[:2]), ((18, None), known)):
            yield _kernel(
                "Pad", name, "resample:Pad", f"pad{suffix}", opset=opset, where=where, formats=(layouts,)
            )
        yield _kernel(
            "Resize", name, "resample:Resize", f"resize{suffix}", opset=(11, None), formats=(layouts,),
            dtypes={"T1": _FLOAT["T"]}, accuracy=_LOOSE, where=_known("roi", "scales", "sizes"),
        )  # fmt: skip


def _lines() -> Iterator[Kernel]:
    for op in REDUCTIONS:
        # Since this version the axes are an input.
        since = 13 if op == "ReduceSum" else 18
        accuracy = Accuracy(exact_integers=op != "ReduceL2")
        for opset, where in (((1, since - 1), ()), ((since, None), _known("axes"))):
            yield _kernel(op, "lines", "reduce:Reduce", "reduce", accuracy=accuracy, opset=opset, where=where)
    for op in ("Softmax", "LogSoftmax"):
        yield _kernel(op, "lines", "softmax:Softmax", "moves", opset=(13, None), accuracy=_LOOSE)
    for op in ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization"):
        yield _kernel(
            op, "lines", "lines:Normalize", "normal", accuracy=_LOOSE, opset=(21 if op[0] == "G" else 1, None),
            dtypes=dict.fromkeys("TV" if op[0] == "R" else "T", _FLOAT["T"]),
        )  # fmt: skip
    yield _kernel(
        "InstanceNormalization", "blocked", "lines:Instances", "normal", accuracy=_LOOSE, formats=(_BLOCKED,),
        where=(Rule("input.rank", "==", 4), Rule("scale.constant", "==", True), Rule("B.constant", "==", True)),
    )  # fmt: skip


def _known(*names: str) -> tuple[Rule, ...]:
    """Operands that are constant where they are given."""
    return tuple(Rule(f"{name}.runtime", "==", False) for name in names)


#: Operators, their domains, and the rules of every kernel in blocks.
_CONVOLUTIONS = tuple(
    (op, domain, (Rule("X.rank", "==", 4), Rule("W.constant", "==", True), *_known(*late)))
    for op, domain, late in (("Conv", "", ("B",)), ("FusedConv", _ORPHEUS, ("B", "scale", "shift")))
)


def _kernel(op: str, name: str, code: str, limit: str, cost: str = "traffic", **more: Any) -> Kernel:
    more.setdefault("dtypes", _FLOAT)
    return Kernel(
        op=op, name=name, prepare=f"orpheus_opencl.{code}", supports=f"orpheus_opencl.limits:{limit}",
        cost=f"orpheus_opencl.cost:{cost}", overlap=True, **more,
    )  # fmt: skip
