"""What each kernel cannot do, in words: the ``supports`` functions of the manifest.

They are asked about layers whose element types and rules hold and whose shapes are known.
"""

from __future__ import annotations

import math

from orpheus_core.plugin import Problem
from orpheus_openmp import isa
from orpheus_openmp.bilinear import ALGORITHMS
from orpheus_openmp.conv_shape import conv_shape
from orpheus_openmp.elementwise import unary_parameters
from orpheus_openmp.epilogue import NUMBERS
from orpheus_openmp.gemm import batch_runs
from orpheus_openmp.operands import input_shape, output_shape

_CLAMPS = ("", "Relu", "Clip")
_MOST_RUNS = 256  # of a broadcast batch, each a step


def direct(problem: Problem) -> str | None:
    """Blocked to blocked: one group, or groups of whole blocks."""
    return _activation(problem) or _whole_blocks(problem, inputs=True)


def stem(problem: Problem) -> str | None:
    """Plain to blocked: one group, or groups that fill whole blocks of the result."""
    return _activation(problem) or _whole_blocks(problem, inputs=False)


def pointwise(problem: Problem) -> str | None:
    """1x1 without pads."""
    refusal = direct(problem)
    if refusal or conv_shape(problem).is_pointwise:
        return refusal
    return "needs a 1x1 kernel without pads"


def strassen(problem: Problem) -> str | None:
    """1x1 of stride 1 with enough channels and filters for one level."""
    return _bilinear(problem, "strassen")


def strassen2(problem: Problem) -> str | None:
    """1x1 of stride 1 with enough channels and filters for two levels."""
    return _bilinear(problem, "strassen2")


def depthwise(problem: Problem) -> str | None:
    """One channel and one filter a group."""
    refusal = _activation(problem)
    if refusal:
        return refusal
    shape = conv_shape(problem)
    if shape.group == shape.channels == shape.filters:
        return None
    return (
        f"needs as many groups and filters as channels, has {shape.group} groups, {shape.channels} channels"
    )


