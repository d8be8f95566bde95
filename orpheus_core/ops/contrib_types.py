"""Output types of the contrib operators: shape arithmetic on dimensions that may be symbols or unknown.

Each function takes a node and returns a type for every formal output; what the inputs do not tell is left unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orpheus_core.graph import Node
from orpheus_core.types import UNKNOWN, Dim, DType, TensorType, ValueType

Types = tuple[ValueType, ...]


def _tensor(node: Node, index: int) -> TensorType | None:
    value = node.input(index)
    return value.type if value is not None and isinstance(value.type, TensorType) else None


def _shape(node: Node, index: int) -> tuple[Dim, ...] | None:
    found = _tensor(node, index)
    return None if found is None else found.shape


def _dtype(node: Node, index: int) -> DType | None:
    found = _tensor(node, index)
    return None if found is None else found.dtype


def _typed(dtype: DType | None, shape: Sequence[Dim] | None) -> ValueType:
    return UNKNOWN if dtype is None else TensorType(dtype, None if shape is None else tuple(shape))


def _like(node: Node, index: int) -> ValueType:
    return _typed(_dtype(node, index), _shape(node, index))


def _merge(a: Dim, b: Dim) -> Dim:
    if a in (1, b):
        return b
    if b == 1:
        return a
    # Broadcasting with a number above 1 can only give that number.
    numbers = [d for d in (a, b) if isinstance(d, int)]
    return numbers[0] if numbers else None


def _broadcast(a: tuple[Dim, ...] | None, b: tuple[Dim, ...] | None) -> tuple[Dim, ...] | None:
    if a is None or b is None:
        return None
    rank = max(len(a), len(b))
    ones: tuple[Dim, ...] = (1,) * rank
    return tuple(_merge(x, y) for x, y in zip((ones + a)[len(a) :], (ones + b)[len(b) :]))


def _times(a: Dim, factor: int) -> Dim:
    return a * factor if isinstance(a, int) else None


def _plus(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return a if b == 0 else b if a == 0 else None


def same(node: Node) -> Types:
    """The type of input 0."""
    return (_like(node, 0),)


def broadcast(a: int, b: int) -> Callable[[Node], Types]:
    """Inputs a and b broadcast together, in the element type of a."""
    return lambda node: (_typed(_dtype(node, a), _broadcast(_shape(node, a), _shape(node, b))),)


def quantize(node: Node) -> Types:
    """Input 0's shape in the type of the zero point, else uint8."""
    dtype = DType.UINT8 if node.input(2) is None else _dtype(node, 2)
    return (_typed(dtype, _shape(node, 0)),)


def dequantize(node: Node) -> Types:
    """Input 0's shape in the type of the scale."""
    return (_typed(_dtype(node, 1), _shape(node, 0)),)


def qlinear_concat(node: Node) -> Types:
    """Every third input from 2 on, joined along ``axis``."""
    shapes = [_shape(node, i) for i in range(2, len(node.inputs), 3)]
    known = [s for s in shapes if s is not None]
    if not known or len(known) < len(shapes):
        return (_typed(_dtype(node, 1), None),)
    axis = _int(node, "axis") % len(known[0])
    total: Dim = 0
    for shape in known:
        total = _plus(total, shape[axis])
    return (_typed(_dtype(node, 1), (*known[0][:axis], total, *known[0][axis + 1 :])),)


def _int(node: Node, name: str, default: int = 0) -> int:
    value: Any = node.attributes.get(name, default)
    return int(value)


