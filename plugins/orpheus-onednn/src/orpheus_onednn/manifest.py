"""The kernels: for every operator, each implementation that the library itself names, in each layout it takes.

The names are the library's own (``brgconv:avx512_core``, ``jit:uni``, ``gemm:acl``): it is asked for what it has for a
few layers of each kind when the manifest is made, so they are those of this library on this machine. ``@NHWC`` marks an
implementation that is there in another layout as well. Where no library is found the table lists one kernel for each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from orpheus_core.errors import BackendError
from orpheus_core.plugin import STANDARD, Accuracy, Format, Kernel, Problem, Rule
from orpheus_core.types import DType, TensorType, layout_of
from orpheus_onednn import activation, convolution, pointwise, products
from orpheus_onednn.call import Call, Walk, shape_of
from orpheus_onednn.layer import Layer
from orpheus_onednn.library import library

_ORPHEUS = "ai.orpheus"
_MANY = 64  # inputs of a Concat
_ISA = re.compile(":(avx|sse|amx|sve|asimd).*")  # in the name of an implementation
_FLOATS = ("float32", "bfloat16", "float16")
_ROUNDED = Accuracy(factor=4, exact_integers=False)
_FLOPS, _BYTES, _CALL = 1e11, 3e10, 1e-6  # a second of one thread; seconds
_STEP = (
    0.05  # each implementation is taken to be so much slower than the one that the library puts before it,
)
#: and one whose name has this in it so many times more slowly than generated code; measured on AVX-512.
_SLOWER = {"simple": 2.0, "gemm:jit": 0.5}
_FAVOURITE = 0.02  # each combination of layouts likewise after the one before it


@dataclass(frozen=True)
class Row:
    """Operators of one kind: how they are described, in which layouts, and samples as shapes and attributes."""

    ops: tuple[str, ...]
    describe: Callable[[Problem, str, str], list[Call]]
    samples: tuple[tuple[Mapping[str, Any], tuple[tuple[int, ...], ...], tuple[int, ...]], ...]
    formats: str = "plain"  # "plain", "same" or "conv"; see _formats
    dtypes: tuple[str, ...] = _FLOATS
    opset: int = 1
    accuracy: Accuracy = STANDARD
    domain: str = ""


_IMAGE = (1, 64, 14, 14)
_CONV = tuple(
    ({"group": g, "strides": (s, s), "pads": (k // 2,) * 4}, ((1, c, n, n), (m, c // g, k, k)), (1, m, n // s, n // s))
    for c, m, g, k, s, n in ((64, 64, 1, 3, 1, 14), (64, 64, 1, 1, 1, 14), (64, 64, 64, 3, 1, 14), (3, 64, 1, 7, 2, 28))
)  # fmt: skip
_PRODUCT: Any = (({}, ((64, 96), (96, 64)), (64, 64)), ({}, ((1, 96), (96, 64)), (1, 64)))
_SOME: Any = (({}, (_IMAGE,), _IMAGE),)
_PAIR: Any = (({}, (_IMAGE, _IMAGE), _IMAGE), ({}, (_IMAGE, (1, 64, 1, 1)), _IMAGE))


def _rows() -> Iterator[Row]:
    exact = tuple(op for op in activation.EXACT)
    others = tuple(op for op in (*activation.CHAINS, *activation.FUNCTIONS) if op not in exact)
    window = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}
    half = (1, 64, 7, 7)
    yield Row(("Conv",), convolution.convolution, _CONV, "conv")
    yield Row(("FusedConv",), convolution.convolution, _CONV, "conv", domain=_ORPHEUS)
    turned = tuple((a, (x, (x[1], *w[1:])), x) for a, (x, w), _ in _CONV[:2])
    yield Row(("ConvTranspose",), convolution.deconvolution, turned, "any")
    for op, dtypes in (("MaxPool", ("float32",)), ("AveragePool", _FLOATS)):  # MaxPool is never of bfloat16
        yield Row((op,), convolution.pooling, ((window, (_IMAGE,), half),), "same", dtypes)
    whole: Any = (({}, (_IMAGE,), (1, 64, 1, 1)),)
    yield Row(("GlobalMaxPool", "GlobalAveragePool"), convolution.pooling, whole, "same")
    yield Row(("MatMul",), products.matmul, _PRODUCT)
    yield Row(("FusedMatMul",), products.matmul, _PRODUCT, domain=_ORPHEUS)
    for describe in (products.gemm, products.inner_product):
        yield Row(("Gemm",), describe, _PRODUCT, opset=7)
        yield Row(("FusedGemm",), describe, _PRODUCT, domain=_ORPHEUS)
    yield Row(exact, pointwise.eltwise, _SOME, "same")
    yield Row(others, pointwise.eltwise, (({"alpha": 0.1}, (_IMAGE,), _IMAGE),), "same", accuracy=_ROUNDED)
    yield Row(tuple(pointwise.BINARIES), pointwise.binary, _PAIR, "pair", opset=7)
    channel = (({"axis": 1}, (_IMAGE, (64,), (64,)), _IMAGE),)
    yield Row(("ScaleShift",), pointwise.scale_shift, channel, "same", domain=_ORPHEUS)
    normal: Any = (({}, (_IMAGE, *((64,),) * 4), _IMAGE),)
    layer: Any = (({}, ((8, 64), (64,), (64,)), (8, 64)),)
    yield Row(("BatchNormalization",), pointwise.batch_normalization, normal, "same", opset=9)
    yield Row(("LayerNormalization",), pointwise.layer_normalization, layer, accuracy=_ROUNDED)
    lrn = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    yield Row(("LRN",), pointwise.lrn, ((lrn, (_IMAGE,), _IMAGE),), "same", accuracy=_ROUNDED)
    rows = (({"axis": 1}, ((8, 64),), (8, 64)),)
    yield Row(("Softmax", "LogSoftmax"), pointwise.softmax, rows, opset=13, accuracy=_ROUNDED)
    both = (1, 128, 14, 14)
    yield Row(("Concat",), pointwise.concat, (({"axis": 1}, (_IMAGE, _IMAGE), both),), "many", opset=4)
    halves = (({"axis": 1}, (both,), _IMAGE),)
    yield Row(("Split",), pointwise.split, halves, "split", opset=2)
    yield Row(tuple(pointwise.REDUCTIONS), pointwise.reduction, (({"axes": (1,)}, ((8, 64),), (8, 1)),))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    linear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    resize = tuple((mode, (_IMAGE,), (1, 64, 28, 28)) for mode in (nearest, linear))
    yield Row(("Resize",), pointwise.resampling, resize, "same", opset=11)
    yield Row(("Upsample",), pointwise.resampling, resize[:1], "same", opset=9)
    yield Row(("Transpose",), pointwise.transpose, (({"perm": (0, 2, 3, 1)}, (_IMAGE,), (1, 14, 14, 64)),))
    integers = ("int32", "int8", "uint8")
    sides = ("plain", "NHWC", _blocked())
    pairs = [{"from_layout": a, "to_layout": b} for a in sides for b in sides if a != b]
    turns = tuple((pair, (_IMAGE,), _IMAGE) for pair in pairs)
    yield Row(("Reorder",), pointwise.reorder, turns, "reorder", (*_FLOATS, *integers), domain=_ORPHEUS)


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
        inputs = {"conv": (x, "plain", "plain", y), "pair": (x, x), "many": (x,) * _MANY}.get(kind, (x,))
        outputs = {"conv": (y, y), "split": (y,) * _MANY}.get(kind, (y,))
        yield x, y, (Format(inputs, outputs),)
    yield "plain", "plain", (Format(),)


def _blocked() -> str:
    """The layout of as many channels as a vector has floats."""
    try:
        isa = library().isa
    except BackendError:
        isa = 0
    return "NCHW8c" if isa & 1 and not isa & 0x20 else "NCHW16c"


class Entry:
    """A kernel's code: walks, one for each of its layouts, and the implementation that it is to find in each."""

    def __init__(self, walks: Sequence[Walk], name: str, place: int) -> None:
        self.walks, self.name = walks, name
        self.slower = 1.0 + _FAVOURITE * place + sum(f for part, f in _SLOWER.items() if part in name)

    def walk(self, problem: Problem) -> Walk:
        """The walk of a problem whose operands are in layouts; the first where they are plain yet."""
        sides = [t.layout.name for t in (problem.inputs[0], problem.outputs[0]) if isinstance(t, TensorType)]
        return next((w for w in self.walks if [w.x, w.y] == sides), self.walks[0])

    def supports(self, problem: Problem) -> str | None:
        """None, or why there is no such implementation of this layer."""
        rank = len(shape_of(problem, 0)) if isinstance(problem.inputs[0], TensorType) else 0
        for walk in self.walks:
            found = problem.once(walk)
            if not (layout_of(walk.x).fits(rank) or walk.x == "plain") and len(self.walks) > 1:
                continue
            if isinstance(found, str):
                return found
            if self.name not in (*found, "any"):
                return f"oneDNN has no {self.name} for this layer, only {', '.join(found)}"
        return None

    def cost(self, problem: Problem) -> float:
        """Multiplications at a usual share of peak, or bytes; more for what comes later in the library's order."""
        found = problem.once(self.walks[-1])
        operands = [t for t in (*problem.inputs, *problem.outputs) if isinstance(t, TensorType)]
        traffic = sum(t.nbytes or 0 for t in operands) / _BYTES
        flops = 2.0 * _macs(problem)
        place = found.index(self.name) if isinstance(found, tuple) and self.name in found else 0
        return _CALL + max(flops / _FLOPS, traffic) / problem.threads * (self.slower + _STEP * place)

    def prepare(self, problem: Problem) -> Layer:
        """The layer in this implementation."""
        return Layer(problem, self.walk(problem), self.name)