def winograd(problem: Problem) -> str | None:
    """Pads of at most half the kernel; its size, one group, stride and dilation 1 are rules of the form."""
    refusal = _activation(problem)
    if refusal:
        return refusal
    window = conv_shape(problem).window
    if any(pad > taps // 2 for pad, taps in zip(window.pads, window.size * 2)):
        # A window that sees little but pads would be given its whole tile's rounding.
        return f"needs pads of at most half the kernel, has {window.pads[:2]} and {window.pads[2:]}"
    return None


def im2col(problem: Problem) -> str | None:
    """Any convolution, also a packed or transposed one; how many axes is a rule."""
    return _activation(problem)


def gemm(problem: Problem) -> str | None:
    """A bias with a row or column stride; see :class:`orpheus_openmp.gemm.Gemm`."""
    return _activation(problem)


def matmul(problem: Problem) -> str | None:
    """A of rank 1 or more, batches that broadcast in few runs."""
    refusal = _activation(problem)
    if refusal:
        return refusal
    a, b = input_shape(problem, 0), input_shape(problem, 1)
    if len(b) > 2 and len(batch_runs(a[:-2], b[:-2])) > _MOST_RUNS:
        return (
            f"needs batches that broadcast in at most {_MOST_RUNS} runs, has shapes {list(a)} and {list(b)}"
        )
    return None


def unary(problem: Problem) -> str | None:
    """Parameters of any value but NaN."""
    if any(math.isnan(p) for p in unary_parameters(problem)):
        return "needs parameters that are numbers"
    return None


def binary_same(problem: Problem) -> str | None:
    """Two tensors of one shape."""
    a, b = input_shape(problem, 0), input_shape(problem, 1)
    return None if a == b else f"needs equal shapes, has {list(a)} and {list(b)}"


def binary_channel(problem: Problem) -> str | None:
    """One of the tensors has a value a channel, or one for each channel of each image."""
    a, b, y = input_shape(problem, 0), input_shape(problem, 1), output_shape(problem)
    small = b if a == y else a if b == y else None
    if small is not None and len(y) >= 2:
        full = (1,) * (len(y) - len(small)) + small
        if full[1] == y[1] > 1 and full[0] in (1, y[0]) and all(d == 1 for d in full[2:]) and small != y:
            return None
    return f"needs one operand with a value a channel, has shapes {list(a)} and {list(b)}"


def binary_channel_constant(problem: Problem) -> str | None:
    """B, constant by rule, has a value a channel."""
    return _channel_constant(problem, 1)


def binary_channel_constant_left(problem: Problem) -> str | None:
    """A, constant by rule, has a value a channel."""
    return _channel_constant(problem, 0)


def _channel_constant(problem: Problem, index: int) -> str | None:
    refusal = binary_channel(problem)
    if refusal:
        return refusal
    shape, y = input_shape(problem, index), output_shape(problem)
    if math.prod(shape) == y[1] and input_shape(problem, 1 - index) == y:
        return None
    return f"needs {'AB'[index]} of {y[1]} elements, has shape {list(shape)}"


def binary_single(problem: Problem) -> str | None:
    """B, of one element, with every element of A."""
    return _single(problem, 0, 1)


def binary_single_left(problem: Problem) -> str | None:
    """A, of one element, with every element of B."""
    return _single(problem, 1, 0)


def scale_shift(problem: Problem) -> str | None:
    """Constants along axis 1."""
    x = input_shape(problem, 0)
    axis = int(problem.attributes["axis"])
    if len(x) < 2 or axis + (len(x) if axis < 0 else 0) != 1:
        return f"needs axis 1 of two or more, has axis {axis} of {len(x)}"
    return _activation(problem)


def softmax(problem: Problem) -> str | None:
    """Any axis."""
    return None if input_shape(problem, 0) else "needs an axis"


def concat_blocks(problem: Problem) -> str | None:
    """The channels of float tensors."""
    axis = int(problem.attributes["axis"])
    return None if axis in (1, -3) else f"needs axis 1, has {axis}"


def reorder(problem: Problem) -> str | None:
    """Between plain and this machine's blocked layout."""
    block = f"NCHW{isa.tile_for(problem)[0]}c"
    sides = {problem.attributes["from_layout"], problem.attributes["to_layout"]}
    if sides != {"plain", block}:
        return f"needs plain and {block}, has {' and '.join(sorted(map(str, sides)))}"
    return None


def _single(problem: Problem, many: int, one: int) -> str | None:
    shapes = [input_shape(problem, i) for i in (0, 1)]
    if math.prod(shapes[one]) == 1 and shapes[many] == output_shape(problem) and shapes[0] != shapes[1]:
        return None
    return f"needs {'AB'[one]} of one element, has shapes {list(shapes[0])} and {list(shapes[1])}"


def _whole_blocks(problem: Problem, *, inputs: bool) -> str | None:
    shape = conv_shape(problem)
    if shape.group == 1:
        return None
    block = isa.tile_for(problem)[0]
    filters, channels = shape.filters // shape.group, shape.channels // shape.group
    if filters % block == 0 and (channels % block == 0 or not inputs):
        return None
    return f"needs one group, or groups of multiples of {block}; has {shape.group} of {channels} to {filters} channels"


def _bilinear(problem: Problem, name: str) -> str | None:
    refusal = direct(problem)
    if refusal:
        return refusal
    shape, (block, _, vectors) = conv_shape(problem), isa.tile_for(problem)
    if not shape.is_pointwise or shape.window.strides != (1, 1):
        return "needs a 1x1 kernel of stride 1 without pads"
    channels, filters = shape.channels // shape.group, shape.filters // shape.group
    least = ALGORITHMS[name].least(block, vectors)
    if channels >= least[0] and filters >= least[1]:
        return None
    return f"needs {least[0]} channels and {least[1]} filters a group, has {channels} and {filters}"


def _activation(problem: Problem) -> str | None:
    return problem.once(_activation_alone)


def _activation_alone(problem: Problem) -> str | None:
    name = str(problem.attributes.get("activation", ""))
    if name in _CLAMPS or name in NUMBERS:
        parameters = problem.attributes.get("activation_params", ())
        return "needs parameters that are numbers" if any(math.isnan(p) for p in parameters) else None
    return f"cannot apply the activation {name}"
