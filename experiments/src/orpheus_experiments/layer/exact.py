"""What nodes compute in float64, and how far a right float32 result may be from that.

The bound needs no knowledge of the operator. Every float that goes in (operands, and weights, but not the few bounds
and scales that some operators take as constants) is moved by at most one rounding, at random; how far the float64
result moves shows how the layer is conditioned here, on these values. A sum of K such terms that is rounded after each
of them is off by some sqrt(K) of that, so a right result is within

    factor * (2 + sqrt(K)) * (SLACK * moved + eps * largest)

of the exact one, where ``factor`` is what the kernel declares (:class:`orpheus_core.plugin.Accuracy`) and ``largest``
the largest magnitude of the result. Where a rounding flips what is computed (an index, a count of boxes), the result
moves by whole steps and the bound allows that: such a layer parts by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from orpheus_core import discovery
from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Attribute, Graph, Node, Value
from orpheus_core.ops.macs import macs
from orpheus_core.ops.spec import find_spec
from orpheus_core.plan.executable import Executable
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.types import Array, DType, TensorType, ValueType

__all__ = ["REFERENCE", "SLACK", "Exact", "apart", "evaluate", "exact", "expand", "limit_of", "wide", "widen"]

#: The backend that computes in float64.
REFERENCE = "numpy"
#: How many times the movement by random roundings a bound allows: the largest of many elements, from few draws.
SLACK = 8.0
#: Constants of more floats are weights (see :mod:`orpheus_core.selection.alike`); fewer are bounds, scales and sizes.
_SMALL = 8
_DRAWS = 2
#: Quantization steps that two right 8-bit results may differ by: a tie rounded the other way.
_STEPS = 1.0
_NARROW = (DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
_NARROW_NUMPY = tuple(d.numpy for d in _NARROW)


@dataclass(frozen=True)
class Exact:
    """Results in float64; ``moved`` and ``terms`` make the bound of each, see the module."""

    outputs: tuple[Any, ...]
    moved: tuple[float, ...]
    terms: int


def widen(graph: Graph) -> Graph:
    """A copy in which every narrower float is a float64, and every operator of Orpheus's own is taken apart."""
    return _Widening().graph(graph)


def expand(graph: Graph) -> Graph:
    """The graph with every operator of Orpheus's own taken apart into standard ones."""
    return graph.replace(nodes=tuple(part for node in graph.nodes for part in _parts(node)))


def evaluate(graph: Graph, inputs: Sequence[Any], *, threads: int = 1) -> list[Any]:
    """The outputs of a graph by the reference backend, as it stands: nothing is rewritten.

    Raises BackendError when the reference is not installed, UnsupportedModelError for an operator that it lacks.
    """
    options = SelectionOptions(backends=(discovery.get(REFERENCE),), named=1, threads=threads)
    return Executable(graph, options, lambda same: same, is_checked=False).run(list(inputs))


def exact(graph: Graph, inputs: Sequence[Any], seed: int = 0) -> Exact:
    """What ``graph`` computes from ``inputs`` in float64, and how it moves with roundings of what goes in."""
    widened = widen(graph)
    units = [_unit(v.type) for v in graph.inputs]
    given = [wide(x) for x in inputs]
    outputs = tuple(evaluate(widened, given))
    generator = np.random.default_rng(seed)
    moved = [0.0] * len(outputs)
    for _ in range(_DRAWS):
        shaken = [_shake(x, u, generator) for x, u in zip(given, units)]
        try:
            again = evaluate(_shaken(widened, graph, generator), shaken)
        except OrpheusError:  # a rounding made of it what the operator refuses
            moved = [math.inf] * len(outputs)
            break
        moved = [max(m, apart(a, b)) for m, a, b in zip(moved, again, outputs)]
    return Exact(outputs, tuple(moved), _terms(graph))


