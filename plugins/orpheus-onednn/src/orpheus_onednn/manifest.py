"""The kernels: for every operator, each implementation that the library itself names, in each layout it takes.

The names are the library's own (``brgconv:avx512_core``, ``jit:uni``, ``gemm:acl``): it is asked for what it has for a
few layers of each kind once it is loaded, so they are those of this library on this machine. ``@NHWC`` marks an
implementation that is there in another layout as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from orpheus_core.errors import BackendError
from orpheus_core.ops import ORPHEUS_DOMAIN
from orpheus_core.ops.macs import macs
from orpheus_core.plugin import Accuracy, Backend, Format, Kernel, Problem, Ready, Rule, Unavailable
from orpheus_core.types import DType, TensorType, layout_of
from orpheus_onednn import activation, convolution, pointwise, products, quantized, recurrent
from orpheus_onednn.call import Call, Walk, node_of
from orpheus_onednn.layer import Layer
from orpheus_onednn.library import library

_MANY = 64  # inputs of a Concat, outputs of a Split
_ISA = re.compile(":(avx|sse|amx|sve|asimd).*")  # in the name of an implementation
_NARROW = ("bfloat16", "float16")
_FLOATS = ("float32", *_NARROW)
#: Operators that lose a NaN: the generated code computes them by the processor's maximum and minimum.
_LOSES = ("Clip", "HardSigmoid", "Max", "Min", "ReduceMax", "ReduceMin", "Relu", "RNN", "ScaleShift",
          "Softmax")  # fmt: skip
#: Type constraints that are not called T.
_CONSTRAINTS = {"Resize": ("T1",), "QLinearConv": ("T1", "T3"), "QLinearMatMul": ("T1", "T3")}
#: Inputs that a layer needs as constants where it has them: most decide on its result's shape.
_SETTLED = {"Clip": "min max", "GRU": "B", "LSTM": "B P", "QLinearConv": "B", "RNN": "B", "Split": "split"}
_SETTLED.update({"Resize": "scales sizes", **dict.fromkeys(pointwise.REDUCTIONS, "axes")})
_FLOPS, _BYTES, _CALL = 1e11, 3e10, 1e-6  # a second of one thread; seconds
#: Each implementation is taken to be so much slower than the one that the library puts before it, each combination of
#: layouts likewise than the one before it,
_STEP, _FAVOURITE = 0.05, 0.02
#: and one whose name has this in it so many times more slowly than generated code; measured on AVX-512. The last on
#: processors that have these of the library's bits too (float16: Intel's servers), where 3x3 layers are faster in NHWC.
_SLOWER = {"simple": (2.0, 0), "gemm:jit": (0.5, 0), "jit:avx512_core": (0.1, 0x100)}


@dataclass(frozen=True)
class Row:
    """Operators of one kind: how they are described, in which layouts, and samples as shapes and attributes."""

    ops: tuple[str, ...]
    describe: Callable[[Problem, str, str], list[Call]]
    samples: tuple[tuple[Mapping[str, Any], tuple[tuple[int, ...], ...], tuple[int, ...]], ...]
    formats: str = "plain"  # "plain", "same", "all", "parts", "conv" or "reorder"; see _formats
    dtypes: tuple[str, ...] = _FLOATS
    others: Mapping[int, str] = field(default_factory=dict)  # types of inputs that have one of their own
    opset: int = 1
    rounded: bool = False  # by functions that are approximated


_IMAGE = (1, 64, 14, 14)
_CONV = tuple(
    ({"group": g, "strides": (s, s), "pads": (k // 2,) * 4}, ((1, c, n, n), (m, c // g, k, k)), (1, m, n // s, n // s))
    for c, m, g, k, s, n in ((64, 64, 1, 3, 1, 14), (64, 64, 1, 1, 1, 14), (64, 64, 64, 3, 1, 14), (3, 64, 1, 7, 2, 28))
)  # fmt: skip
_TURNED = tuple((a, (x, (x[1], *w[1:])), x) for a, (x, w), _ in _CONV[:2])
_PRODUCT: Any = (({}, ((64, 96), (96, 64)), (64, 64)), ({}, ((1, 96), (96, 64)), (1, 64)))
_PAIR: Any = (({}, (_IMAGE, _IMAGE), _IMAGE), ({}, (_IMAGE, (1, 64, 1, 1)), _IMAGE))
#: Attributes of the elementary functions' samples; each takes what it knows.
_SOME: Any = (({"alpha": 0.1, "beta": 0.5, "gamma": 1.0, "approximate": "none"}, (_IMAGE,), _IMAGE),)
_WHOLE: Any = (({}, (_IMAGE,), (1, 64, 1, 1)),)
_HALF: Any = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}, (_IMAGE,), (1, 64, 7, 7)
_LINES: Any = (({"axis": 1}, ((8, 64), (64,), (64,)), (8, 64)),)
_NORMAL: Any = (({"axis": 1}, (_IMAGE, *((64,),) * 4), _IMAGE),)
_ROW_SUMS: Any = (({"axes": (1,)}, ((8, 64),), (8, 1)),)
_BOTH: Any = ({"axis": 1}, (_IMAGE, _IMAGE), (1, 128, 14, 14))
_TWICE: Any = tuple(({"mode": mode}, (_IMAGE,), (1, 64, 28, 28)) for mode in ("nearest", "linear"))


def _rows() -> Iterator[Row]:
    yield Row(("Conv", "FusedConv"), convolution.convolution, _CONV, "conv")
    yield Row(("ConvTranspose",), convolution.convolution, _TURNED, "same")
    yield Row(("MaxPool",), convolution.pooling, (_HALF,), "same", ("float32",))  # never of bfloat16
    yield Row(("AveragePool",), convolution.pooling, (_HALF,), "same")
    yield Row(("GlobalMaxPool", "GlobalAveragePool"), convolution.pooling, _WHOLE, "same")
    yield Row(("MatMul", "FusedMatMul"), products.matmul, _PRODUCT)
    for describe in (products.gemm, products.inner_product):
        yield Row(("Gemm", "FusedGemm"), describe, _PRODUCT, opset=7)
    types = {1: "float32", 3: "int8", 4: "float32", 5: "int8", 6: "float32"}
    for op, samples, formats in (("QLinearConv", _CONV, "same"), ("QLinearMatMul", _PRODUCT, "plain")):
        lots = tuple((a, (x, (), (), w, (), (), (), ()), y) for a, (x, w), y in samples)
        yield Row((op,), quantized.quantized, lots, formats, ("uint8", "int8"), types)
    for op in (*activation.SIMPLE, *activation.CHAINS):
        since, exact = 11 if op == "Clip" else 1, op in activation.EXACT
        yield Row((op,), activation.eltwise, _SOME, "same", opset=since, rounded=not exact)
    yield Row(tuple(pointwise.BINARIES), pointwise.binary, _PAIR, "all", opset=7)
    yield Row(("ScaleShift",), pointwise.scale_shift, _NORMAL, "same")
    yield Row(("BatchNormalization",), pointwise.normalization, _NORMAL, "same", opset=9)
    yield Row(("LayerNormalization",), pointwise.normalization, _LINES, rounded=True)
    yield Row(("Softmax", "LogSoftmax"), pointwise.softmax, _LINES, opset=13, rounded=True)
    yield Row(("Concat",), pointwise.concat, (_BOTH,), "all", opset=4)
    yield Row(("Split",), pointwise.split, (({"axis": 1}, ((1, 128, 14, 14),), _IMAGE),), "parts", opset=13)
    yield Row(tuple(pointwise.REDUCTIONS), pointwise.reduction, _ROW_SUMS, opset=13)
    yield Row(("Resize",), pointwise.resampling, _TWICE, "same", opset=11)
    for op, gates in recurrent.GATES.items():
        shapes: Any = ((5, 1, 32), (1, len(gates) * 32, 32), (1, len(gates) * 32, 32)), (5, 1, 1, 32)
        steps = tuple(({"linear_before_reset": after}, *shapes) for after in (0, 1))
        yield Row((op,), recurrent.recurrent, steps, opset=7, rounded=True)
    pairs = [(f.inputs[0], f.outputs[0]) for _, _, found in _formats("reorder") for f in found]
    turns = tuple(({"from_layout": a, "to_layout": b}, (_IMAGE,), _IMAGE) for a, b in pairs)
    yield Row(("Reorder",), pointwise.reorder, turns, "reorder", (*_FLOATS, "int32", "int8", "uint8"))


def _formats(kind: str) -> Iterator[tuple[str, str, tuple[Format, ...]]]:
    """Layouts of inputs and outputs, the library's favourites first, and the same as a manifest has them."""
    if kind == "reorder":  # its layouts are attributes
        sides = ("plain", "NHWC", _blocked())
        yield "plain", "plain", tuple(Format((a,), (b,)) for a in sides for b in sides if a != b)
        return
    inner = [] if kind == "plain" else [(_blocked(), _blocked()), ("NHWC", "NHWC")]
    if kind == "conv":
        inner += [("plain", _blocked()), ("plain", "NHWC")]
    for x, y in inner:
        inputs = {"conv": (x, "plain", "plain", y), "all": (x,) * _MANY}.get(kind, (x,))
        yield x, y, (Format(inputs, (y,) * (_MANY if kind == "parts" else 2)),)
    yield "plain", "plain", (Format(),)


