"""What the kernels that move and resample cannot do, in words: the ``supports`` functions of manifest_tensors."""

from __future__ import annotations

from orpheus_core.geometry.sampling import scales_of, untabled
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_openmp import isa, moves
from orpheus_openmp.operands import input_shape, output_shape, walkable
from orpheus_openmp.strided import rank_of

_PAD_MODES = ("constant", "edge", "reflect", "wrap")


def move(problem: Problem) -> str | None:
    """Plain tensors of any rank."""
    return _filled(problem) or _settings(problem) or _rank(problem)


def transpose_blocked(problem: Problem) -> str | None:
    """One side blocked; that there are four axes is a rule."""
    return _filled(problem)


def slice_blocked(problem: Problem) -> str | None:
    """Rows and columns, or whole blocks of channels."""
    refusal = _filled(problem)
    if refusal:
        return refusal
    channels = input_shape(problem)[1]
    for axis, start, count, step in moves.slices(problem):
        if axis == 1:
            refusal = _whole_blocks(start, count, channels) or (
                None if step == 1 else "needs step 1 of channels"
            )
        if refusal:
            return refusal
    return None


def split_blocked(problem: Problem) -> str | None:
    """Rows and columns, or whole blocks of channels."""
    refusal = _filled(problem)
    if refusal:
        return refusal
    shape = input_shape(problem)
    if moves.positive(int(problem.attributes.get("axis", 0)), len(shape)) != 1:
        return None
    start = 0
    for count in (output_shape(problem, i)[1] for i in range(len(problem.outputs))):
        refusal = refusal or _whole_blocks(start, count, shape[1])
        start += count
    return refusal


def pad_blocked(problem: Problem) -> str | None:
    """Rows and columns; with another constant than zero only channels that fill their blocks."""
    refusal = _filled(problem) or _settings(problem)
    if refusal:
        return refusal
    before, after = moves.pad_amounts(problem)
    if any((*before[:2], *after[:2])):
        return f"needs pads of rows and columns only, has {before} and {after}"
    partial = input_shape(problem)[1] % isa.tile_for(problem)[0]
    constant = problem.attributes.get("mode", "constant") == "constant"
    runtime = len(problem.inputs) > 2 and problem.inputs[2] is not None and 2 not in problem.constants
    if constant and partial and (runtime or moves.fill_value(problem).any()):
        return f"needs pads of zero, or channels in multiples of {isa.tile_for(problem)[0]}"
    return None


def resize(problem: Problem) -> str | None:
    """Nearest along any axes; linear and cubic of floats along one axis or two neighbours."""
    refusal = _filled(problem) or untabled(problem)
    if refusal:
        return refusal
    if problem.attributes["mode"] == "nearest":
        return _rank(problem)
    type_ = problem.inputs[0]
    if isinstance(type_, TensorType) and type_.dtype.value != "float32":
        return f"interpolates float32, has {type_.dtype}"
    axes = list(scales_of(problem))
    if len(axes) > 2 or (len(axes) == 2 and axes[1] - axes[0] != 1):
        return f"interpolates along one axis or two neighbours, has {axes}"
    return None


def resize_blocked(problem: Problem) -> str | None:
    """Rows and columns."""
    return resize(problem) or _rows_and_columns(problem)


def _rows_and_columns(problem: Problem) -> str | None:
    axes = list(scales_of(problem))
    return None if all(a >= 2 for a in axes) else f"resamples rows and columns, has axes {axes}"


def _filled(problem: Problem) -> str | None:
    if None in problem.outputs:
        return "needs all of its outputs"
    if any(0 in output_shape(problem, i) for i in range(len(problem.outputs))):
        return "needs tensors of at least one element"
    return None


def _settings(problem: Problem) -> str | None:
    """Attributes and constants that contradict the operator's page are left to the reference, which says how."""
    shape = input_shape(problem)
    if problem.op == "Gather":
        axis = moves.positive(int(problem.attributes.get("axis", 0)), len(shape))
        indices = problem.constants[1]
        if not 0 <= axis < len(shape) or (
            indices.size and not -shape[axis] <= indices.min() <= indices.max() < shape[axis]
        ):
            return f"needs indices inside axis {axis} of shape {list(shape)}"
    if problem.op == "Pad":
        mode = str(problem.attributes.get("mode", "constant"))
        if mode not in _PAD_MODES:
            return f"needs a mode of {', '.join(_PAD_MODES)}; has {mode}"
        before, after = moves.pad_amounts(problem)
        if mode != "constant" and any(d + min(b, 0) + min(a, 0) < 1 for d, b, a in zip(shape, before, after)):
            return f"needs something left to {mode}, has pads {before} and {after} of shape {list(shape)}"
        if any(max(-b, 0) + max(-a, 0) > d for d, b, a in zip(shape, before, after)):
            return f"needs pads that leave something of shape {list(shape)}, has {before} and {after}"
    if problem.op == "Transpose" and not shape:
        return "needs an axis"
    return None


def _whole_blocks(start: int, count: int, channels: int) -> str | None:
    block = isa.tile()[0]
    if start % block == 0 and (count % block == 0 or start + count == channels):
        return None
    return f"needs channels in multiples of {block}, has {start} to {start + count} of {channels}"


def _rank(problem: Problem) -> str | None:
    return walkable(max(rank_of(pieces) for pieces in moves.pieces_of(problem)))
