"""Random valid graphs for Hypothesis: directed acyclic, small, with the patterns that passes look for."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from passes.building import Builder

from orpheus_core.graph import Value
from orpheus_core.ops import make_node
from orpheus_core.types import DType

_LARGEST = 600  # elements of a value


class _Maker:
    """Decides by one seed: Hypothesis's own choices repeat themselves too much to reach deep graphs."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.dtype = self.pick([DType.FLOAT32, DType.FLOAT64])
        self.b = Builder()
        self.values = []

    def pick(self, options):
        options = list(options)
        return options[self.number(0, len(options) - 1)]

    def number(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def flag(self):
        return bool(self.number(0, 1))

    def const(self, *shape):
        """Constants of ordinary size, with the special numbers among them."""
        kind = self.pick(["random", "random", "random", "zero", "minus zero", "one"])
        array = {"zero": np.zeros(shape), "minus zero": -np.zeros(shape), "one": np.ones(shape)}.get(kind)
        array = self.rng.normal(size=shape) if array is None else array
        return self.b.const(array, self.dtype.numpy)

    def scalar(self, number):
        return self.b.const(np.array(number, self.dtype.numpy))

    def value(self, rank=None):
        """A value to read, the later the likelier."""
        fits = [v for v in self.values if rank is None or v.type.rank == rank]
        return fits[-1 - min(self.number(0, 3), len(fits) - 1)] if fits else None

    def step(self):
        """Add one operator or pattern where one fits."""
        make = self.pick(_STEPS)
        results = make(self)
        for value in results if isinstance(results, tuple) else (results,):
            if value is not None and 0 < (value.type.size or 0) <= _LARGEST:
                self.values.append(value)


def _shape(value):
    return value.type.static_shape


def _unary(m):
    op = m.pick(
        ["Relu", "Sigmoid", "Tanh", "Abs", "Neg", "LeakyRelu", "HardSigmoid", "Softplus", "Elu", "Identity"]
    )
    return m.b.op(op, m.value())


def _clip(m):
    low = m.scalar(m.pick([0, -1, -np.inf])) if m.flag() else None
    high = m.scalar(m.pick([1, 6, np.inf])) if m.flag() else None
    return m.b.op("Clip", m.value(), low, high)


def _cast(m):
    x = m.value()
    if m.flag():
        return m.b.op("Cast", x, to=m.dtype.onnx)
    return m.b.op("Cast", m.b.op("Cast", x, to=DType.FLOAT64.onnx), to=m.dtype.onnx)


def _dropout(m):
    return m.b.op("Dropout", m.value(), m.b.const(np.float32(0.5)), m.b.const(np.bool_(False)))


def _binary_const(m):
    x = m.value()
    shape = _shape(x)
    start = m.number(0, len(shape))
    small = [d if m.flag() else 1 for d in shape[start:]]
    if m.number(0, 5) == 0:
        small = [2, *small] if len(small) == len(shape) else [m.number(2, 3) if d == 1 else d for d in shape]
    op, constant = m.pick(["Add", "Sub", "Mul", "Max"]), m.const(*small)
    return m.b.op(op, x, constant) if m.flag() else m.b.op(op, constant, x)


def _channel_const(m):
    x = m.value()
    shape = _shape(x)
    if len(shape) < 3:
        return None
    return m.b.op(m.pick(["Add", "Mul", "Sub"]), x, m.const(shape[1], *[1] * (len(shape) - 2)))


def _scale(m):
    op = m.pick(["Div", "Mul", "Pow"])
    return m.b.op(op, m.value(), m.scalar(1 if op == "Pow" else m.pick([1, 2, -0.5])))


def _binary(m):
    x = m.value()
    same = [v for v in m.values if _shape(v) == _shape(x)]
    return m.b.op(m.pick(["Add", "Mul", "Sub", "Max", "Min"]), x, m.pick(same))


def _where(m):
    x = m.value()
    y = m.pick([v for v in m.values if _shape(v) == _shape(x)])
    return m.b.op("Where", m.b.op("Less", x, m.scalar(0)), x, y)


def _batch_norm(m):
    x = m.value()
    return _norm(m, x) if x.type.rank >= 2 else None


def _norm(m, x):
    c = _shape(x)[1]
    variance = m.b.const(m.rng.uniform(0.5, 2, c), m.dtype.numpy)
    return m.b.op("BatchNormalization", x, m.const(c), m.const(c), m.const(c), variance)


def _spatial(m):
    return m.value(4)


def _conv(m):
    x = _spatial(m)
    if x is None:
        return None
    _, c, h, w = _shape(x)
    group = m.pick([g for g in (1, c) if c % g == 0])
    k = m.number(1, min(3, h, w))
    outputs = group * m.number(1, 3)
    attributes = {"group": group, "strides": (m.number(1, 2),) * 2}
    mode = m.pick(["none", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if mode == "pads":
        attributes["pads"] = tuple(m.number(0, 1) for _ in range(4))
    elif mode != "none":
        attributes["auto_pad"] = mode
    bias = m.const(outputs) if m.flag() else None
    return m.b.op("Conv", x, m.const(outputs, c // group, k, k), bias, **attributes)


def _conv_norm(m):
    x = _spatial(m)
    if x is None:
        return None
    c = _shape(x)[1]
    if m.flag():
        x = _norm(m, x)
    y = m.b.op("Conv", x, m.const(3, c, 1, 1), m.const(3) if m.flag() else None)
    y = _norm(m, y) if m.flag() else m.b.op("Mul", y, m.const(3, 1, 1))
    return m.b.op("Relu", y) if m.flag() else y


def _siblings(m):
    x = _spatial(m)
    if x is None:
        return None
    c = _shape(x)[1]
    return tuple(m.b.op("Conv", x, m.const(m.number(1, 3), c, 1, 1), strides=(1, 1)) for _ in range(2))


def _residual(m):
    x = _spatial(m)
    if x is None:
        return None
    c = _shape(x)[1]
    y = m.b.op("Conv", x, m.const(c, c, 1, 1))
    return m.b.op("Relu", m.b.op("Add", *((x, y) if m.flag() else (y, x))))


def _pool(m):
    x = _spatial(m)
    if x is None:
        return None
    k = m.number(1, min(3, *_shape(x)[2:]))
    attributes = {"kernel_shape": (k, k), "strides": (m.number(1, 2),) * 2}
    if k > 1 and m.flag():
        attributes["pads"] = (1, 1, 1, 1)
    op = m.pick(["MaxPool", "AveragePool"])
    if op == "AveragePool":
        attributes["count_include_pad"] = m.number(0, 1)
    return m.b.op(op, x, **attributes)


def _pad(m):
    x = m.value()
    shape = _shape(x)
    free = 2 if len(shape) == 4 and m.flag() else 0
    amounts = [0 if i % len(shape) < free else m.number(0, 1) for i in range(2 * len(shape))]
    fill = m.scalar(m.pick([0, 0, 1])) if m.flag() else None
    return m.b.op("Pad", x, m.b.ints(*amounts), fill)


def _padded_pool(m):
    x = _spatial(m)
    if x is None:
        return None
    x = m.b.op("Relu", x) if m.flag() else x
    fill = m.pick([None, m.scalar(0), m.scalar(-np.inf), m.scalar(1)])
    y = m.b.op("Pad", x, m.b.ints(0, 0, 1, 1, 0, 0, 1, 1), fill)
    op = m.pick(["MaxPool", "AveragePool"])
    return m.b.op(op, y, kernel_shape=(2, 2), strides=(1, 1))


def _concat(m):
    x = m.value()
    if x.type.rank == 0:
        return None
    y = m.pick([v for v in m.values if _shape(v) == _shape(x)])
    return m.b.op("Concat", *([x] if m.number(0, 3) == 0 else [x, y]), axis=m.number(0, x.type.rank - 1))


def _slice(m):
    x = m.value()
    if x.type.rank == 0:
        return None
    axis = m.number(0, x.type.rank - 1)
    size = _shape(x)[axis]
    start = m.number(0, size - 1)
    return m.b.op("Slice", x, m.b.ints(start), m.b.ints(m.pick([start + 1, size, 2**62])), m.b.ints(axis))


def _split(m):
    x = m.value()
    axes = [a for a, d in enumerate(_shape(x)) if d % 2 == 0]
    return m.b.op("Split", x, outputs=2, axis=m.pick(axes), num_outputs=2) if axes else None


def _transpose(m):
    x = m.value()
    perms = {4: [(0, 2, 3, 1), (0, 3, 1, 2)], 3: [(0, 2, 1)]}.get(x.type.rank)
    perm = m.pick(perms) if perms and m.flag() else m.rng.permutation(x.type.rank)
    return m.b.op("Transpose", x, perm=tuple(int(p) for p in perm)) if x.type.rank else None


def _channels_last(m):
    """What frameworks with channels last export around an operator."""
    x = _spatial(m)
    if x is None:
        return None
    y = m.b.op("Transpose", x, perm=(0, 2, 3, 1))
    c = _shape(x)[1]
    y = m.pick([
        lambda: m.b.op("Relu", y),
        lambda: m.b.op("Add", y, m.const(c)),
        lambda: m.b.op("Softmax", y, axis=-1),
        lambda: m.b.op("ReduceMean", y, m.b.ints(1, 2)),
        lambda: m.b.op("Pad", y, m.b.ints(0, 1, 0, 0, 0, 1, 0, 0)),
        lambda: m.b.op("Concat", y, m.b.op("Tanh", y), axis=3),
        lambda: m.b.op("Slice", y, m.b.ints(0), m.b.ints(1), m.b.ints(-1)),
        lambda: m.b.op("Mul", y, m.b.op("Transpose", m.b.op("Neg", x), perm=(0, 2, 3, 1))),
    ])()  # fmt: skip
    return m.b.op("Transpose", y, perm=(0, 3, 1, 2))


def _reshape(m):
    x = m.value()
    left, shape = x.type.size, []
    while left > 1 and len(shape) < 3:
        shape.append(m.pick([d for d in range(1, left + 1) if left % d == 0]))
        left //= shape[-1]
    shape.append(left)
    if m.flag():
        shape[m.number(0, len(shape) - 1)] = -1
    return m.b.op("Reshape", x, m.b.ints(*shape))


def _computed_reshape(m):
    """Flattening with the arithmetic of shapes that exporters write."""
    x = m.value()
    if x.type.rank < 2:
        return None
    first = m.b.op("Gather", m.b.op("Shape", x), m.b.const(np.int64(0)))
    target = m.b.op("Concat", m.b.op("Unsqueeze", first, m.b.ints(0)), m.b.ints(-1), axis=0)
    return m.b.op("Reshape", x, target)


def _flatten(m):
    return m.b.op("Flatten", m.value(), axis=m.number(0, 1)) if m.values[-1].type.rank else None


def _unsqueeze(m):
    x = m.value()
    return m.b.op("Unsqueeze", x, m.b.ints(m.number(0, x.type.rank))) if x.type.rank < 5 else None


def _squeeze(m):
    x = m.value()
    ones = [a for a, d in enumerate(_shape(x)) if d == 1]
    return m.b.op("Squeeze", x, m.b.ints(m.pick(ones))) if ones else None


def _expand(m):
    x = m.value()
    return m.b.op("Expand", x, m.b.op("Shape", x) if m.flag() else m.b.ints(1))


def _softmax(m):
    x = m.value()
    return m.b.op("Softmax", x, axis=m.number(-x.type.rank, x.type.rank - 1)) if x.type.rank else None


def _reduce(m):
    x = m.value()
    if not x.type.rank:
        return None
    axis = m.number(0, x.type.rank - 1)
    return m.b.op(
        m.pick(["ReduceMean", "ReduceSum", "ReduceMax"]), x, m.b.ints(axis), keepdims=m.number(0, 1)
    )


def _gemm(m):
    x = m.value(2)
    if x is None:
        return None
    rows = _shape(x)[1]
    columns = m.number(1, 4)
    turned = m.number(0, 1)
    w = m.const(*((columns, rows) if turned else (rows, columns)))
    return m.b.op(
        "Gemm", x, w, m.const(columns) if m.flag() else None, transB=turned, alpha=m.pick([1.0, 0.5])
    )


def _matmul(m):
    x = m.value()
    if x.type.rank < 2:
        return None
    columns = m.number(1, 4)
    y = m.b.op("MatMul", x, m.const(_shape(x)[-1], columns))
    return m.b.op("Add", y, m.const(columns)) if m.flag() else y


def _swish(m):
    x = m.value()
    return m.b.op("Mul", x, m.b.op("Sigmoid", x))


def _hard_swish(m):
    x = m.value()
    gate = m.b.op("Clip", m.b.op("Add", x, m.scalar(3)), m.scalar(0), m.scalar(6))
    return m.b.op("Div", m.b.op("Mul", x, gate), m.scalar(6))


def _gelu(m):
    x = m.value()
    y = m.b.op("Add", m.b.op("Erf", m.b.op("Div", x, m.scalar(math.sqrt(2)))), m.scalar(1))
    return m.b.op("Mul", m.b.op("Mul", x, y), m.scalar(0.5))


def _layer_norm(m):
    x = m.value()
    if x.type.rank < 2:
        return None
    centred = m.b.op("Sub", x, m.b.op("ReduceMean", x, m.b.ints(-1)))
    variance = m.b.op("ReduceMean", m.b.op("Pow", centred, m.scalar(2)), m.b.ints(-1))
    y = m.b.op("Div", centred, m.b.op("Sqrt", m.b.op("Add", variance, m.scalar(1e-2))))
    size = _shape(x)[-1]
    return m.b.op("Add", m.b.op("Mul", y, m.const(size)), m.const(size))


def _constants(m):
    """Something that is constant, but has to be computed."""
    x = m.value()
    c = m.b.op("Mul", m.b.op("Unsqueeze", m.const(), m.b.ints(0)), m.const(1))
    return m.b.op("Add", x, m.b.op("Transpose", c, perm=(0,)))


def _twice(m):
    """The same computation again, for common subexpressions."""
    node = m.pick(m.b.nodes) if m.b.nodes else None
    if node is None or node.subgraphs:
        return None
    results = [Value(m.b.name("again")) for _ in node.outputs]
    m.b.add(node.replace(outputs=tuple(results)))
    floats = [v for v in results if v.type.dtype is m.dtype]
    return tuple(floats)


def _if(m):
    x = m.value()
    condition = m.b.const(np.bool_(m.flag()))
    if m.flag():
        condition = m.b.op("Greater", m.b.op("ReduceSum", x, keepdims=0), m.scalar(0))
    branches = []
    for op in ("Relu", "Neg"):
        inner = m.b.inner()
        y = inner.op(op, x)
        if m.flag():
            y = inner.op("Identity", inner.op("Add", y, m.scalar(0)))
        branches.append(inner.branch(y))
    result = Value(m.b.name("if"))
    attributes = {"then_branch": branches[0], "else_branch": branches[1]}
    m.b.add(make_node("If", [condition], [result], attributes))
    return result


def _loop_never(m):
    x = m.value()
    inner = m.b.inner()
    inner.input(dtype=DType.INT64)
    going, carried = inner.input(dtype=DType.BOOL), inner.input(*_shape(x), dtype=m.dtype)
    y = inner.op("Neg", carried)
    body = inner.graph(inner.op("Identity", going), y, name=m.b.name("body"))
    result = Value(m.b.name("loop"))
    trips = m.b.const(np.int64(0 if m.flag() else 2))
    m.b.add(make_node("Loop", [trips, None, x], [result], {"body": body}))
    return result


_STEPS = [
    _batch_norm, _binary, _binary_const, _cast, _channel_const, _channels_last, _clip, _computed_reshape, _concat,
    _constants, _conv, _conv, _conv_norm, _conv_norm, _dropout, _expand, _flatten, _gelu, _gemm, _hard_swish, _if,
    _layer_norm, _loop_never, _matmul, _pad, _padded_pool, _pool, _reduce, _reshape, _residual, _scale, _siblings,
    _slice, _softmax, _split, _squeeze, _swish, _transpose, _twice, _unary, _unary, _unsqueeze, _where,
]  # fmt: skip


def make_graph(seed, steps):
    """A graph of at most ``steps`` operators or patterns, float32 or float64, with a few outputs."""
    m = _Maker(seed)
    shape = m.pick([(1, 4, 5, 5), (2, 3, 4, 6), (2, 2, 6, 5), (1, 4, 6, 6), (2, 6), (2, 3, 4)])
    m.values += [m.b.input(*shape, dtype=m.dtype) for _ in range(m.number(1, 2))]
    for _ in range(steps):
        m.step()
    read = {v for node in m.b.nodes for v in node.reads}
    made = [v for v in m.values if v not in m.b.inputs] or [m.b.op("Relu", m.values[0])]
    ends = [v for v in made if v not in read]
    outputs = [*ends[-3:], m.pick(made)]
    return m.b.graph(*dict.fromkeys(outputs))


def graphs(steps=20):
    """Graphs that shrink by leaving out the last steps."""
    return st.builds(make_graph, st.integers(0, 2**32), st.integers(1, steps))
