"""Every kernel of the backend as data. Nothing here imports a kernel."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from orpheus_core.geometry.cook_toom import FORMS
from orpheus_core.plugin import Accuracy, Format, Kernel, Rule
from orpheus_cuda.choices import CHOICES
from orpheus_cuda.expressions import BINARY, EVERY, EXACT, FLOATS, UNARY

_ORPHEUS = "ai.orpheus"
NHWC = "NHWC"
_MAX_INPUTS = 64
_PLAIN, _SAME = Format(), Format((NHWC,), (NHWC,))
_ANY = (_PLAIN, _SAME, Format((NHWC,), ("plain",)))
_FLOAT = {"T": ("float32",)}
_HALVES = {"T": ("float32", "float16", "bfloat16")}
# Operands keep 11 bits of 24.
_TF32 = Accuracy(factor=2.0**14)
_LOOSE = Accuracy(factor=4, exact_integers=False)


def kernels(*, tf32: bool = False, libraries: Collection[str] = ()) -> tuple[Kernel, ...]:
    """The table; ``tf32`` adds the kernels that round float32 operands to TF32, ``libraries`` those of NVIDIA's."""
    return (
        *_convolutions(tf32),
        *_products(tf32),
        *(k for k in _libraries(tf32) if k.name.partition("_")[0] in libraries),
        *_pools(),
        *_lines(),
        *_elementwise(),
        *_quantized(),
        *_movement(),
        *_late(),
    )