def _macs(problem: Problem) -> int:
    if "Conv" in problem.op:
        return math.prod(shape_of(problem, 0 if "Transpose" in problem.op else ~0) + shape_of(problem, 1)[1:])
    if "Gemm" in problem.op or "MatMul" in problem.op:
        depth = shape_of(problem, 0)[0 if problem.attributes.get("transA") else -1]
        return math.prod(shape_of(problem, ~0)) * depth
    return 0


#: What references of the manifest name: ``orpheus_onednn.manifest:ENTRIES.<name>.prepare``.
class _Entries:
    pass


ENTRIES = _Entries()


def _sample(row: Row, dtype: str, sample: Any) -> Problem:
    attributes, inputs, output = sample
    types = tuple(TensorType(DType(dtype), shape) for shape in inputs)
    constant = len(inputs) > 1 and row.formats != "pair"
    weights = {1: np.zeros(inputs[1], DType(dtype).numpy)} if constant else {}
    result = TensorType(DType(dtype), output)
    return Problem(row.ops[0], row.domain, row.opset, attributes, types, (result,), weights)


def _names(row: Row, walk: Walk) -> dict[str, list[str]]:
    """Implementations that the library has for the samples, the first of each family, and their element types."""
    try:
        library()
    except BackendError:
        return {"any": list(row.dtypes)}
    names: dict[str, list[str]] = {}
    if row.formats == "any":
        known = [d for d in row.dtypes if not isinstance(walk(_sample(row, d, row.samples[0])), str)]
        return {"any": known} if known else {}
    for dtype in row.dtypes:
        families: dict[str, str] = {}
        for sample in row.samples:
            found = walk(_sample(row, dtype, sample))
            for name in found if isinstance(found, tuple) else ():
                families.setdefault(_ISA.sub("", name), name)
        for name in families.values():
            names.setdefault(name, []).append(dtype)
    return names