def _ints(node: Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value: Any = node.attributes.get(name)
    return tuple(int(v) for v in value) if value else default


def _windows(node: Node, spatial: Sequence[Dim], kernel: Sequence[Dim]) -> tuple[Dim, ...]:
    rank = len(spatial)
    strides = _ints(node, "strides", (1,) * rank)
    gaps = _ints(node, "dilations", (1,) * rank)
    mode = node.attributes.get("auto_pad", "NOTSET")
    pads = _ints(node, "pads", (0,) * 2 * rank) if mode in ("NOTSET", "") else (0,) * 2 * rank
    result: list[Dim] = []
    for i, (n, k) in enumerate(zip(spatial, kernel)):
        if not isinstance(n, int) or not isinstance(k, int):
            result.append(None)
        elif mode in ("SAME_UPPER", "SAME_LOWER"):
            result.append(-(-n // strides[i]))
        else:
            slack = n + pads[i] + pads[i + rank] - (k - 1) * gaps[i] - 1
            count = slack // strides[i] + 1
            if _int(node, "ceil_mode") and slack % strides[i] and count * strides[i] < n + pads[i]:
                count += 1
            result.append(count)
    return tuple(result)


def pool(node: Node) -> Types:
    """Windows over the spatial axes of [N, C, ...], or of [N, ..., C] with ``channels_last``."""
    shape = _shape(node, 0)
    if shape is None:
        return (_typed(_dtype(node, 0), None),)
    kernel = _ints(node, "kernel_shape", ())
    if _int(node, "channels_last"):
        found = (shape[0], *_windows(node, shape[1:-1], kernel), shape[-1])
    else:
        found = (*shape[:2], *_windows(node, shape[2:], kernel))
    return (_typed(_dtype(node, 0), found),)


def global_pool(node: Node) -> Types:
    """Every spatial axis becomes 1."""
    shape = _shape(node, 0)
    if shape is not None:
        ones = (1,) * (len(shape) - 2)
        shape = (shape[0], *ones, shape[-1]) if _int(node, "channels_last") else (*shape[:2], *ones)
    return (_typed(_dtype(node, 0), shape),)


def conv(node: Node) -> Types:
    """Convolution of X [N, C, ...] with W [M, C / group, ...]."""
    x, w = _shape(node, 0), _shape(node, 1)
    if x is None or w is None:
        return (_typed(_dtype(node, 0), None),)
    return (_typed(_dtype(node, 0), (x[0], w[0], *_windows(node, x[2:], w[2:]))),)


def _gemm_shape(node: Node, a: int, b: int) -> tuple[Dim, ...] | None:
    left, right = _shape(node, a), _shape(node, b)
    if left is None or right is None or len(left) != 2 or len(right) != 2:
        return None
    return (left[1 if _int(node, "transA") else 0], right[0 if _int(node, "transB") else 1])


def gemm(node: Node) -> Types:
    """[M, N] of A and B."""
    return (_typed(_dtype(node, 0), _gemm_shape(node, 0, 1)),)


def qgemm(node: Node) -> Types:
    """[M, N] in the type of the output's zero point, float32 when there is none."""
    dtype = DType.FLOAT32 if node.input(8) is None else _dtype(node, 8)
    return (_typed(dtype, _gemm_shape(node, 0, 3)),)


def matmul(source: int) -> Callable[[Node], Types]:
    """Numpy's matmul of inputs 0 and 1 with FusedMatMul's transposes, in the element type of input ``source``."""

    def infer(node: Node) -> Types:
        a = _turned(_shape(node, 0), _int(node, "transA"), _int(node, "transBatchA"))
        b = _turned(_shape(node, 1), _int(node, "transB"), _int(node, "transBatchB"))
        if a is None or b is None or not a or not b:
            return (_typed(_dtype(node, source), None),)
        batch = _broadcast(a[:-2], b[:-2]) or ()
        rows = a[-2:-1] if len(a) > 1 else ()
        columns = b[-1:] if len(b) > 1 else ()
        return (_typed(_dtype(node, source), (*batch, *rows, *columns)),)

    return infer


def _turned(shape: tuple[Dim, ...] | None, last: int, batch: int) -> tuple[Dim, ...] | None:
    if shape is None or len(shape) < 2:
        return shape
    if batch:
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if last else shape


def skip_norm(node: Node) -> Types:
    """Output, mean, inverse deviation, and the sum that was normalized."""
    shape = _shape(node, 0)
    row = None if shape is None else (*shape[:-1], 1)
    return (_like(node, 0), _typed(DType.FLOAT32, row), _typed(DType.FLOAT32, row), _like(node, 0))


def embed_norm(node: Node) -> Types:
    """[batch, sequence, hidden], the mask's lengths [batch], and the sum that was normalized."""
    ids, table = _shape(node, 0), _shape(node, 2)
    shape = None if ids is None or table is None else (*ids, table[-1])
    lengths = _typed(DType.INT32, None if ids is None else ids[:1])
    return (_typed(_dtype(node, 2), shape), lengths, _typed(_dtype(node, 2), shape))


def multi_head_attention(node: Node) -> Types:
    """Output [batch, sequence, hidden of value], present key and value, and the products of queries and keys."""
    query, key, value = _shape(node, 0), _shape(node, 1), _shape(node, 2)
    dtype, heads = _dtype(node, 0), _int(node, "num_heads", 1)
    unknown = (_typed(dtype, None),) * 4
    if query is None or (key is None and len(query) != 5):
        return unknown
    batch, length = query[0], query[1]
    if len(query) == 5:  # packed: [batch, sequence, heads, 3, size]
        total, hidden = length, _times(query[4], heads)
    elif key is not None and len(key) == 5:  # packed: [batch, sequence, heads, 2, size]
        total, hidden = key[1], _times(key[4], heads)
    elif key is not None and value is not None:
        total = key[2] if len(key) == 4 else key[1]
        hidden = _times(value[3], heads) if len(value) == 4 else value[2]
    else:
        return unknown
    past = _shape(node, 6)
    if past is not None:
        total = _plus(past[2], total)
    inner = query[4] if len(query) == 5 else _over(query[2], heads)
    present = _typed(dtype, (batch, heads, total, inner))
    present_value = _typed(dtype, (batch, heads, total, _over(hidden, heads)))
    return (_typed(dtype, (batch, length, hidden)), present, present_value,
            _typed(dtype, (batch, heads, length, total)))  # fmt: skip


def _over(a: Dim, divisor: int) -> Dim:
    return a // divisor if isinstance(a, int) else None


def attention(node: Node) -> Types:
    """Output [batch, sequence, hidden of value] and present [2, batch, heads, total, size]."""
    x, w, past = _shape(node, 0), _shape(node, 1), _shape(node, 4)
    dtype, heads = _dtype(node, 0), _int(node, "num_heads", 1)
    sizes = _ints(node, "qkv_hidden_sizes", ())
    if x is None or len(x) != 3:
        return (_typed(dtype, None),) * 2
    hidden: Dim = sizes[2] if sizes else _over(w[1], 3) if w is not None else None
    total = x[1] if past is None else _plus(past[3], x[1])
    present = (2, x[0], heads, total, _over(hidden, heads))
    return (_typed(dtype, (x[0], x[1], hidden)), _typed(dtype, present))
