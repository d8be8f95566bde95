"""What kernels must refuse: boxes beyond the room of a native loop, and layers that they would compute wrongly."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from orpheus_core.plugin import resolve
from orpheus_core.types import DType, TensorType

pytest.importorskip("orpheus_openmp.limits", reason="orpheus-openmp is not installed")
from orpheus_openmp.broadcast import Binary
from orpheus_openmp.moves import Move
from orpheus_openmp.pick import GatherElements
from orpheus_openmp.reduce import Reduce
from orpheus_openmp.strided import MAX_RANK


def refusal(limit, problem):
    return resolve(f"orpheus_openmp.{limit}")(problem)


def values(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def typed(problem, *dtypes, outputs=()):
    """The problem with other element types of its inputs and outputs."""

    def changed(types, names):
        found = [TensorType(DType(name), t.shape, t.layout) for name, t in zip(names, types)]
        return (*found, *types[len(found) :])

    return replace(problem, inputs=changed(problem.inputs, dtypes), outputs=changed(problem.outputs, outputs))


def transposed(rank):
    x = values(*(2,) * rank)
    return "limits_moves:move", Move, [x], {"perm": range(rank)[::-1]}, (), x.T


def added(rank):
    """Every second axis of B is repeated."""
    x, z = values(*(2,) * rank), values(*(1 + d % 2 for d in range(rank)))
    return "limits_broadcast:broadcast", Binary, [x, z], {}, (), x + z


def reduced(rank):
    """Every second axis, so that neither the others nor these are neighbours."""
    x, axes = values(*(2,) * (2 * rank)), tuple(range(1, 2 * rank, 2))
    return "limits_reduce:reduce", Reduce, [x, np.array(axes)], {"keepdims": 0}, (1,), x.max(axes)


def gathered(rank):
    """Indices of two in each axis of three."""
    x, indices = values(*(3,) * rank), np.full((2,) * rank, 2)
    return "limits_pick:gather_elements", GatherElements, [x, indices], {"axis": 0}, (), np.take_along_axis(
        x[(slice(None), *(slice(2),) * (rank - 1))], indices, 0
    )  # fmt: skip


BOXES = {"Transpose": transposed, "Add": added, "ReduceMax": reduced, "GatherElements": gathered}


@pytest.mark.parametrize("op", BOXES)
def test_a_box_of_more_dimensions_than_loops_walk_is_refused(layers, op):
    for rank in (MAX_RANK, MAX_RANK + 1):
        limit, cls, inputs, attributes, constants, exact = BOXES[op](rank)
        problem = layers.problem(op, inputs, [exact.shape], attributes, constants=constants)
        problem = typed(problem, *(x.dtype.name for x in inputs))
        if rank > MAX_RANK:
            assert refusal(limit, problem) == f"walks {MAX_RANK} dimensions, these operands need {rank}"
            continue
        assert refusal(limit, problem) is None
        (y,) = layers.run(cls, problem, inputs)
        np.testing.assert_array_equal(y, exact)


#: Name -> operator, limit, inputs, outputs, attributes, constants, the words of the refusal.
REFUSED = {
    "batches": (
        "MatMul", "limits:matmul", [values(257, 1, 1, 1), values(1, 2, 1, 1)], [(257, 2, 1, 1)], {}, (),
        "needs batches that broadcast in at most 256 runs",
    ),
    "joined": (
        "Max", "limits_broadcast:broadcast", [values(1), values(1), values(4)], [(4,)], {}, (),
        "needs the first two operands to span the result",
    ),
    "remainder": (
        "Mod", "limits_broadcast:broadcast", [values(4), values(4)], [(4,)], {"fmod": 0}, (), "needs fmod 1",
    ),
    "volume": (
        "Resize", "limits_moves:resize", [values(1, 2, 2, 2), None, np.float32([1, 2, 2, 2])], [(1, 4, 4, 4)],
        {"mode": "linear"}, (2,), "interpolates along one axis or two neighbours, has [1, 2, 3]",
    ),
    "axes apart": (
        "Resize", "limits_moves:resize", [values(1, 2, 2, 2), None, np.float32([1, 2, 1, 2])], [(1, 4, 2, 4)],
        {"mode": "cubic"}, (2,), "interpolates along one axis or two neighbours, has [1, 3]",
    ),
    "stash": (
        "LayerNormalization", "limits_reduce:layer_norm", [values(2, 3), values(3)], [(2, 3)], {"stash_type": 16}, (),
        "computes in float32, is asked for stash_type 16",
    ),
    "a scale a row": (
        "LayerNormalization", "limits_reduce:layer_norm", [values(4, 4), values(4, 1)], [(4, 4)], {"axis": -1}, (),
        "needs scale and shift of shape [4], has [4, 1]",
    ),
    "a scale an image": (
        "RMSNormalization", "limits_reduce:layer_norm", [values(6, 2, 3), values(6, 1, 1)], [(6, 2, 3)], {"axis": 1},
        (), "needs scale and shift of shape [2, 3], has [6, 1, 1]",
    ),
    "groups": (
        "GroupNormalization", "limits_reduce:group_norm", [values(1, 4, 2), values(4), values(4)], [(1, 4, 2)],
        {"num_groups": 3}, (), "needs groups that divide 4 channels, has 3",
    ),
    "activations": (
        "GRU", "limits_recurrent:recurrent", [values(2, 1, 3), values(1, 12, 3), values(1, 12, 4)], [(2, 1, 1, 4)],
        {"activations": ["Tanh", "Tanh"], "hidden_size": 4}, (), "needs the activations Sigmoid, Tanh",
    ),
    "not a number": ("LeakyRelu", "limits:unary", [values(3)], [(3,)], {"alpha": math.nan}, (), "needs parameters"),
    "too many": (
        "TopK", "limits_pick:top_k", [values(3), np.array([4])], [(4,), (4,)], {}, (1,), "needs K of 1 to 3, has 4",
    ),
    "training": (
        "BatchNormalization", "limits_pick:batch_norm", [values(1, 2, 3), *(values(2) for _ in range(4))],
        [(1, 2, 3)], {"training_mode": 1}, (), "computes inference only",
    ),
    "a part left out": (
        "Split", "limits_moves:move", [values(1, 6)], [(1, 2), None, (1, 2)], {"axis": 1}, (),
        "needs all of its outputs",
    ),
    "a block left out": (
        "Split", "limits_moves:split_blocked", [values(1, 48, 1, 1)], [(1, 16, 1, 1), None, (1, 16, 1, 1)], {"axis": 1},
        (), "needs all of its outputs",
    ),
    "index": (
        "Gather", "limits_moves:move", [values(3), np.array([3])], [(1,)], {}, (1,), "needs indices inside axis 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_computed_wrongly_is_refused(layers, name):
    op, limit, inputs, shapes, attributes, constants, words = REFUSED[name]
    problem = layers.problem(op, inputs, shapes, attributes, constants=constants)
    assert words in (refusal(limit, problem) or "taken")


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3)])
def test_a_scale_of_the_normalised_axes_is_taken(layers, shape):
    problem = layers.problem("RMSNormalization", [values(6, 2, 3), values(*shape)], [(6, 2, 3)], {"axis": 1})
    assert refusal("limits_reduce:layer_norm", problem) is None


@pytest.mark.parametrize(
    ("source", "target", "taken"),
    [
        ("float64", "float16", False),
        ("int32", "bfloat16", False),
        ("int16", "bfloat16", True),
        ("int64", "float16", True),
    ],
)
def test_a_cast_that_would_round_twice_is_refused(layers, source, target, taken):
    problem = typed(layers.problem("Cast", [values(3)], [(3,)], {"to": 1}), source, outputs=(target,))
    found = refusal("limits_pick:cast", problem)
    assert found is None if taken else f"holds not all of {source}" in found