def _rules(row: Row, walk: Walk, name: str) -> tuple[Rule, ...]:
    """What every layer of an implementation has, as far as its name and layouts tell; ``supports`` asks the library."""
    if row.formats != "conv" or name.endswith("gemm:jit"):
        return ()
    square = (Rule("W.shape[2]", "==", 1), Rule("W.shape[3]", "==", 1)) if "1x1" in name else ()
    least = 8 if name.startswith("brgconv:") else 1 if "dw" in name else layout_of(walk.x).block
    whole = (Rule("X.shape[1]", ">=", least),) if least > 1 else ()
    return (Rule("X.rank", "==", 4), Rule("W.constant", "==", True), *square, *whole)


@cache
def kernels() -> tuple[Kernel, ...]:
    """The table, for the library that is found."""
    return tuple(_kernels())


def _kernels() -> Iterator[Kernel]:
    known: set[str] = set()
    for row in _rows():
        groups: dict[Any, list[tuple[int, Walk, tuple[Format, ...]]]] = {}
        for place, (x, y, layouts) in enumerate(_formats(row.formats)):
            walk = Walk(row.describe, x, y)
            for name, dtypes in _names(row, walk).items():
                apart = place if row.formats == "conv" else 0
                groups.setdefault((name, tuple(dtypes), apart), []).append((place, walk, layouts))
        for (name, dtypes, _), members in groups.items():
            place, walk, _ = members[0]
            key = f"k{len(vars(ENTRIES))}"
            setattr(ENTRIES, key, Entry([m[1] for m in members], name, place))
            reference = f"orpheus_onednn.manifest:ENTRIES.{key}"
            layout = walk.y if walk.x == walk.y else f"{walk.x}-{walk.y}"
            for op in row.ops:
                own = next(
                    name + tag
                    for tag in ("", f"@{layout}", f"@{row.describe.__name__}")
                    if f"{row.domain}:{op}/{name}{tag}" not in known
                )
                known.add(f"{row.domain}:{op}/{own}")
                yield Kernel(
                    op=op, domain=row.domain, name=own, opset=(row.opset, None), accuracy=row.accuracy, overlap=True,
                    formats=tuple(f for m in members for f in m[2]), dtypes={"T1" if op == "Resize" else "T": dtypes},
                    where=_rules(row, walk, name),
                    prepare=f"{reference}.prepare", supports=f"{reference}.supports", cost=f"{reference}.cost",
                )  # fmt: skip


def version() -> str:
    """This plugin's version and the library's, since times are kept under it."""
    try:
        return f"0.1.0+onednn{library().version}"
    except BackendError:
        return "0.1.0"
