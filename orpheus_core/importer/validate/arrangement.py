"""Operators that move, cut or repeat data: sizes, axes and amounts that fit."""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.graph import Node
from orpheus_core.importer.validate.facts import (
    LARGEST_STEP,
    attribute,
    bad_axes,
    bad_axis,
    const,
    differ,
    differ_anywhere,
    rank,
    shape,
)


def split(node: Node) -> str | None:
    """Split: sizes that add up, one for each output; or a number of parts."""
    axis, dims, sizes = attribute(node, "axis", 0), shape(node, 0), const(node, 1)
    if bad_axis(axis, rank(node, 0)):
        return f"axis {axis} is out of range for rank {rank(node, 0)}"
    if not node.outputs:
        return "has no outputs"
    count = attribute(node, "num_outputs")
    if count is not None and (node.input(1) is not None or count != len(node.outputs)):
        return f"num_outputs is {count}, with {len(node.outputs)} outputs and " + (
            "sizes given too" if node.input(1) is not None else "no sizes"
        )
    if sizes is None:
        return None
    if sizes.ndim != 1 or len(sizes) != len(node.outputs) or (sizes < 0).any():
        return f"split sizes {sizes.tolist()} do not fit {len(node.outputs)} outputs"
    if dims is not None and differ(dims[axis], sum(int(s) for s in sizes)):
        return f"split sizes {sizes.tolist()} do not add up to the {dims[axis]} of axis {axis}"
    return None


