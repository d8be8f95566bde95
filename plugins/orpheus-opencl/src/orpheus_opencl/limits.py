"""What rules cannot say: None, or why a kernel does not take a layer."""

from __future__ import annotations

from functools import partial
from itertools import dropwhile
from math import ceil, isnan, prod
from types import SimpleNamespace

from orpheus_core.geometry.sampling import untabled
from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_opencl.device import opened
from orpheus_opencl.tiles import BLOCK, TILES, Tile
from orpheus_opencl.tiles import tile as best_tile

_MOST = 2**31 - 1


def _too_large(problem: Problem) -> str | None:
    for type_ in (*problem.inputs, *problem.outputs):
        if isinstance(type_, TensorType) and (type_.size or 0) > _MOST:
            return f"needs at most {_MOST} elements, has {type_.size}"
    return None


def _empty(problem: Problem) -> str | None:
    if any(isinstance(t, TensorType) and t.size == 0 for t in (*problem.inputs, *problem.outputs)):
        return "needs operands with elements, has an empty one"
    return _too_large(problem)


def _negative(w: Window) -> str | None:
    return f"needs pads >= 0, has {w.pads}" if min(w.pads) < 0 else None


def conv(problem: Problem) -> str | None:
    """Any convolution."""
    return _empty(problem) or _negative(window(problem, shape_of(problem.inputs[1])[2:]))