def limit_of(found: Exact, index: int, type_: ValueType, factor: float = 1.0) -> float:
    """The largest right difference of output ``index``, whose type is ``type_``, from the exact one."""
    moved, wanted = found.moved[index], found.outputs[index]
    if not isinstance(type_, TensorType) or not isinstance(wanted, np.ndarray) or not wanted.size:
        return moved
    if not type_.dtype.is_float:
        steps = _STEPS if type_.dtype in (DType.INT8, DType.UINT8) else 0.0
        return moved + steps
    finite = wanted[np.isfinite(wanted)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    limits = _finfo(type_.dtype)
    rounding = float(limits.eps) * largest + float(limits.tiny)
    return factor * (2 + math.sqrt(found.terms)) * (SLACK * moved + rounding)


def apart(got: Any, wanted: Any) -> float:
    """The largest difference of two results; infinity where they are not comparable.

    Equal are: NaN and NaN, infinities of one sign, equal strings. Any of them against anything else, another shape,
    and another length of a sequence is infinitely far.
    """
    if isinstance(wanted, dict):
        if not isinstance(got, dict) or got.keys() != wanted.keys():
            return math.inf
        return max((apart(got[k], v) for k, v in wanted.items()), default=0.0)
    if isinstance(wanted, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(wanted):
            return math.inf
        return max((apart(g, w) for g, w in zip(got, wanted)), default=0.0)
    if wanted is None or got is None:
        return 0.0 if got is wanted else math.inf
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        return math.inf
    if wanted.dtype.kind in "OUST" or got.dtype.kind in "OUST":
        return 0.0 if bool(np.all(got == wanted)) else math.inf
    common = np.complex128 if "c" in (got.dtype.kind, wanted.dtype.kind) else np.float64
    a, b = got.astype(common), wanted.astype(common)
    odd = ~(np.isfinite(a) & np.isfinite(b))
    if not np.array_equal(a[odd], b[odd], equal_nan=True):
        return math.inf
    return float(np.abs(a[~odd] - b[~odd]).max(initial=0.0))


class _Widening:
    def __init__(self) -> None:
        self.values: dict[Value, Value] = {}

    def value(self, value: Value) -> Value:
        found = self.values.get(value)
        if found is None:
            const = None if value.const is None else wide(value.const)
            found = self.values[value] = Value(value.name, _wide_type(value.type), const)
        return found

    def graph(self, graph: Graph) -> Graph:
        inputs = tuple(map(self.value, graph.inputs))
        nodes = tuple(self.node(part) for part in expand(graph).nodes)
        outputs = tuple(map(self.value, graph.outputs))
        return Graph(inputs, outputs, nodes, graph.name)

    def node(self, node: Node) -> Node:
        attributes = {k: self.attribute(node, k, a) for k, a in node.attributes.items()}
        return node.replace(
            inputs=tuple(None if v is None else self.value(v) for v in node.inputs),
            outputs=tuple(None if v is None else self.value(v) for v in node.outputs),
            attributes=attributes,
        )

    def attribute(self, node: Node, name: str, attribute: Attribute) -> Attribute:
        if isinstance(attribute, Graph):
            return self.graph(attribute)
        if isinstance(attribute, np.ndarray):
            array: Array = wide(attribute)
            return array
        # The attributes that name an element type by its number: Cast's and those of operators that make tensors.
        if name in ("to", "dtype", "output_dtype") and attribute in [d.onnx for d in _NARROW]:
            return DType.FLOAT64.onnx
        return attribute


def _parts(node: Node) -> Sequence[Node]:
    """The node itself, or the standard nodes that one of Orpheus's own stands for."""
    spec = find_spec(node.domain, node.op, node.version) if node.domain else None
    if spec is None or spec.decompose is None:
        return (node,)
    body = spec.decompose(node)
    mapping = dict(zip(body.inputs, (v for v in node.inputs if v is not None)))
    renamed = dict(zip(body.outputs, node.results))
    parts = body.substitute(mapping).nodes
    return [
        part.replace(outputs=tuple(None if v is None else renamed.get(v, v) for v in part.outputs))
        for part in (_renamed(p, renamed) for p in parts)
    ]


def _renamed(node: Node, names: Mapping[Value, Value]) -> Node:
    return node.replace(inputs=tuple(None if v is None else names.get(v, v) for v in node.inputs))


def _wide_type(type_: ValueType) -> ValueType:
    if isinstance(type_, TensorType) and type_.dtype in _NARROW:
        return TensorType(DType.FLOAT64, type_.shape)
    return type_


def wide(value: Any) -> Any:
    """The value with every float in it as a float64."""
    if isinstance(value, list):
        return [wide(v) for v in value]
    is_narrow = isinstance(value, np.ndarray) and value.dtype in _NARROW_NUMPY
    return value.astype(np.float64) if is_narrow else value


def _unit(type_: ValueType) -> float:
    """The distance from 1 to the next number of a float type; 0 for what is not rounded."""
    if not isinstance(type_, TensorType) or not type_.dtype.is_float:
        return 0.0
    return float(_finfo(type_.dtype).eps)


def _finfo(dtype: DType) -> Any:
    return ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]


def _shake(x: Any, unit: float, generator: np.random.Generator) -> Any:
    if not unit or not isinstance(x, np.ndarray):
        return x
    return (x * (1 + unit * generator.uniform(-1, 1, x.shape))).astype(x.dtype)


def _shaken(widened: Graph, narrow: Graph, generator: np.random.Generator) -> Graph:
    """The widened graph with other weights."""
    weights = {v.name: _unit(v.type) for v in narrow.constants}
    mapping = {}
    for value in widened.constants:
        array = value.const
        unit = weights.get(value.name, 0.0)
        if array is not None and array.dtype.kind == "f" and array.size > _SMALL and unit:
            mapping[value] = Value.constant(value.name, _shake(array, unit, generator))
    return widened.substitute(mapping)


def _terms(graph: Graph) -> int:
    """The longest sum that a result of the graph is of, as the operands' sizes tell."""
    longest = 1
    for node in graph.nodes:
        sizes = [v.type.size or 1 for v in node.results if isinstance(v.type, TensorType)]
        out = max(1, *sizes) if sizes else 1
        work = macs(node)
        if work is None or work == 0:
            work = max(
                (v.type.size or 1 for v in node.inputs if v and isinstance(v.type, TensorType)), default=1
            )
        longest = max(longest, work // out)
    return longest