def pad(node: Node) -> str | None:
    """Pad: two amounts per axis, results that are not negative, reflection that has enough to reflect."""
    dims, amounts, axes = shape(node, 0), const(node, 1), const(node, 3)
    if amounts is None:
        return None
    if amounts.ndim != 1 or len(amounts) % 2:
        return f"pads have shape {list(amounts.shape)}; they must be two per axis"
    if axes is None and node.input(3) is not None:
        return None
    chosen = list(range(len(amounts) // 2)) if axes is None else [int(a) for a in axes.reshape(-1)]
    if len(chosen) * 2 != len(amounts) or (dims is not None and axes is None and len(chosen) != len(dims)):
        return f"{len(amounts)} pads do not fit {'rank ' + str(rank(node, 0)) if axes is None else f'axes {chosen}'}"
    if dims is None:
        return None
    if bad_axes(chosen, len(dims)):
        return f"axes {chosen} do not fit rank {len(dims)}"
    mode = attribute(node, "mode", "constant")
    for index, axis in enumerate(chosen):
        before, after, size = int(amounts[index]), int(amounts[index + len(chosen)]), dims[axis]
        if max(before, after) > 2**62 or min(before, after) < -(2**62):
            return f"pads {amounts.tolist()} are out of range"
        if not isinstance(size, int):
            continue
        if size + before + after < 0:
            return f"pads take {-before - after} from axis {axis}, which has {size}"
        if mode == "reflect" and max(before, after) >= max(size, 1) and max(before, after) > 0:
            return f"cannot reflect {max(before, after)} elements of axis {axis}, which has {size}"
        if mode in ("edge", "wrap") and size == 0 and max(before, after) > 0:
            return f"axis {axis} is empty; there is nothing to repeat"
    return None


def transpose(node: Node) -> str | None:
    """Transpose: a permutation of the axes."""
    order, dims = attribute(node, "perm"), rank(node, 0)
    if order is None:
        return None
    if sorted(order) != list(range(len(order))) or (dims is not None and len(order) != dims):
        return f"perm {list(order)} is not an order of the axes of rank {dims if dims is not None else len(order)}"
    return None


def reshape(node: Node) -> str | None:
    """Reshape: at most one -1, zeros that have something to copy, as many elements after as before."""
    target, dims = const(node, 1), shape(node, 0)
    if target is None:
        return None
    if target.ndim != 1:
        return f"the new shape must be 1-D, has shape {list(target.shape)}"
    sizes = [int(s) for s in target]
    if any(s < -1 for s in sizes) or sizes.count(-1) > 1:
        return f"the new shape is {sizes}; it may hold one -1 and no other negative number"
    keeps = not attribute(node, "allowzero", 0)
    if not keeps and 0 in sizes and -1 in sizes:
        return f"the new shape {sizes} has both 0 and -1, which allowzero leaves undefined"
    if dims is None:
        return None
    if keeps and any(s == 0 and i >= len(dims) for i, s in enumerate(sizes)):
        return f"the new shape {sizes} keeps a dimension that rank {len(dims)} does not have"
    wanted = [dims[i] if s == 0 and keeps else s for i, s in enumerate(sizes)]
    if not all(isinstance(d, int) for d in (*dims, *wanted)):
        return None
    have = math.prod(d for d in dims if isinstance(d, int))
    need = math.prod(d for d in wanted if isinstance(d, int) and d != -1)
    if (need == 0 or have % need) if -1 in wanted and (have or need) else have != need and -1 not in wanted:
        return f"cannot make {wanted} of the {have} elements of {list(dims)}"
    return None


def top_k(node: Node) -> str | None:
    """TopK: k that the axis has."""
    k, dims, axis = const(node, 1), shape(node, 0), attribute(node, "axis", -1)
    if dims is not None and bad_axis(axis, len(dims)):
        return f"axis {axis} is out of range for rank {len(dims)}"
    if k is None:
        return None
    if k.size != 1:
        return f"k has shape {list(k.shape)}, must be one number"
    wanted = int(k.reshape(-1)[0])
    size = dims[axis] if dims is not None else None
    if wanted < 0 or (isinstance(size, int) and wanted > size):
        return f"k is {wanted}, axis {axis} has {size if size is not None else 'an unknown number'}"
    return None


def sizes_input(node: Node) -> str | None:
    """ConstantOfShape, Expand, Tile: a 1-D input of sizes, none negative."""
    index = 0 if node.op == "ConstantOfShape" else 1
    sizes = const(node, index)
    if sizes is None:
        return None
    if sizes.ndim != 1:
        return f"its sizes must be 1-D, have shape {list(sizes.shape)}"
    if (sizes < 0).any():
        return f"its sizes {sizes.tolist()[:16]} hold a negative number"
    dims = rank(node, 0)
    if node.op == "Tile" and dims is not None and len(sizes) != dims:
        return f"{len(sizes)} repeats do not fit rank {dims}"
    value = attribute(node, "value")
    if node.op == "ConstantOfShape" and value is not None and value.size != 1:
        return f"its value has {value.size} elements, must be one"
    return None


def range_(node: Node) -> str | None:
    """Range: a step other than zero, finite bounds."""
    for index, name in enumerate(("start", "limit", "delta")):
        array = const(node, index)
        if array is None:
            continue
        if array.size != 1:
            return f"{name} must be one number, has shape {list(array.shape)}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return f"{name} is {array.item()}"
        if name == "delta" and array.item() == 0:
            return "delta is zero"
    return None


def resize(node: Node) -> str | None:
    """Resize: exactly one of scales and sizes, fitting the rank (or the axes), none of them zero or less."""
    axes, dims = attribute(node, "axes"), rank(node, 0)
    if axes is not None and bad_axes(axes, dims):
        return f"axes {list(axes)} do not fit rank {dims}"
    count = dims if axes is None else len(axes)
    scales, sizes = node.input(2), node.input(3)
    if (scales is None) == (sizes is None) and node.version >= 13:
        return "needs exactly one of scales and sizes"
    for name, index in (("scales", 2), ("sizes", 3)):
        array = const(node, index)
        if array is None or (array.size == 0 and node.version < 18):
            continue
        if array.ndim != 1 or (count is not None and len(array) != count):
            return f"{name} have shape {list(array.shape)} for {count} dimensions"
        if (
            not (array > 0).all()
            or not np.isfinite(array.astype(np.float64)).all()
            or (array > LARGEST_STEP).any()
        ):
            return f"{name} are {array.tolist()[:16]}; all must be positive and finite"
    if attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize" and node.input(1) is None:
        return "tf_crop_and_resize needs its roi input"
    return None


def slice_(node: Node) -> str | None:
    """Slice: starts, ends, axes, steps of one length, no step of zero."""
    arrays = [
        (name, const(node, i)) for i, name in enumerate(("data", "starts", "ends", "axes", "steps")) if i
    ]
    lengths = {name: len(a) for name, a in arrays if a is not None and a.ndim == 1}
    if any(a is not None and a.ndim != 1 for _, a in arrays) or len(set(lengths.values())) > 1:
        return f"starts, ends, axes and steps must be 1-D and of one length, are {lengths}"
    axes, steps = const(node, 3), const(node, 4)
    if axes is not None and bad_axes([int(a) for a in axes], rank(node, 0)):
        return f"axes {axes.tolist()[:16]} do not fit rank {rank(node, 0)}"
    if steps is not None and (steps == 0).any():
        return "a step is zero"
    return None


def axes_input(node: Node) -> str | None:
    """Squeeze, Unsqueeze and reductions: axes in range and without repeats."""
    axes, dims = const(node, 1), rank(node, 0)
    if axes is None:
        return None
    if axes.ndim > 1:
        return f"axes must be 1-D, have shape {list(axes.shape)}"
    chosen = [int(a) for a in axes.reshape(-1)]
    if node.op == "Unsqueeze" and dims is not None:
        dims += len(chosen)
    if bad_axes(chosen, dims):
        return f"axes {chosen[:16]} do not fit rank {dims}"
    return None


def axis_attribute(node: Node) -> str | None:
    """Operators with one axis attribute that names a dimension of the first input."""
    axis, dims = attribute(node, "axis"), rank(node, 0)
    if axis is None or dims is None:
        return None
    if bad_axis(axis, max(dims, 1)):
        return f"axis {axis} is out of range for rank {dims}"
    return None


def gather_nd(node: Node) -> str | None:
    """GatherND: batch dimensions that both operands have, index vectors that fit what is left."""
    batch, dims, indices = attribute(node, "batch_dims", 0), shape(node, 0), shape(node, 1)
    known = [len(s) for s in (dims, indices) if s is not None]
    if batch < 0 or (known and batch >= min(known)):
        return f"batch_dims is {batch}, the operands have ranks {known}"
    if dims is not None and indices is not None:
        last = indices[-1]
        if isinstance(last, int) and not 1 <= last <= len(dims) - batch:
            return (
                f"index vectors of {last} entries do not fit rank {len(dims)} with {batch} batch dimensions"
            )
    return None


def element_indices(node: Node) -> str | None:
    """GatherElements, ScatterElements: indices (and updates) of the data's rank."""
    dims, indices, updates = rank(node, 0), rank(node, 1), shape(node, 2)
    if dims is not None and indices is not None and dims != indices:
        return f"indices of rank {indices} do not fit data of rank {dims}"
    found = shape(node, 1)
    if differ_anywhere(updates, found):
        return f"updates of shape {list(updates or ())} do not fit indices of shape {list(found or ())}"
    return axis_attribute(node)
