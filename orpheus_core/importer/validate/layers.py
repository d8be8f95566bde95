"""Normalisation, quantization, losses, recurrent layers, Scan: operands that fit each other."""

from __future__ import annotations

from orpheus_core.graph import Node
from orpheus_core.importer.validate.facts import (
    attribute,
    bad_axis,
    const,
    differ,
    differ_anywhere,
    rank,
    shape,
)


def layer_normalization(node: Node) -> str | None:
    """LayerNormalization and RMSNormalization: scale and bias broadcast to the normalised dimensions."""
    dims, axis = shape(node, 0), attribute(node, "axis", -1)
    if dims is None:
        return None
    if bad_axis(axis, len(dims)):
        return f"axis {axis} is out of range for rank {len(dims)}"
    normalised = dims[axis:]
    for index, name in ((1, "scale"), (2, "bias")):
        found = shape(node, index)
        if found is None:
            continue
        # Either one value per normalised element, or anything that broadcasts to the whole input.
        pairs = list(zip(reversed(found), reversed(dims)))
        if len(found) > len(dims) or any(differ(a, b) and a != 1 for a, b in pairs):
            return f"the {name} has shape {list(found)}, which does not broadcast to {list(normalised)}"
    return None


def batch_normalization(node: Node) -> str | None:
    """BatchNormalization: one scale, bias, mean and variance per channel."""
    dims = shape(node, 0)
    if dims is not None and len(dims) < 2 and node.version >= 9:
        return f"its input has rank {len(dims)}; it needs batch and channels"
    if not attribute(node, "spatial", 1):
        return None
    for index, name in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance")):
        found = shape(node, index)
        if found is None:
            continue
        if len(found) != 1 or (dims is not None and len(dims) > 1 and differ(found[0], dims[1])):
            return f"the {name} has shape {list(found)}, needs one value per channel of {dims and list(dims)}"
    return None


def instance_normalization(node: Node) -> str | None:
    """InstanceNormalization and GroupNormalization: one scale and bias per channel, groups that divide them."""
    dims = shape(node, 0)
    if dims is not None and len(dims) < 2:
        return f"its input has rank {len(dims)}; it needs batch and channels"
    channels = dims[1] if dims is not None else None
    groups = attribute(node, "num_groups")
    if groups is not None and (groups < 1 or (isinstance(channels, int) and channels % groups)):
        return f"{channels} channels do not divide into {groups} groups"
    if groups is not None and node.version < 21:
        channels = groups
    for index, name in ((1, "scale"), (2, "bias")):
        found = shape(node, index)
        if found is not None and (len(found) != 1 or differ(found[0], channels)):
            return f"the {name} has shape {list(found)}, needs [{channels}]"
    return None