def _blocked() -> str:
    """The layout of as many channels as a vector has floats."""
    isa = library().isa
    return "NCHW8c" if isa & 1 and not isa & 0x20 else "NCHW16c"


class Entry:
    """A kernel's code: how its layers are put to the library, and the implementation that it is to find there."""

    def __init__(self, walk: Walk, name: str, place: int) -> None:
        self.walk, self.name = walk, name
        held = [f for part, (f, bits) in _SLOWER.items() if part in name and library().isa & bits == bits]
        self.slower = 1.0 + _FAVOURITE * place + sum(held)

    def supports(self, problem: Problem) -> str | None:
        """None, or why there is no such implementation of this layer."""
        found = problem.once(self.walk)
        if isinstance(found, str) or self.name in found:
            return found if isinstance(found, str) else None
        return f"oneDNN has no {self.name} for this layer, only {', '.join(found)}"

    def cost(self, problem: Problem) -> float:
        """Multiplications at a usual share of peak, or bytes; more for what comes later in the library's order."""
        found = problem.once(self.walk)
        operands = (*problem.inputs, *problem.outputs)
        traffic = sum(t.nbytes or 0 for t in operands if isinstance(t, TensorType)) / _BYTES
        place = found.index(self.name) if isinstance(found, tuple) and self.name in found else 0
        seconds = max(2.0 * (macs(node_of(problem)) or 0) / _FLOPS, traffic) / problem.threads
        return _CALL + seconds * (self.slower + _STEP * place)

    def prepare(self, problem: Problem) -> Layer:
        """The layer in this implementation."""
        return Layer(problem, self.walk, self.name)