def _convolutions(tf32: bool) -> Iterator[Kernel]:
    def layouts(x: str, y: str) -> Format:
        return Format((x, "plain", "plain", y), (y, y))

    some = (layouts(NHWC, NHWC), layouts("plain", NHWC), layouts(NHWC, "plain"), layouts("plain", "plain"))
    for op, domain in (("Conv", ""), ("FusedConv", _ORPHEUS)):
        common: dict[str, Any] = {"domain": domain, "where": (Rule("X.rank", "in", (3, 4)),)}
        yield from _choices(
            op, "implicit", "conv:layers", "conv", "plain", formats=some, dtypes=_HALVES, **common
        )
        if tf32:
            common.update(formats=some, dtypes=_FLOAT, accuracy=_TF32)
            yield from _choices(op, "tf32", "conv:layers", "conv", "tensor", **common)
        yield _kernel(
            op, "depthwise", "conv:Depthwise", "depthwise", formats=some[:1], domain=domain, dtypes=_HALVES,
            where=(Rule("X.rank", "==", 4), Rule("W.constant", "==", True)),
        )  # fmt: skip
        for name, form in FORMS.items():
            size = (Rule(f"W.shape[{axis}]", "==", taps) for axis, taps in enumerate(form.kernel, 2))
            yield _kernel(
                op, name, f"winograd:layers.{name}", f"winograd.{name}", f"winograd.{name}", formats=some[:1],
                domain=domain, dtypes=_FLOAT, expands=True,
                accuracy=Accuracy(factor=form.factor, exact_integers=form.factor == 2),
                where=(
                    Rule("X.rank", "==", 4), Rule("W.constant", "==", True), Rule("group", "==", 1),
                    Rule("strides", "each", (1,)), Rule("dilations", "each", (1,)), *size,
                ),
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
        code = f"gemm:{op.removeprefix('Fused').lower()}"
        yield from _choices(op, "tiles", code, "product", "plain", dtypes=_HALVES, **common)
        if tf32:
            common.update(dtypes=_FLOAT, accuracy=_TF32)
            yield from _choices(op, "tf32", code, "product", "tensor", **common)


def _libraries(tf32: bool) -> Iterator[Kernel]:
    """NVIDIA's; unmeasured, they stand behind the plugin's own."""
    nhwc = Format((NHWC, "plain", "plain", NHWC), (NHWC, NHWC))
    known = Rule("W.constant", "==", True)
    forms: tuple[tuple[str, dict[str, Any]], ...] = (("", {"dtypes": _HALVES}),)
    if tf32:
        forms = (*forms, ("_tf32", {"dtypes": _FLOAT, "accuracy": _TF32}))
    for form, more in forms:
        suffix = form.removeprefix("_").upper()
        for op, domain in (("Conv", ""), ("FusedConv", _ORPHEUS)):
            common: dict[str, Any] = {
                "op": op, "domain": domain, "formats": (nhwc,), "where": (Rule("X.rank", "==", 4), known),
                "overlap": True, "cost": f"orpheus_cuda.cost:{'library_tensor' if form else 'library'}", **more,
            }  # fmt: skip
            yield Kernel(
                name=f"cudnn{form}", prepare=f"orpheus_cuda.cudnn:Conv{suffix}",
                supports=f"orpheus_cuda.cudnn:supports{form}", **common,
            )  # fmt: skip
            yield Kernel(
                name=f"cublaslt{form}", prepare=f"orpheus_cuda.cublaslt:Product{suffix}",
                supports="orpheus_cuda.cublaslt:supports", **common,
            )  # fmt: skip
        for op in ("Gemm", "FusedGemm", "MatMul", "FusedMatMul"):
            yield Kernel(
                op=op, name=f"cublaslt{form}", domain=_ORPHEUS if op.startswith("Fused") else "",
                opset=(7, None) if op == "Gemm" else (1, None), prepare=f"orpheus_cuda.cublaslt:Product{suffix}",
                supports="orpheus_cuda.cublaslt:supports", where=(Rule("B.constant", "==", True),),
                overlap=True, cost=f"orpheus_cuda.cost:{'library_tensor' if form else 'library'}", **more,
            )  # fmt: skip


def _pools() -> Iterator[Kernel]:
    for op, opset in (("MaxPool", 8), ("AveragePool", 7)):
        yield _kernel(
            op, "windows", "pool:Pool", "pool", formats=(_PLAIN, _SAME), opset=(opset, None),
            dtypes={"T": (*_HALVES["T"], "int8", "uint8")} if op == "MaxPool" else _HALVES,
            where=(Rule("X.rank", "in", (3, 4)),),
        )  # fmt: skip
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        yield _kernel(op, "lines", "lines:Reduce", "filled", formats=_ANY, dtypes=_HALVES)


def _lines() -> Iterator[Kernel]:
    whole = ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")
    for op in (*whole, "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"):
        since = 13 if op == "ReduceSum" else 18  # the axes are an input
        types = {"T": (*FLOATS, "int32", "int64") if op in whole else FLOATS}
        loose = op in ("ReduceL2", "ReduceLogSum", "ReduceProd")
        accuracy = Accuracy(
            exact_integers=op not in ("ReduceL2", "ReduceLogSum"), factor=4.0 if loose else 1.0
        )
        for opset, where in (((1, since - 1), ()), ((since, None), _known("axes"))):
            yield _kernel(
                op, "lines", "lines:Reduce", "axes", accuracy=accuracy, opset=opset, where=where, dtypes=types
            )
    for op in ("Softmax", "LogSoftmax"):
        yield _kernel(op, "lines", "lines:Softmax", "small", dtypes={"T": FLOATS}, accuracy=_LOOSE)
    for op in ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization"):
        yield _kernel(
            op, "lines", "lines:Normalize", "normal", accuracy=_LOOSE, opset=(21 if op[0] == "G" else 1, None),
            dtypes={"V" if op[0] == "R" else "T": _HALVES["T"]},
        )  # fmt: skip


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
    yield _kernel(
        "Cast",
        "vector",
        "elementwise:cast",
        "small",
        dtypes={"T1": EVERY, "T2": EVERY},
        formats=(_PLAIN, _SAME),
    )

    for op, domain in (("ScaleShift", _ORPHEUS), ("BatchNormalization", "")):
        names = ("scale", "shift") if domain else ("scale", "B", "input_mean", "input_var")
        yield _kernel(
            op, "broadcast", "elementwise:ScaleShift", "small", formats=(_PLAIN, _SAME), domain=domain,
            opset=(1 if domain else 9, None), accuracy=Accuracy() if domain else _LOOSE,
            where=(
                *(Rule(f"{n}.constant", "==", True) for n in names), Rule("X.rank", ">=", 2),
                *(() if domain else (Rule("training_mode", "in", (None, 0)),)),
            ),
        )  # fmt: skip


def _quantized() -> Iterator[Kernel]:
    narrow, wide = ("int8", "uint8"), ("float32",)
    whole, single = Rule("block_size", "in", (None, 0)), Rule("precision", "in", (None, 0, 1))
    for op, code, types, where in (
        ("QuantizeLinear", "quantize", {"T1": wide, "T2": wide, "T3": narrow}, (whole, single)),
        ("DequantizeLinear", "dequantize", {"T1": narrow, "T2": wide, "T3": wide}, (whole,)),
    ):
        yield _kernel(
            op, "broadcast", f"quantize:{code}", "small", formats=(_PLAIN, _SAME), opset=(23, None), dtypes=types,
            where=where,
        )  # fmt: skip
    yield _kernel("DynamicQuantizeLinear", "range", "quantize:Dynamic", "small", opset=(11, None))
    yield from _integers()


def _integers() -> Iterator[Kernel]:
    narrow, every = (
        ("int8", "uint8"),
        tuple(Format((x,), (y,)) for x in ("plain", NHWC) for y in ("plain", NHWC)),
    )
    three: dict[str, tuple[str, ...]] = {"T1": narrow, "T2": narrow, "T3": narrow}
    scaled = ("scale", "zero_point")
    for op, x, w, types, since in (
        ("QLinearConv", "x", "w", three, 10), ("QLinearMatMul", "a", "b", {"TS": ("float32",), **three}, 21),
        ("ConvInteger", "x", "w", {}, 10), ("MatMulInteger", "A", "B", {}, 10),
    ):  # fmt: skip
        where = [Rule(f"{w}.constant", "==", True)]
        if types:
            where += (Rule(f"{n}_{fact}.constant", "==", True) for n in (x, w, "y") for fact in scaled)
        else:
            where += _known(*(f"{n.lower()}_zero_point" for n in (x, w)))
        if "Conv" in op:
            where += (Rule("x.rank", "in", (3, 4)), *(_known("B") if types else ()))
        yield from _choices(
            op, "tiles", f"integers:{'conv' if 'Conv' in op else 'matmul'}", "integers", "integers",
            opset=(since, None), dtypes=types, formats=every if "Conv" in op else (_PLAIN,), where=tuple(where),
        )  # fmt: skip


def _movement() -> Iterator[Kernel]:
    words = tuple(t for t in EVERY)
    either = (Format(("plain",), (NHWC,)), Format((NHWC,), ("plain",)))
    yield _kernel(
        "Reorder", "tiles", "movement:reorder", "small", domain=_ORPHEUS, formats=either, dtypes={"T": words},
        where=(Rule("X.rank", "==", 4),),
    )  # fmt: skip
    many = (NHWC,) * _MAX_INPUTS
    # Since version 13 the sizes of Split's pieces are an input.
    for op, layouts, opset, where in (
        ("Concat", Format(many, (NHWC,)), (4, None), ()),
        ("Split", Format((NHWC,), many), (2, 12), ()),
        ("Split", Format((NHWC, "plain"), many), (13, None), _known("split")),
    ):
        types = words if opset[1] is None else tuple(t for t in words if t != "bfloat16")
        yield _kernel(
            op, "pieces", "movement:Pieces", "small", opset=opset, where=where, dtypes={"T": types},
            formats=(_PLAIN, layouts),
        )  # fmt: skip
    yield _kernel(
        "Transpose", "tiles", "movement:transpose", "small", dtypes={"T": words}, formats=(_PLAIN, either[1])
    )
    for op, code, opset, where in (
        ("Slice", "slice_", (10, None), _known("starts", "ends", "axes", "steps")),
        ("Expand", "expand", (8, None), _known("shape")),
        ("Tile", "tile", (6, None), _known("repeats")),
        ("DepthToSpace", "depth_to_space", (11, None), ()),
        ("SpaceToDepth", "space_to_depth", (1, None), ()),
    ):
        yield _kernel(
            op, "strided", f"movement:{code}", "small", opset=opset, where=where, dtypes={"T": words}
        )
    for op in ("Gather", "GatherND"):
        yield _kernel(
            op,
            "rows",
            "movement:Gather",
            "indices",
            opset=(1 if op == "Gather" else 12, None),
            dtypes={"T": words},
        )

    known = _known("pads", "constant_value", "axes")
    for opset, where in (((11, 17), known[:2]), ((18, None), known)):
        yield _kernel(
            "Pad",
            "tables",
            "resample:Pad",
            "filled",
            opset=opset,
            where=where,
            formats=(_PLAIN, _SAME),
            dtypes={"T": FLOATS},
        )
    for opset in ((11, 12), (13, 17), (18, None)):
        yield _kernel(
            "Resize", "tables", "resample:Resize", "resize", opset=opset, formats=(_PLAIN, _SAME),
            dtypes={"T1": _HALVES["T"]}, accuracy=_LOOSE, where=_known("roi", "scales", "sizes"),
        )  # fmt: skip


def _late() -> Iterator[Kernel]:
    """What has its size from values, and what changes the shape of such."""
    yield _kernel(
        "TopK", "known", "late:TopK", "ranked", opset=(10, None), where=(Rule("K.constant", "==", True),),
        dtypes={"T": (*FLOATS, "int32", "int64")},
    )  # fmt: skip
    for op, name, code, since, types in (
        ("TopK", "ranks", "top_k", 10, {"T": (*FLOATS, "int32", "int64")}),
        ("NonMaxSuppression", "lists", "non_max_suppression", 10, {}),
        ("Reshape", "view", "reshape", 5, {"T": EVERY}), ("Flatten", "view", "reshape", 1, {"T": EVERY}),
        ("Squeeze", "view", "reshape", 1, {"T": EVERY}), ("Unsqueeze", "view", "reshape", 1, {"T": EVERY}),
        ("Shape", "sent", "shape", 1, {}), ("Size", "sent", "size", 1, {}),
    ):  # fmt: skip
        yield Kernel(
            op=op, name=name, run=f"orpheus_cuda.late:{code}", opset=(since, None), dtypes=types, overlap=True,
            takes_problem=op not in ("Shape", "Size"), rank=200,
        )  # fmt: skip


def _known(*names: str) -> tuple[Rule, ...]:
    """Operands that are constant where they are given."""
    return tuple(Rule(f"{name}.runtime", "==", False) for name in names)


def _choices(op: str, name: str, code: str, limit: str, cost: str, **more: Any) -> Iterator[Kernel]:
    """A kernel of product.cu by the tile that a model of the time puts first, second and third."""
    for suffix in CHOICES:
        known = f"later.{cost}{suffix}" if suffix else cost
        yield _kernel(op, f"{name}{suffix}", f"{code}.{name}{suffix}", limit, known, **more)


def _kernel(op: str, name: str, code: str, limit: str, cost: str = "traffic", **more: Any) -> Kernel:
    return Kernel(
        op=op, name=name, prepare=f"orpheus_cuda.{code}", supports=f"orpheus_cuda.limits:{limit}",
        cost=f"orpheus_cuda.cost:{cost}", overlap=True, **more,
    )  # fmt: skip