def linear_quantization(node: Node) -> str | None:
    """QuantizeLinear, DequantizeLinear: scale and zero point of one shape, per tensor, per axis or per block."""
    dims, scale, zero = shape(node, 0), shape(node, 1), shape(node, 2)
    if differ_anywhere(scale, zero) and not _both_single(scale, zero):
        return f"scale and zero point have shapes {list(scale or ())} and {list(zero or ())}; they must be the same"
    block, axis = attribute(node, "block_size", 0), attribute(node, "axis", 1)
    if block < 0:
        return f"block_size is {block}; it must not be negative"
    if scale is None or dims is None:
        return None
    if len(scale) == 0 or scale == (1,):
        return None if not block else "block_size is given, but one scale for the whole tensor"
    if bad_axis(axis, len(dims)):
        return f"axis {axis} is out of range for rank {len(dims)}"
    if len(scale) == 1 and not block:
        if differ(scale[0], dims[axis]):
            return f"{scale[0]} scales do not fit the {dims[axis]} of axis {axis}"
        return None
    if not block:
        return f"the scale has shape {list(scale)}; without block_size it must be a scalar or 1-D"
    if len(scale) != len(dims):
        return f"the scale has rank {len(scale)}, the input {len(dims)}; blocks need the same rank"
    for index, (size, count) in enumerate(zip(dims, scale)):
        blocked = index == axis % len(dims)
        expected = -(-size // block) if blocked and isinstance(size, int) else size
        if differ(count, expected):
            return f"the scale has {count} on axis {index} of size {size}, blocks of {block} need {expected}"
    return None


def _both_single(left: object, right: object) -> bool:
    return left in ((), (1,)) and right in ((), (1,))


def cross_entropy(node: Node) -> str | None:
    """SoftmaxCrossEntropyLoss, NegativeLogLikelihoodLoss: labels of the scores' shape without the classes."""
    scores, labels, weights = shape(node, 0), shape(node, 1), shape(node, 2)
    if scores is None:
        return None
    if len(scores) < 2:
        return f"the scores have rank {len(scores)}; they need batch and classes"
    wanted = (scores[0], *scores[2:])
    if differ_anywhere(labels, wanted):
        return f"labels of shape {list(labels or ())} do not fit scores of shape {list(scores)}; needs {list(wanted)}"
    if weights is not None and (len(weights) != 1 or differ(weights[0], scores[1])):
        return f"weights of shape {list(weights)} do not fit {scores[1]} classes"
    return None


_MOST_DIMENSIONS = 1024
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(node: Node) -> str | None:
    """RNN, GRU, LSTM: shapes of weights and states against hidden_size and direction."""
    gates = _GATES[node.op]
    directions = 2 if attribute(node, "direction") == "bidirectional" else 1
    data, weights, recurrence, bias = (shape(node, i) for i in range(4))
    state, cell, peepholes = (shape(node, i) for i in (5, 6, 7))
    hidden = attribute(node, "hidden_size")
    if hidden is None and recurrence is not None and len(recurrence) == 3 and isinstance(recurrence[2], int):
        hidden = recurrence[2]
    if hidden is not None and hidden < 1:
        return f"hidden_size is {hidden}; it must be positive"
    if data is not None and len(data) != 3:
        return f"its input has rank {len(data)}, needs 3"
    size = None if hidden is None else gates * hidden
    features = data[2] if data is not None else None
    first = bool(attribute(node, "layout"))
    batch = data[0 if first else 1] if data is not None else None
    outer = (batch, directions) if first else (directions, batch)
    for name, found, wanted in (
        ("weights W", weights, (directions, size, features)),
        ("recurrence weights R", recurrence, (directions, size, hidden)),
        ("bias B", bias, (directions, None if size is None else 2 * size)),
        ("initial states H", state, (*outer, hidden)),
        ("initial states C", cell, (*outer, hidden)),
        ("peepholes P", peepholes, (directions, None if hidden is None else 3 * hidden)),
    ):
        if found is not None and differ_anywhere(found, wanted):
            return f"{name} have shape {list(found)}, hidden size {hidden} needs {list(wanted)}"
    return None


def scan(node: Node) -> str | None:
    """Scan: how many inputs are scanned, directions of 0 and 1."""
    scans = attribute(node, "num_scan_inputs")
    most = len(node.inputs) - (1 if node.version < 9 else 0)
    if not 1 <= scans <= most:
        return f"num_scan_inputs is {scans}, the node has {most} inputs"
    for name in ("scan_input_directions", "scan_output_directions", "directions"):
        found = attribute(node, name)
        if found is not None and any(d not in (0, 1) for d in found):
            return f"{name} is {list(found)}; each must be 0 (forward) or 1 (reverse)"
    for body in node.subgraphs:
        states = most - scans
        for name, count in (
            ("scan_input_directions", scans),
            ("scan_output_directions", len(body.outputs) - states),
            ("scan_output_axes", len(body.outputs) - states),
        ):
            found = attribute(node, name)
            if found is not None and len(found) != count:
                return f"{name} has {len(found)} entries, needs {count}"
    return None


def gemm(node: Node) -> str | None:
    """Gemm: a C that broadcasts to the result."""
    left, right, bias = (shape(node, i) for i in range(3))
    for name, found in (("A", left), ("B", right)):
        if found is not None and len(found) != 2:
            return f"{name} has rank {len(found)}, needs 2"
    if bias is None or left is None or right is None:
        return None
    result = (left[1 if attribute(node, "transA") else 0], right[0 if attribute(node, "transB") else 1])
    if len(bias) > 2 or any(differ(a, b) and a != 1 for a, b in zip(reversed(bias), reversed(result))):
        return f"C has shape {list(bias)}, which does not broadcast to {list(result)}"
    return None


def grid_sample(node: Node) -> str | None:
    """GridSample: a grid with one coordinate per spatial dimension."""
    dims, grid = shape(node, 0), shape(node, 1)
    for found in (dims, grid):
        if found is not None and len(found) < 3:
            return f"an operand has rank {len(found)}, needs 3 or more"
    if dims is None or grid is None:
        return None
    if len(dims) != len(grid) or differ(grid[-1], len(dims) - 2) or differ(dims[0], grid[0]):
        return f"a grid of shape {list(grid)} does not fit an input of shape {list(dims)}"
    return None


def matrix_zero_points(node: Node) -> str | None:
    """MatMulInteger: zero points that are one number or one per row or column."""
    for index, name in ((2, "a_zero_point"), (3, "b_zero_point")):
        found, operand = shape(node, index), shape(node, index - 2)
        if found is None or operand is None or len(found) == 0 or found == (1,):
            continue
        size = operand[-2 if index == 2 and len(operand) > 1 else -1] if operand else None
        if len(found) == 1 and differ(found[0], size):
            return f"{name} has {found[0]} entries for {size}"
    return None


def windowed(node: Node) -> str | None:
    """STFT, DFT: positive lengths and steps."""
    for index in (1, 3) if node.op == "STFT" else (1,):
        array = const(node, index)
        if array is not None and (array.size != 1 or int(array.reshape(-1)[0]) < 1):
            return f"input {index} must be one positive number, is {array.tolist()}"
    if node.op == "DFT" and rank(node, 0) is not None and (rank(node, 0) or 0) < 2:
        return f"its input has rank {rank(node, 0)}, needs 2 or more"
    return None


def reverse_sequence(node: Node) -> str | None:
    """ReverseSequence: two different leading axes."""
    axes = (attribute(node, "time_axis", 0), attribute(node, "batch_axis", 1))
    if sorted(axes) != [0, 1]:
        return f"time_axis and batch_axis are {list(axes)}; they must be 0 and 1"
    return None


def random_dtype(node: Node) -> str | None:
    """EyeLike, RandomNormal and their kin: a type number that exists, a shape that is one."""
    sizes = attribute(node, "shape", ())
    if len(sizes) > _MOST_DIMENSIONS or any(size < 0 for size in sizes):
        return f"its shape has {len(sizes)} dimensions, the least of them {min(sizes)}"
    number = attribute(node, "dtype")
    if number is not None and not 1 <= number <= 28:
        return f"dtype {number} is not an ONNX element type"
    return None


def window_function(node: Node) -> str | None:
    """HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix: positive sizes."""
    for index in range(min(len(node.inputs), 3)):
        array = const(node, index)
        if array is not None and (array.size != 1 or int(array.reshape(-1)[0]) < 0):
            return f"input {index} must be one number of zero or more, is {array.tolist()[:8] if array.ndim else array}"
    return random_dtype(node)


def attention(node: Node) -> str | None:
    """Attention, RotaryEmbedding: head counts are positive."""
    for name in ("q_num_heads", "kv_num_heads", "num_heads"):
        count = attribute(node, name)
        if count is not None and (count < 0 or (count == 0 and name != "num_heads")):
            return f"{name} is {count}; it must be positive"
    return None


def boxes(node: Node) -> str | None:
    """NonMaxSuppression: boxes of four coordinates, a score for each."""
    found, scores = shape(node, 0), shape(node, 1)
    if found is not None and (len(found) != 3 or differ(found[2], 4)):
        return f"boxes have shape {list(found)}, need [batches, boxes, 4]"
    if scores is not None and len(scores) != 3:
        return f"scores have shape {list(scores)}, need [batches, classes, boxes]"
    if (
        found is not None
        and scores is not None
        and (differ(found[0], scores[0]) or differ(found[1], scores[2]))
    ):
        return f"scores of shape {list(scores)} do not fit boxes of shape {list(found)}"
    return None
