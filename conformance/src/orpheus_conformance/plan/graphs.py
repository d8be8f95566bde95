"""Random graphs of a backend's own operators, joined by operators that only move data; small, and finite in float32.

One seed decides everything, and a graph of fewer steps is the beginning of one with more, so a failure is made smaller
by leaving out the last steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar
from zlib import crc32

import numpy as np

from orpheus_conformance.recipe import GraphRecipe
from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer.infer import Inference
from orpheus_core.ops import make_node
from orpheus_core.types import DType, TensorType

#: Elements of a value, at most.
LARGEST = 600
_SHAPES = (
    (1, 4, 5, 5),
    (2, 3, 4, 6),
    (2, 16, 3, 3),
    (1, 4, 7, 6),
    (2, 6),
    (3, 16),
    (2, 3, 4),
    (1, 1, 1, 1),
    (5,),
)
T = TypeVar("T")


class Maker:
    """The graph so far; helpers draw from one random generator."""

    def __init__(self, seed: int, dtype: DType) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.inference = Inference()
        self.count = 0
        self.inputs = [self._input(self.pick(_SHAPES))]
        if self.flag():
            self.inputs.append(self._input(self.inputs[0].type.static_shape))  # type: ignore[union-attr]
        self.values = list(self.inputs)

    def _input(self, shape: Any) -> Value:
        return Value(self.name("x"), TensorType(self.dtype, tuple(shape)))

    def name(self, hint: str) -> str:
        """A name that nothing else has."""
        self.count += 1
        return f"{hint}{self.count}"

    def pick(self, options: Iterable[T]) -> T:
        """One of some options."""
        found = list(options)
        return found[self.number(0, len(found) - 1)]

    def number(self, low: int, high: int) -> int:
        """A whole number between two, both included."""
        return int(self.rng.integers(low, high + 1))

    def flag(self) -> bool:
        """True or false."""
        return bool(self.number(0, 1))

    def const(self, *shape: int) -> Value:
        """A constant of moderate values."""
        return Value.constant(self.name("c"), np.asarray(self.rng.normal(size=shape) / 2, self.dtype.numpy))

    def positive(self, *shape: int) -> Value:
        """A constant well away from zero."""
        return Value.constant(self.name("c"), np.asarray(self.rng.uniform(0.5, 2, shape), self.dtype.numpy))

    def scalar(self, number: float) -> Value:
        """A constant of no axes."""
        return Value.constant(self.name("c"), np.array(number, self.dtype.numpy))

    def ints(self, *numbers: int) -> Value:
        """A constant list of whole numbers."""
        return Value.constant(self.name("c"), np.array(numbers, np.int64))

    def value(self, rank: int | None = None, least: int = 0) -> Value | None:
        """A value to read, the later the likelier."""
        fits = [v for v in self.values if least <= len(shape_of(v)) and rank in (None, len(shape_of(v)))]
        return fits[-1 - min(self.number(0, 3), len(fits) - 1)] if fits else None

    def like(self, value: Value) -> Value:
        """A value of the same shape, perhaps the same one."""
        return self.pick(v for v in self.values if shape_of(v) == shape_of(value))

    def op(self, op: str, *inputs: Value | None, outputs: int = 1, **attributes: Any) -> list[Value]:
        """A new node's results."""
        results = [Value(self.name(op.lower())) for _ in range(outputs)]
        node = make_node(op, inputs, results, attributes, name=results[0].name)
        self.inference.node(node)
        self.nodes.append(node)
        return results


def shape_of(value: Value) -> tuple[int, ...]:
    """The shape, which is always known here."""
    assert isinstance(value.type, TensorType) and value.type.static_shape is not None
    return value.type.static_shape


Step: TypeAlias = Callable[[Maker, str], "list[Value] | None"]


def _unary(m: Maker, op: str) -> list[Value] | None:
    x = m.value()
    return None if x is None else m.op(op, x)