def direct(problem: Problem) -> str | None:
    """One group, or groups of whole blocks."""
    group = int(problem.attributes.get("group", 1))
    m, c = shape_of(problem.inputs[1])[:2]
    if group > 1 and (c % BLOCK or m // group % BLOCK):
        return f"needs groups of whole blocks of {BLOCK} channels and filters, has {c} and {m // group}"
    return conv(problem)


def extent(problem: Problem) -> tuple[int, int, int]:
    """Of a direct convolution's output what tiles divide: blocks of a group's filters, rows, columns."""
    filters = shape_of(problem.inputs[1])[0] // int(problem.attributes.get("group", 1))
    rows, columns = flattened(window(problem, shape_of(problem.inputs[1])[2:])).y
    return ceil(filters / BLOCK), rows, columns


def flattened(w: Window) -> Window:
    """One of a single element knows no rows: all of the plane is one."""
    if prod(w.size) > 1 or prod(w.strides) > 1 or any(w.pads):
        return w
    line = (1, prod(w.x))
    return Window(line, (1, 1), line, (1, 1), (1, 1), (0, 0, 0, 0))


def _tiled(tile: Tile, problem: Problem) -> str | None:
    refusal = direct(problem)
    if refusal:
        return refusal
    device, found = opened(problem.outputs[0].device.index), extent(problem)  # type: ignore[union-attr]
    wanted = (tile.blocks, tile.rows, tile.columns)
    if any(n > there for n, there in zip(wanted, found)):
        return f"needs blocks of filters, rows and columns >= {wanted}, has {found}"
    return "direct takes this tile here" if tile == best_tile(device, *found) else None


#: Limits of direct with a tile that is not its own choice, by the kernel's name.
tiled = SimpleNamespace(**{t.name: partial(_tiled, t) for t in TILES})


def winograd(problem: Problem) -> str | None:
    """Pads of at most half the kernel; its size, one group, stride and dilation 1 are rules of the form."""
    refusal = conv(problem)
    if refusal:
        return refusal
    w = window(problem, shape_of(problem.inputs[1])[2:])
    if any(pad > taps // 2 for pad, taps in zip(w.pads, w.size * 2)):
        # A window that sees little but its border would be given its whole tile's rounding.
        return f"needs pads of at most half the kernel, has {w.pads}"
    return None


def depthwise(problem: Problem) -> str | None:
    """One channel and one filter a group."""
    group, channels = int(problem.attributes.get("group", 1)), shape_of(problem.inputs[0])[1]
    m, c = shape_of(problem.inputs[1])[:2]
    if not (group == channels == m and c == 1):
        return f"needs group == channels == filters, has {group}, {channels} and {m}"
    return conv(problem)


def scale_shift(problem: Problem) -> str | None:
    """Elements to scale."""
    return _empty(problem)


def pool(problem: Problem) -> str | None:
    """Windows that hold an element of X each; the position of a maximum is not told."""
    if len(problem.outputs) > 1 and problem.outputs[1] is not None:
        return "needs Indices to be left out"
    found = _empty(problem)
    if found or "Global" in problem.op:
        return found
    w = window(problem, tuple(problem.attributes["kernel_shape"]))
    spans = [(k - 1) * d + 1 for k, d in zip(w.size, w.dilations)]
    for x, y, stride, span, before in zip(w.x, w.y, w.strides, spans, w.pads[:2]):
        if before >= span or (y - 1) * stride - before >= x:
            return f"needs windows that begin inside X or reach into it, has pads {w.pads}"
    return _negative(w)


def product(problem: Problem) -> str | None:
    """Matrices with elements."""
    return _empty(problem)


def same(problem: Problem) -> str | None:
    """Operands of one shape, or of one element."""
    found = _too_large(problem)
    sizes = {t.static_shape for t in (*problem.inputs, *problem.outputs) if isinstance(t, TensorType)}
    return found or (
        None if len(sizes) == 1 else f"needs operands of one shape, has {sorted(map(str, sizes))}"
    )


def unary(problem: Problem) -> str | None:
    """Bounds of a Clip are known."""
    if any(t is not None and i not in problem.constants for i, t in enumerate(problem.inputs) if i):
        return "needs its bounds to be constant"
    return _too_large(problem)


def scalars(problem: Problem) -> str | None:
    """Constant bounds of one element that are in order and no NaN."""
    found = unary(problem)
    bounds = [float(problem.constants[i].reshape(())) for i in sorted(problem.constants) if i]
    return found or ("needs bounds that are numbers" if any(map(isnan, bounds)) else None)


def moves(problem: Problem) -> str | None:
    """Elements of 1, 2, 4 or 8 bytes."""
    return _too_large(problem)


def gather(problem: Problem) -> str | None:
    """Indices inside the axis."""
    shape, indices = shape_of(problem.inputs[0]), problem.constants[1]
    size = shape[int(problem.attributes.get("axis", 0))]
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        return f"needs indices from {-size} to {size - 1}, has {indices.min()} to {indices.max()}"
    return _too_large(problem)


def blocks(problem: Problem) -> str | None:
    """Concat and Split of channels in whole blocks."""
    pieces = problem.inputs if problem.op == "Concat" else problem.outputs
    rank = len(shape_of(problem.outputs[0]))
    if rank != 4 or int(problem.attributes.get("axis", 0)) % rank != 1:
        return "needs axis 1 of four"
    partial = [shape_of(t)[1] for t in pieces if t is not None and shape_of(t)[1] % BLOCK]
    # What follows the last piece is padding, whatever its size.
    if partial and (len(partial) > 1 or shape_of(pieces[-1])[1] % BLOCK == 0):
        return f"needs pieces of whole blocks of {BLOCK} channels before the last, has {partial[0]}"
    return _too_large(problem)


def reduce(problem: Problem) -> str | None:
    """Something to reduce; axes that are known."""
    if len(problem.inputs) > 1 and problem.inputs[1] is not None and 1 not in problem.constants:
        return "needs axes to be constant"
    return _empty(problem)


def pad(problem: Problem) -> str | None:
    """An X with axes and elements."""
    return _scalar(problem) or _empty(problem)


def pad_planes(problem: Problem) -> str | None:
    """Around planes alone, and with zeros, as the padding of channels is."""
    value = float(problem.constants[2].reshape(())) if 2 in problem.constants else 0.0
    if value != 0 and problem.attributes.get("mode", "constant") == "constant":
        return f"needs constant_value == 0, has {value}"
    return _empty(problem) or _planes(problem)


def resize(problem: Problem) -> str | None:
    """No region of interest, sides of at least one element."""
    return untabled(problem) or _scalar(problem) or _empty(problem)


def resize_planes(problem: Problem) -> str | None:
    """The same, of planes alone."""
    return resize(problem) or _planes(problem)


def _scalar(problem: Problem) -> str | None:
    return None if shape_of(problem.inputs[0]) else "needs an axis, has a scalar"


def _planes(problem: Problem) -> str | None:
    x, y = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
    return (
        None
        if len(x) == 4 and x[:2] == y[:2]
        else f"needs planes of four axes alone to change, has {x} and {y}"
    )


def normal(problem: Problem) -> str | None:
    """Scale and bias of X's type and of the shape that is normalised; no second output."""
    if any(t is not None for t in problem.outputs[1:]):
        return "needs Mean and InvStdDev to be left out"
    types = [str(t.dtype) for t in problem.inputs if isinstance(t, TensorType)]
    if len(set(types)) > 1:
        return f"needs X and scale of one type, has {types}"
    shape = shape_of(problem.inputs[0])
    lines = problem.op in ("LayerNormalization", "RMSNormalization")
    wanted = shape[int(problem.attributes.get("axis", -1)) % len(shape) :] if lines else shape[1:2]
    for type_ in problem.inputs[1:]:
        if type_ is not None and _core(shape_of(type_)) != _core(wanted):
            return f"needs scale and bias of {list(wanted)}, has {list(shape_of(type_))}"
    return _empty(problem)


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the ones in front, which broadcasting does not count."""
    return tuple(dropwhile(lambda side: side == 1, shape))


def cast(problem: Problem) -> str | None:
    """Between float32 and float16."""
    types = [str(t.dtype) for t in (problem.inputs[0], problem.outputs[0]) if isinstance(t, TensorType)]
    if sorted(types) != ["float16", "float32"]:
        return f"needs float32 and float16, has {' and '.join(types)}"
    return _too_large(problem)


def elements(problem: Problem) -> int:
    """Of all operands, for costs."""
    return sum(prod(shape_of(t)) for t in (*problem.inputs, *problem.outputs) if t is not None)