class _Entries:
    """What references of the manifest name: ``orpheus_onednn.manifest:ENTRIES.<key>.prepare``."""

    def __getattr__(self, key: str) -> Any:  # in a process that was given the table, and has not made it
        return kernels() and object.__getattribute__(self, key)


ENTRIES = _Entries()


def _names(row: Row, op: str, walk: Walk) -> Iterator[tuple[str, str]]:
    """Implementations that the library has for the samples, the first of each family, by element type."""
    for dtype in row.dtypes:
        families: dict[str, str] = {}
        for attributes, inputs, output in row.samples:
            types = [TensorType(DType(row.others.get(i, dtype)), s) for i, s in enumerate((*inputs, output))]
            made = [np.full(s, i.dtype.is_float, i.dtype.numpy) for s, i in zip(inputs[1:], types[1:])]
            weights = {} if row.formats == "all" else dict(enumerate(made, 1))
            found = walk(Problem(op, "", row.opset, attributes, (*types[:-1],), (types[-1],), weights))
            for name in found if isinstance(found, tuple) else ():
                families.setdefault(_ISA.sub("", name), name)
        yield from ((name, dtype) for name in families.values())


def _rules(op: str, walk: Walk, name: str) -> tuple[Rule, ...]:
    """What every layer of an implementation has, as far as its name and layouts tell; ``supports`` asks the library."""
    x, w = {"QLinearConv": ("x", "w"), "QLinearMatMul": ("a", "b")}.get(op, ("X", "W"))
    conv = op in ("Conv", "FusedConv", "QLinearConv") and not name.endswith("gemm:jit")
    integers, brgemm = op[0] == "Q", "brgconv:" in name
    # The library does not take the processor's matrix tiles for small layers.
    block = max(layout_of(walk.x).block, 16 * (conv and "_amx" in name))
    scales = [f"{n}_{fact}.constant" for n in (x, w, "y") for fact in ("scale", "zero_point")]
    facts: tuple[tuple[bool, list[Any]], ...] = (
        (True, [("*.size", ">=", 1), *((f"{n}.runtime", "==", False) for n in _SETTLED.get(op, "").split())]),
        (integers, [(scale, "==", True) for scale in scales]),
        (conv or integers or brgemm, [(f"{w}.constant", "==", True)]),
        (conv, [(f"{x}.rank", "==", 4)]),
        (conv and block > 1 and "dw" not in name, [(f"{x}.shape[1]", ">=", block)]),
        (conv and "1x1" in name, [(f"{w}.shape[{i}]", "==", 1) for i in (2, 3)]),
        ("jit_1x1:avx512_core_amx" in name, [("strides", "each", (1,)), (f"{x}.shape[2]", ">=", 8)]),
        (brgemm, [(f"{x}.shape[1]", ">=", 8), *[("strides", "each", (1,))] * (not conv)]),
        ("brdgmm" in name, [("group", ">=", 2), (f"{w}.shape[1]", "==", 1), ("dilations", "each", (1,))]),
        (op in recurrent.GATES, [(f"{n}.constant", "==", True) for n in "WR"]),
        (op in recurrent.GATES, [("sequence_lens.present", "==", False), ("clip", "==", None)]),
        (op == "LSTM", [("input_forget", "in", (0, None))]),
        (op == "BatchNormalization", [("training_mode", "!=", 1)]),
        (name.startswith("bnorm") and walk.x == "NHWC", [("X.shape[1]", ">=", layout_of(_blocked()).block)]),
    )
    return tuple(Rule(*fact) for holds, found in facts if holds for fact in found)