def _clip(m: Maker, op: str) -> list[Value] | None:
    x = m.value()
    low = m.scalar(m.pick([0, -1])) if m.flag() else None
    return None if x is None else m.op(op, x, low, m.scalar(m.pick([1, 6])) if m.flag() else None)


def _binary(m: Maker, op: str) -> list[Value] | None:
    x = m.value()
    if x is None:
        return None
    if op != "Div" and m.flag():
        return m.op(op, x, m.like(x))
    shape = shape_of(x)
    start = m.number(0, len(shape))
    other = m.positive(*(d if m.flag() else 1 for d in shape[start:]))
    return m.op(op, x, other) if op == "Div" or m.flag() else m.op(op, other, x)


def _variadic(m: Maker, op: str) -> list[Value] | None:
    x = m.value()
    return None if x is None else m.op(op, *[x, *(m.like(x) for _ in range(m.number(0, 2)))])


def _prelu(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=2)
    return None if x is None else m.op(op, x, m.const(shape_of(x)[1], *[1] * (len(shape_of(x)) - 2)))


def _softmax(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    return None if x is None else m.op(op, x, axis=m.number(-len(shape_of(x)), len(shape_of(x)) - 1))


def _window(m: Maker, x: Value) -> dict[str, Any]:
    kernel = [m.number(1, min(3, d)) for d in shape_of(x)[2:]]
    pads = [m.number(0, min(1, k - 1)) for k in (*kernel, *kernel)]
    return {"kernel_shape": tuple(kernel), "strides": (m.number(1, 2), m.number(1, 2)), "pads": tuple(pads)}


def _conv(m: Maker, op: str) -> list[Value] | None:
    x = m.value(4)
    if x is None:
        return None
    c = shape_of(x)[1]
    group = m.pick([1, 1, c])
    window = _window(m, x)
    width = m.pick([1, 3, 4, 16])
    outputs = width if group == 1 else group * m.number(1, 2)
    filters = (outputs, c // group) if op == "Conv" else (c, outputs // group)
    bias = m.const(outputs) if m.flag() else None
    y = m.op(op, x, m.const(*filters, *window["kernel_shape"]), bias, group=group, **window)
    return [*y, *m.op("Relu", y[0])] if op == "Conv" and m.number(0, 2) == 0 else y


def _residual(m: Maker, op: str) -> list[Value] | None:
    x = m.value(4)
    if x is None:
        return None
    c = shape_of(x)[1]
    (y,) = m.op("Conv", x, m.const(c, c, 3, 3), m.const(c), pads=(1, 1, 1, 1))
    (total,) = m.op("Add", *((x, y) if m.flag() else (y, x)))
    return m.op("Relu", total)


def _pool(m: Maker, op: str) -> list[Value] | None:
    x = m.value(4)
    return None if x is None else m.op(op, x, **_window(m, x))


def _global(m: Maker, op: str) -> list[Value] | None:
    x = m.value(4)
    return None if x is None else m.op(op, x)


def _batch_norm(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=2)
    if x is None:
        return None
    c = shape_of(x)[1]
    return m.op(op, x, m.const(c), m.const(c), m.const(c), m.positive(c))


def _instance_norm(m: Maker, op: str) -> list[Value] | None:
    x = m.value(4)
    c = 0 if x is None else shape_of(x)[1]
    return None if x is None else m.op(op, x, m.const(c), m.const(c), epsilon=0.01)


def _layer_norm(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    c = 0 if x is None else shape_of(x)[-1]
    return None if x is None else m.op(op, x, m.const(c), m.const(c), epsilon=0.01)


def _lrn(m: Maker, op: str) -> list[Value] | None:
    x = m.value(4)
    return None if x is None else m.op(op, x, size=3)


def _gemm(m: Maker, op: str) -> list[Value] | None:
    x = m.value(2)
    if x is None:
        return None
    rows, columns, turned = shape_of(x)[1], m.pick([1, 3, 16]), m.number(0, 1)
    w = m.const(*((columns, rows) if turned else (rows, columns)))
    return m.op(op, x, w, m.const(columns) if m.flag() else None, transB=turned, alpha=m.pick([1.0, 0.5]))


def _matmul(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=2)
    return None if x is None else m.op(op, x, m.const(shape_of(x)[-1], m.pick([1, 3, 16])))


def _reduce(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    if x is None:
        return None
    return m.op(op, x, m.ints(m.number(0, len(shape_of(x)) - 1)), keepdims=m.number(0, 1))


def _concat(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    if x is None:
        return None
    return m.op(op, *([x] if m.number(0, 3) == 0 else [x, m.like(x)]), axis=m.number(0, len(shape_of(x)) - 1))


def _split(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    axes = [] if x is None else [a for a, d in enumerate(shape_of(x)) if d % 2 == 0]
    return m.op(op, x, outputs=2, axis=m.pick(axes), num_outputs=2) if axes else None


def _slice(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    if x is None:
        return None
    axis = m.number(0, len(shape_of(x)) - 1)
    start = m.number(0, shape_of(x)[axis] - 1)
    return m.op(op, x, m.ints(start), m.ints(m.pick([start + 1, 2**62])), m.ints(axis))


def _transpose(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    return None if x is None else m.op(op, x, perm=tuple(map(int, m.rng.permutation(len(shape_of(x))))))


def _reshape(m: Maker, op: str) -> list[Value] | None:
    x = m.value()
    if x is None:
        return None
    shape = shape_of(x)
    if len(shape) == 4 and m.flag():
        return m.op(op, x, m.ints(shape[0], -1))
    left, target = int(np.prod(shape)), []
    for _ in range(m.number(0, 3)):
        target.append(m.pick([d for d in range(1, left + 1) if left % d == 0]))
        left //= target[-1]
    return m.op(op, x, m.ints(*target, left))


def _flatten(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    return None if x is None else m.op(op, x, axis=m.number(0, 1))


def _unsqueeze(m: Maker, op: str) -> list[Value] | None:
    x = m.value()
    if x is None or len(shape_of(x)) > 3:
        return None
    return m.op(op, x, m.ints(m.number(0, len(shape_of(x)))))


def _squeeze(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    ones = [] if x is None else [a for a, d in enumerate(shape_of(x)) if d == 1]
    return m.op(op, x, m.ints(m.pick(ones))) if ones else None


def _pad(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    if x is None:
        return None
    amounts = [m.number(0, 1) for _ in range(2 * len(shape_of(x)))]
    return m.op(op, x, m.ints(*amounts), m.scalar(m.pick([0, 1])) if m.flag() else None)


def _expand(m: Maker, op: str) -> list[Value] | None:
    x = m.value()
    return None if x is None else m.op(op, x, m.ints(*(2 if d == 1 else d for d in shape_of(x))))


def _gather(m: Maker, op: str) -> list[Value] | None:
    x = m.value(least=1)
    if x is None:
        return None
    axis = m.number(0, len(shape_of(x)) - 1)
    places = [m.number(0, shape_of(x)[axis] - 1) for _ in range(m.number(1, 3))]
    return m.op(op, x, m.ints(*places), axis=axis)


#: Operator -> the step that adds one.
STEPS: dict[str, Step] = {
    **dict.fromkeys(
        ("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "LeakyRelu", "HardSigmoid", "HardSwish", "Softplus", "Softsign",
         "Elu", "Selu", "Gelu", "Mish", "Erf", "Identity", "Sin", "Cos", "Atan", "Celu", "Swish"), _unary,
    ),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _binary),
    **dict.fromkeys(("Max", "Min", "Sum", "Mean"), _variadic),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("Conv", "ConvTranspose"), _conv),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1"), _reduce),
    "Clip": _clip, "PRelu": _prelu, "BatchNormalization": _batch_norm, "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm, "LRN": _lrn, "Gemm": _gemm, "MatMul": _matmul, "Concat": _concat,
    "Split": _split, "Slice": _slice, "Transpose": _transpose, "Reshape": _reshape, "Flatten": _flatten,
    "Unsqueeze": _unsqueeze, "Squeeze": _squeeze, "Pad": _pad, "Expand": _expand, "Gather": _gather,
}  # fmt: skip
#: Operators that change shapes and nothing else: they lead from one of a backend's operators to the next.
_SHAPERS = ("Concat", "Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
#: Orpheus's fused operators -> the parts they arise from in the passes.
_FUSED = {"FusedConv": _residual}
_PARTS = {
    "FusedConv": ("Conv", "Relu", "Add"),
    "FusedGemm": ("Gemm", "Relu"),
    "FusedMatMul": ("MatMul", "Add"),
}


def known_ops(ops: Iterable[str]) -> tuple[str, ...]:
    """Those operators of ``ops`` that a graph depends on, in order and once."""
    return tuple(sorted(set(ops) & {*STEPS, *_FUSED, *_PARTS}))


def make_graph(
    seed: int, steps: int, ops: Collection[str], dtype: DType, outputs: Collection[int] = ()
) -> Graph | None:
    """A graph of at most ``steps`` steps from the operators ``ops``; None when none of them can be put in a graph.

    ``outputs``: the places of those that are kept, with what they depend on; all when empty.
    """
    own = sorted({o for op in ops for o in _PARTS.get(op, (op,))} & set(STEPS))
    if not own:
        return None
    m = Maker(seed, dtype)
    alone = m.flag()
    shapers = [s for s in _SHAPERS if s in own] if alone else list(_SHAPERS)
    fused = [(op, step) for op, step in _FUSED.items() if op in ops or ("Conv" in own and not alone)]
    for _ in range(steps):
        name = m.pick(shapers) if shapers and m.number(0, 4) == 0 else m.pick(own)
        step = STEPS[name]
        if fused and m.number(0, 9) == 0:
            name, step = m.pick(fused)
        _add(m, name, step)
    return _finish(m, outputs)


def graph_of(recipe: GraphRecipe) -> Graph | None:
    """The graph of a recipe."""
    return make_graph(recipe.seed, recipe.steps, recipe.ops, DType(recipe.dtype), recipe.outputs)


def _add(m: Maker, name: str, step: Step) -> None:
    before = len(m.nodes)
    try:
        results = step(m, name)
    except OrpheusError:
        # The draw broke a rule of the operator: it leaves no trace, and the next step draws on.
        del m.nodes[before:]
        return
    for value in results or ():
        if isinstance(value.type, TensorType) and 0 < (value.type.size or 0) <= LARGEST:
            m.values.append(value)


def _finish(m: Maker, kept: Collection[int]) -> Graph | None:
    """Outputs: what nobody reads, and one value from within."""
    made = [v for v in m.values if v not in m.inputs]
    if not made:
        return None
    read = {v for node in m.nodes for v in node.reads}
    ends = [v for v in made if v not in read]
    found = dict.fromkeys([*ends[-3:], m.pick(made)])
    outputs = [v for place, v in enumerate(found) if not kept or place in kept]
    if not outputs:
        return None
    needed = _upstream(m.nodes, outputs)
    return Graph(tuple(m.inputs), tuple(outputs), tuple(needed), "random")


def mark_of(graph: Graph) -> int:
    """A checksum of nodes, types and constants: two graphs of one mark are the same."""
    mark = 0
    for value in (*graph.inputs, *graph.outputs):
        mark = crc32(f"{value.name} {value.type}".encode(), mark)
    for node in graph.nodes:
        names = [None if v is None else v.name for v in (*node.inputs, *node.outputs)]
        mark = crc32(f"{node.op} {names} {sorted(node.attributes.items())}".encode(), mark)
        for value in node.reads:
            if value.const is not None:
                mark = crc32(np.ascontiguousarray(value.const).tobytes(), mark)
    return mark


def _upstream(nodes: Sequence[Node], outputs: Sequence[Value]) -> list[Node]:
    """The nodes that outputs depend on."""
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if wanted & set(node.results):
            kept.append(node)
            wanted.update(node.reads)
    return kept[::-1]
