"""What rules cannot say: None, or why a kernel does not take a layer."""

from __future__ import annotations

from functools import partial
from math import ceil, isnan, prod
from types import SimpleNamespace

from orpheus_core.geometry.cook_toom import FORMS, Form
from orpheus_core.geometry.sampling import untabled
from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType
from orpheus_cuda.operands import AT

_MOST = 2**31 - 1
#: Blocks along the second and third axis of a grid, shares of K among them.
_PLANES = 65535 // 32
_WIDEST = 16
_LONGEST = 1 << 15
#: Bytes of transformed tiles, in Winograd's convolutions.
_TILES = 1 << 30


def small(problem: Problem) -> str | None:
    """Tensors whose elements 32 bits can count."""
    for type_ in (*problem.inputs, *problem.outputs):
        if isinstance(type_, TensorType) and (type_.size or 0) > _MOST:
            return f"needs at most {_MOST} elements, has {type_.size}"
    return None


def filled(problem: Problem) -> str | None:
    """Tensors with elements, not too many."""
    if any(isinstance(t, TensorType) and t.size == 0 for t in (*problem.inputs, *problem.outputs)):
        return "needs operands with elements, has an empty one"
    return small(problem)


def clip(problem: Problem) -> str | None:
    """Constant bounds that are numbers."""
    bounds = [float(problem.constants[i].reshape(())) for i in sorted(problem.constants) if i]
    return small(problem) or ("needs bounds that are numbers" if any(map(isnan, bounds)) else None)


def pair(problem: Problem) -> str | None:
    """Two operands, of an operator that takes any number of them."""
    count = len(problem.inputs)
    return small(problem) or (None if count == 2 else f"needs two operands, has {count}")


def product(problem: Problem) -> str | None:
    """Matrices with elements, not more than a grid has planes."""
    shape = shape_of(problem.outputs[0])
    many = prod(shape[:-2]) if "MatMul" in problem.op else 1
    return filled(problem) or (f"needs at most {_PLANES} matrices, has {many}" if many > _PLANES else None)


def _spatial(problem: Problem, w: Window) -> str | None:
    return f"needs pads >= 0, has {w.pads}" if min(w.pads) < 0 else None


def conv(problem: Problem) -> str | None:
    """Any convolution with elements."""
    if int(problem.attributes.get("group", 1)) > _PLANES:
        return f"needs at most {_PLANES} groups"
    return filled(problem) or _spatial(problem, window(problem, shape_of(problem.inputs[1])[2:]))


