"""Constant folding: what folds, what stays, and the budget."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from passes.building import Builder, check, ops

from orpheus_core.graph import Value
from orpheus_core.ops import make_node
from orpheus_core.passes import fold_constants, simplify
from orpheus_core.passes.fold_constants import Budget
from orpheus_core.types import DType, TensorType


def const_output(graph):
    """The array that the last node adds to the input."""
    return graph.nodes[-1].inputs[1].const


def fold(build):
    """Fold what ``build(b)`` computes, added to an input; gives the constant it became, or None."""
    b = Builder()
    value = build(b)
    shape = tuple(2 if d is None else d for d in value.type.shape)
    x = b.input(*shape, dtype=value.type.dtype)
    y = b.op("Add", x, value)
    return const_output(check(fold_constants.run, b.graph(y)))


CASES = {
    "Shape": lambda b: b.op("Shape", b.const(np.zeros((2, 5))), start=1),
    "Size": lambda b: b.op("Size", b.const(np.zeros((2, 5)))),
    "Gather": lambda b: b.op("Gather", b.ints(4, 5, 6), b.ints(-1, 0)),
    "Slice down": lambda b: b.op("Slice", b.ints(4, 5, 6), b.ints(-1), b.ints(-9), b.ints(0), b.ints(-1)),
    "Concat": lambda b: b.op("Concat", b.ints(1), b.ints(2, 3), axis=0),
    "Unsqueeze": lambda b: b.op("Unsqueeze", b.const(np.int64(3)), b.ints(0)),
    "Squeeze": lambda b: b.op("Squeeze", b.const([[3.0]], "f4")),
    "Reshape": lambda b: b.op("Reshape", b.const(np.arange(6.0)), b.ints(0, 1)),
    "Reshape -1": lambda b: b.op("Reshape", b.const(np.arange(6.0).reshape(2, 3)), b.ints(0, -1, 1)),
    "Flatten": lambda b: b.op("Flatten", b.const(np.ones((2, 3, 4))), axis=2),
    "Transpose": lambda b: b.op("Transpose", b.const(np.arange(6.0).reshape(2, 3))),
    "Cast": lambda b: b.op("Cast", b.const([1.7, -1.7], "f4"), to=DType.INT64.onnx),
    "Expand": lambda b: b.op("Expand", b.const([1.0], "f4"), b.ints(2, 3)),
    "Tile": lambda b: b.op("Tile", b.const([1.0, 2.0], "f4"), b.ints(2)),
    "Range": lambda b: b.op("Range", b.const(np.int64(5)), b.const(np.int64(0)), b.const(np.int64(-2))),
    "Where": lambda b: b.op("Where", b.op("Equal", b.ints(1, -1), b.ints(-1, -1)), b.ints(7), b.ints(8, 9)),
    "Div towards zero": lambda b: b.op("Div", b.ints(7, -7, 7, -7), b.ints(2, 2, -2, -2)),
    "Mul": lambda b: b.op("Mul", b.const([2.0], "f4"), b.const([3.0, 4.0], "f4")),
    "Floor": lambda b: b.op("Floor", b.const([2.5, -2.5], "f4")),
    "ReduceProd": lambda b: b.op("ReduceProd", b.ints(2, 3, 4), keepdims=0),
    "ConstantOfShape": lambda b: b.op("ConstantOfShape", b.ints(2, 3), value=np.array([5], np.int64)),
}


@pytest.mark.parametrize("name", CASES)
def test_folds_without_an_evaluator(name):
    assert fold(CASES[name]) is not None


def test_chain_folds_in_one_run():
    b = Builder()
    c = b.op(
        "Mul", b.op("Add", b.const(np.ones(3, "f4")), b.const(np.ones(3, "f4"))), b.const(np.ones(3, "f4"))
    )
    after = check(fold_constants.run, b.graph(b.op("Add", b.input(3), c)), ["Add"])
    assert np.array_equal(const_output(after), [2, 2, 2])


@pytest.mark.parametrize(
    "value", [lambda b: b.op("Cast", b.const([1e30], "f4"), to=DType.INT64.onnx),
              lambda b: b.op("Div", b.ints(1), b.ints(0))]
)  # fmt: skip
def test_undefined_results_are_left_to_the_run(value):
    b = Builder()
    graph = b.graph(b.op("Add", b.input(1, dtype=DType.INT64), value(b)))
    assert fold_constants.run(graph) is graph


def test_output_that_is_constant_keeps_its_name():
    b = Builder()
    y = b.op("Neg", b.ints(1, 2))
    after = check(fold_constants.run, b.graph(y), ["Identity"])
    assert np.array_equal(after.nodes[0].inputs[0].const, [-1, -2])


def test_random_numbers_and_defaults_stay():
    b = Builder()
    x = b.input(2)
    y = b.op("Add", b.op("Neg", x), b.op("RandomUniformLike", b.const([1.0, 2.0], "f4")))
    graph = b.graph(y).replace(defaults={x: np.ones(2, "f4")})
    assert fold_constants.run(graph, Recorder()) is graph


class Recorder:
    """An evaluator that answers every call with zeros of the inferred type."""

    def __init__(self):
        self.seen = []

    def evaluate(self, node, inputs):
        self.seen.append(node.op)
        return tuple(np.zeros(v.type.static_shape, v.type.dtype.numpy) for v in node.results)


def conv(b):
    return b.op("Conv", b.const(np.ones((1, 1, 4, 4)), "f4"), b.const(np.ones((1, 1, 3, 3)), "f4"))


def test_evaluator_computes_what_the_table_does_not_know():
    b = Builder()
    graph = b.graph(b.op("Add", b.input(1, 1, 2, 2), conv(b)))
    assert fold_constants.run(graph) is graph
    evaluator = Recorder()
    assert ops(simplify(graph, evaluator=evaluator, enable=["fold_constants"])) == ["Add"]
    assert evaluator.seen == ["Conv"]


def test_evaluator_may_decline():
    class Declines:
        def evaluate(self, node, inputs):
            return None

    b = Builder()
    graph = b.graph(b.op("Add", b.input(1, 1, 2, 2), conv(b)))
    assert fold_constants.run(graph, Declines()) is graph


@pytest.mark.parametrize("shape", [(5000, 5000), (2**40,), (2**62, 2**62)])
@pytest.mark.parametrize("is_known", [True, False])
def test_large_results_are_not_made(shape, is_known):
    b = Builder()
    big = Value("big", TensorType(DType.FLOAT32, shape if is_known else None))
    b.nodes.append(make_node("ConstantOfShape", [b.ints(*shape)], [big], {"value": np.array([1.0], "f4")}))
    graph = b.graph(big)
    assert fold_constants.run(graph) is graph


def test_what_exceeds_the_budget_is_logged(caplog):
    b = Builder()
    graph = b.graph(b.op("ConstantOfShape", b.ints(5000, 5000)))
    with caplog.at_level(logging.INFO, "orpheus.passes"):
        assert fold_constants.run(graph) is graph
    assert "constantofshape" in caplog.text and "folding budget" in caplog.text


def test_budget_is_shared_by_all_folds():
    b = Builder()
    parts = [b.op("Expand", b.const([float(i)], "f4"), b.ints(1000)) for i in range(4)]
    graph = b.graph(b.op("Sum", b.input(1000), *parts))
    assert ops(fold_constants.run(graph, budget=Budget(9000))) == ["Expand", "Expand", "Sum"]


def test_folded_constants_are_read_only_and_own_their_memory():
    b = Builder()
    wide = b.const(np.arange(1000.0))
    graph = b.graph(b.op("Add", b.input(1, dtype=DType.FLOAT64), b.op("Slice", wide, b.ints(3), b.ints(4))))
    array = const_output(fold_constants.run(graph))
    assert array.base is None and not array.flags.writeable
