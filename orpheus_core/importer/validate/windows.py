"""Convolutions and pools: window attributes that fit the rank, channels that fit the groups."""

from __future__ import annotations

from orpheus_core.graph import Node
from orpheus_core.importer.validate.facts import (
    LARGEST_STEP,
    attribute,
    differ,
    rank,
    shape,
)


def _window(node: Node, spatial: int | None, kernel: tuple[int, ...] | None) -> str | None:
    for name in ("kernel_shape", "strides", "dilations"):
        sizes = attribute(node, name)
        if sizes is None:
            continue
        if any(not 1 <= size <= LARGEST_STEP for size in sizes):
            return f"attribute {name!r} is {list(sizes)}; every entry must be positive and below 2**31"
        if spatial is not None and len(sizes) != spatial:
            return f"attribute {name!r} has {len(sizes)} entries for {spatial} spatial dimensions"
    pads = attribute(node, "pads")
    if pads is not None:
        if any(not 0 <= pad <= LARGEST_STEP for pad in pads):
            return f"attribute 'pads' is {list(pads)}; no entry may be negative"
        if spatial is not None and len(pads) != 2 * spatial:
            return f"attribute 'pads' has {len(pads)} entries for {spatial} spatial dimensions, needs {2 * spatial}"
    given = attribute(node, "kernel_shape")
    if given is not None and kernel is not None and any(differ(a, b) for a, b in zip(given, kernel)):
        return f"attribute 'kernel_shape' is {list(given)}, but the weights' window is {list(kernel)}"
    return None


def pool(node: Node) -> str | None:
    """AveragePool, MaxPool, LpPool, MaxUnpool."""
    dims = rank(node, 0)
    if dims is not None and dims < 3:
        return f"its input has rank {dims}; it needs batch, channels and at least one spatial dimension"
    if attribute(node, "p", 1) < 1:
        return f"p is {attribute(node, 'p')}; it must be positive"
    return _window(node, None if dims is None else dims - 2, None)


def _convolution(node: Node, weights: int, bias: int | None, transposed: bool = False) -> str | None:
    data, kernel = shape(node, 0), shape(node, weights)
    group = attribute(node, "group", 1)
    if not 1 <= group <= LARGEST_STEP:
        return f"group is {group}; it must be positive"
    ranks = [len(s) for s in (data, kernel) if s is not None]
    if any(r < 3 for r in ranks) or len(set(ranks)) > 1:
        return f"input and weights have ranks {ranks}; both need the same, of 3 or more"
    known = None if kernel is None else tuple(d if isinstance(d, int) else -1 for d in kernel[2:])
    exact = known if known is not None and -1 not in known else None
    reason = _window(node, ranks[0] - 2 if ranks else None, exact)
    if reason or kernel is None:
        return reason
    if any(isinstance(d, int) and d < 1 for d in kernel):
        return f"the weights have shape {list(kernel)}; no dimension may be zero"
    inner, outer = kernel[0 if transposed else 1], kernel[1 if transposed else 0]
    if isinstance(inner, int) and not transposed:
        inner = inner * group
    if transposed and isinstance(outer, int):
        outer = outer * group
    if data is not None and differ(data[1], inner):
        return f"the input has {data[1]} channels, weights {list(kernel)} with group {group} take {inner}"
    if isinstance(outer, int) and outer % group:
        return f"{outer} output channels do not divide into {group} groups"
    if transposed and isinstance(inner, int) and inner % group:
        return f"{inner} input channels do not divide into {group} groups"
    bias_shape = None if bias is None else shape(node, bias)
    if bias_shape is not None and (len(bias_shape) != 1 or differ(bias_shape[0], outer)):
        return f"the bias has shape {list(bias_shape)}, needs [{outer}]"
    return None


def conv(node: Node) -> str | None:
    """Conv."""
    return _convolution(node, 1, 2)


def conv_transpose(node: Node) -> str | None:
    """ConvTranspose."""
    for name in ("output_padding", "output_shape"):
        sizes = attribute(node, name) or ()
        dims = rank(node, 0)
        if any(not 0 <= size <= LARGEST_STEP for size in sizes):
            return f"attribute {name!r} is {list(sizes)}; no entry may be negative"
        if (
            sizes
            and dims is not None
            and len(sizes) not in (dims - 2, *((dims,) if name == "output_shape" else ()))
        ):
            return f"attribute {name!r} has {len(sizes)} entries for {dims - 2} spatial dimensions"
    return _convolution(node, 1, 2, transposed=True)


def conv_integer(node: Node) -> str | None:
    """ConvInteger."""
    return _convolution(node, 1, None)


def qlinear_conv(node: Node) -> str | None:
    """QLinearConv."""
    return _convolution(node, 3, 8)


def deform_conv(node: Node) -> str | None:
    """DeformConv."""
    if attribute(node, "offset_group", 1) < 1:
        return "offset_group must be positive"
    return _convolution(node, 1, 3)


def col2im(node: Node) -> str | None:
    """Col2Im: window attributes, and the product of the block shape that divides the channels."""
    return _window(node, None, None)


def global_pool(node: Node) -> str | None:
    """GlobalAveragePool, GlobalMaxPool, GlobalLpPool."""
    dims = rank(node, 0)
    if dims is not None and dims < 2:
        return f"its input has rank {dims}; it needs batch and channels"
    if attribute(node, "p", 1) < 1:
        return f"p is {attribute(node, 'p')}; it must be positive"
    return None


def roi_pool(node: Node) -> str | None:
    """MaxRoiPool and RoiAlign: output sizes."""
    sizes = attribute(node, "pooled_shape") or (
        attribute(node, "output_height", 1),
        attribute(node, "output_width", 1),
    )
    if len(sizes) != 2 or any(not 1 <= size <= LARGEST_STEP for size in sizes):
        return f"output size {list(sizes)} must be two positive numbers"
    return None


def blocks(node: Node) -> str | None:
    """DepthToSpace, SpaceToDepth."""
    size = attribute(node, "blocksize")
    if not 1 <= size <= 2**15:
        return f"blocksize is {size}; it must be positive"
    dims = shape(node, 0)
    if dims is None:
        return None
    if len(dims) != 4:
        return f"its input has rank {len(dims)}, needs 4 (N, C, H, W)"
    divided = dims[1:2] if node.op == "DepthToSpace" else dims[2:]
    divisor = size * size if node.op == "DepthToSpace" else size
    if any(isinstance(d, int) and d % divisor for d in divided):
        return f"shape {list(dims)} does not divide by blocksize {size}"
    return None