@cache
def kernels() -> tuple[Kernel, ...]:
    """The table, for the library that is found."""
    return tuple(kernel for row in _rows() for op in row.ops for kernel in _kernels(row, op))


_known: set[str] = set()


def _kernels(row: Row, op: str) -> Iterator[Kernel]:
    ours = op.startswith(("Fused", "Reorder", "ScaleShift"))
    domain, since = (ORPHEUS_DOMAIN, 1) if ours else ("", row.opset)
    for place, (x, y, formats) in enumerate(_formats(row.formats)):
        walk = Walk(row.describe, x, y)
        groups: dict[tuple[str, bool], list[str]] = {}
        for name, dtype in _names(row, op, walk):
            groups.setdefault((name, dtype in _NARROW), []).append(dtype)
        for (name, narrow), dtypes in groups.items():
            entry = f"orpheus_onednn.manifest:ENTRIES.k{len(vars(ENTRIES))}"
            setattr(ENTRIES, entry.rpartition(".")[2], Entry(walk, name, place))
            base = f"{domain}:{op}/{name}" + f"@{dtypes[0]}" * (narrow and (name, False) in groups)
            tags = ("", f"@{y if x == y else f'{x}-{y}'}", f"@{row.describe.__name__}")
            own = next(base + tag for tag in tags if base + tag not in _known)
            _known.add(own)
            special = not narrow and op not in _LOSES and not op.startswith("Fused")
            types = dict.fromkeys(_CONSTRAINTS.get(op, ("T",)), tuple(dtypes))
            yield Kernel(
                op=op, domain=domain, name=own.partition("/")[2], opset=(since, None), overlap=True,
                accuracy=Accuracy(factor=4 if row.rounded else 1, exact_integers=not row.rounded, special=special),
                dtypes={**types, "T2": ("int8",)} if op[0] == "Q" else types, where=_rules(op, walk, name),
                formats=formats, prepare=f"{entry}.prepare", supports=f"{entry}.supports", cost=f"{entry}.cost",
            )  # fmt: skip


def probe() -> Ready | Unavailable:
    """Ready with the library's version and runtime, or why there is none."""
    try:
        found = library()
    except BackendError as error:
        return Unavailable(*str(error).partition("; to fix: ")[::2])
    return Ready(f"oneDNN {found.version}, {', '.join(found.runtimes) or 'one thread only'}")


def probe_acl() -> Ready | Unavailable:
    """As of oneDNN, which must have implementations of Arm Compute Library."""
    found = probe()
    if isinstance(found, Ready) and any("acl" in k.name for k in kernels()):
        return found
    reason = getattr(found, "reason", "this oneDNN is without Arm Compute Library, which is for AArch64")
    return Unavailable(reason, "on AArch64 build oneDNN with it, as orpheus-onednn's README tells")


def complete(backend: Backend) -> Backend:
    """The backend with its kernels. Its version has the library's in it, since times are kept under it."""
    mine = tuple(k for k in kernels() if backend.name == "onednn" or "acl" in k.name)
    return replace(backend, kernels=mine, version=f"0.1.0+onednn{library().version}")