def _winograd(form: Form, problem: Problem) -> str | None:
    """Pads of at most half the kernel, and tiles that fit into 1 GiB; the rest are rules of the form."""
    refusal = conv(problem)
    if refusal:
        return refusal
    kernel = shape_of(problem.inputs[1])[2:]
    w = window(problem, kernel)
    if any(pad > taps // 2 for pad, taps in zip(w.pads, w.size * 2)):
        # A window that sees little but its border would be given its whole tile's rounding.
        return f"needs pads of at most half the kernel, has {w.pads}"
    (n, m, p, q), c = shape_of(problem.outputs[0]), shape_of(problem.inputs[1])[1]
    nbytes = 4 * form.elements * (m + c) * n * ceil(p / form.rows.out) * ceil(q / form.cols.out)
    return f"needs tiles of at most {_TILES >> 20} MiB, has {nbytes >> 20}" if nbytes > _TILES else None


#: By the name of the form's kernel.
winograd = SimpleNamespace(**{name: partial(_winograd, form) for name, form in FORMS.items()})


def depthwise(problem: Problem) -> str | None:
    """One channel and one filter a group, a window that a thread can hold."""
    group, channels = int(problem.attributes.get("group", 1)), shape_of(problem.inputs[0])[1]
    m, c = shape_of(problem.inputs[1])[:2]
    if not (group == channels == m and c == 1):
        return f"needs group == channels == filters, has {group}, {channels} and {m}"
    found = filled(problem)
    if found:
        return found
    w = window(problem, shape_of(problem.inputs[1])[2:])
    if w.size[1] > _WIDEST or w.dilations[1] > _WIDEST:
        return f"needs windows of at most {_WIDEST} columns, that far apart, has {w.size[1]} and {w.dilations[1]}"
    if w.y[0] > _PLANES or shape_of(problem.outputs[0])[0] > _PLANES:
        return f"needs at most {_PLANES} rows and images"
    return _spatial(problem, w)


def pool(problem: Problem) -> str | None:
    """Windows that hold an element of X each; the position of a maximum is not told."""
    if len(problem.outputs) > 1 and problem.outputs[1] is not None:
        return "needs Indices to be left out"
    found = filled(problem)
    if found:
        return found
    w = window(problem, tuple(problem.attributes["kernel_shape"]))
    spans = [(k - 1) * d + 1 for k, d in zip(w.size, w.dilations)]
    for x, y, stride, span, before in zip(w.x, w.y, w.strides, spans, w.pads[:2]):
        if before >= span or (y - 1) * stride - before >= x:
            return f"needs windows that begin inside X or reach into it, has pads {w.pads}"
    return _spatial(problem, w)


def normal(problem: Problem) -> str | None:
    """Scale and bias of the shape that is normalised; no second output."""
    if any(t is not None for t in problem.outputs[1:]):
        return "needs Mean and InvStdDev to be left out"
    shape = shape_of(problem.inputs[0])
    if problem.op in ("LayerNormalization", "RMSNormalization"):
        wanted: tuple[int, ...] = shape[int(problem.attributes.get("axis", -1)) % len(shape) :]
    else:
        wanted = shape[1:2]
    for given in (shape_of(t) for t in problem.inputs[1:] if t is not None):
        # One that broadcasts may have as many elements and mean others.
        if any(n != 1 for n in given[: -len(wanted)]) or given[-len(wanted) :] != wanted:
            return f"needs scale and bias of {list(wanted)}, has {list(given)}"
    return filled(problem)


def axes(problem: Problem) -> str | None:
    """Something to reduce; axes that are known."""
    if len(problem.inputs) > 1 and problem.inputs[1] is not None and 1 not in problem.constants:
        return "needs axes to be constant"
    return filled(problem)


def indices(problem: Problem) -> str | None:
    """Known indices inside the axis, and no batches."""
    if problem.attributes.get("batch_dims"):
        return f"needs batch_dims == 0, has {problem.attributes['batch_dims']}"
    shape, given = shape_of(problem.inputs[0]), problem.constants.get(1)
    if given is not None and given.size and problem.op == "Gather":
        size = shape[int(problem.attributes.get("axis", 0))]
        if not -size <= given.min() <= given.max() < size:
            return f"needs indices from {-size} to {size - 1}, has {given.min()} to {given.max()}"
    return filled(problem)


def resize(problem: Problem) -> str | None:
    """No region of interest, sides of at least one element."""
    return untabled(problem) or filled(problem)


def ranked(problem: Problem) -> str | None:
    """An axis short enough to compare each element with all others."""
    shape = shape_of(problem.inputs[0])
    length = shape[int(problem.attributes.get("axis", -1))] if shape else 0
    return small(problem) or (
        None if 0 < length <= _LONGEST else f"needs an axis of 1 to {_LONGEST} elements, has {length}"
    )


def integers(problem: Problem) -> str | None:
    """Constant weights around zero, one zero point of X, one scale of X and of Y."""
    at = AT[problem.op]
    w, known = problem.inputs[at["w"]], problem.constants
    assert isinstance(w, TensorType)
    for name, index in at.items():
        given = problem.inputs[index] if index < len(problem.inputs) else None
        if given is not None and index not in known:
            return f"needs {name} to be constant"
        if name not in ("w", "w_scale", "bias") and index in known and known[index].size != 1:
            return f"needs {name} to have one element, has {known[index].size}"
    zero = int(known[at["w_zero"]].reshape(())) if at["w_zero"] in known else 0
    middle = 128 if w.dtype is DType.UINT8 else 0
    if zero != middle:
        return f"needs weights of {w.dtype} around {middle}, has a zero point of {zero}"
    found = filled(problem)
    if found is None and "MatMul" in problem.op:
        rank = len(shape_of(problem.inputs[0]))
        return None if len(shape_of(w)) == 2 and rank > 1 else "needs A of two axes or more, and B of two"
    if found is None and int(problem.attributes.get("group", 1)) > _PLANES:
        return f"needs at most {_PLANES} groups"
    return found or _spatial(problem, window(problem, shape_of(w)[2:]))


def pointwise(problem: Problem) -> str | None:
    """A convolution that is a matrix product."""
    w = window(problem, shape_of(problem.inputs[1])[2:])
    if w.size != (1, 1) or w.strides != (1, 1) or any(w.pads) or int(problem.attributes.get("group", 1)) != 1:
        return "needs windows of 1 x 1, strides of 1, no padding and one group"
    if len(problem.outputs) > 1 and problem.outputs[1] is not None:
        return "needs the second output to be left out"
    scaled = [t for t in (*problem.inputs, None, None, None, None)[4:6] if t is not None]
    return "needs scale and shift to be left out" if scaled else None
