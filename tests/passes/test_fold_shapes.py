"""Shape arithmetic, with numbers and with symbols."""

from __future__ import annotations

import numpy as np
import pytest
from passes.building import Builder, check, ops

from orpheus_core.passes import simplify
from orpheus_core.types import DType


def dimension(b, x, axis):
    return b.op("Gather", b.op("Shape", x), b.const(np.int64(axis)))


def vector(b, *parts):
    parts = [b.ints(p) if isinstance(p, int) else b.op("Unsqueeze", p, b.ints(0)) for p in parts]
    return b.op("Concat", *parts, axis=0)


def fold(graph):
    return simplify(graph, enable=["fold_shapes", "eliminate_dead"])


def target_of(graph):
    return graph.nodes[-1].inputs[1].const.tolist()


def test_known_dimension_among_symbols_becomes_constant():
    b = Builder()
    x = b.input("n", 4, dtype=DType.INT64)
    check(fold, b.graph(b.op("Add", x, dimension(b, x, 1))), ["Add"])


def test_shape_and_size_of_known_dimensions():
    b = Builder()
    x = b.input(2, 4, dtype=DType.INT64)
    y = b.op("Add", b.op("Shape", x), b.op("Size", x))
    check(fold, b.graph(b.op("Add", b.op("ReduceSum", x, keepdims=0), y)), ["ReduceSum", "Add"])


def test_dynamic_batch_flattening_gets_minus_one():
    b = Builder()
    x = b.input("n", 3, 4)
    graph = b.graph(b.op("Reshape", x, vector(b, dimension(b, x, 0), 12)))
    assert target_of(check(fold, graph, ["Reshape"])) == [-1, 12]


def test_batch_beside_minus_one_is_copied():
    b = Builder()
    x = b.input("n", "c", 4)
    graph = b.graph(b.op("Reshape", x, vector(b, dimension(b, x, 0), -1)))
    assert target_of(check(fold, graph, ["Reshape"])) == [0, -1]


def test_product_of_known_dimensions():
    b = Builder()
    x = b.input("n", 3, 4)
    rest = b.op("Mul", dimension(b, x, 1), dimension(b, x, 2))
    graph = b.graph(b.op("Relu", b.op("Reshape", x, vector(b, dimension(b, x, 0), rest))))
    after = check(fold, graph, ["Reshape", "Relu"])
    assert after.nodes[0].outputs[0].type.shape == ("n", 12)


def test_types_are_inferred_again_behind_a_folded_reshape():
    b = Builder()
    x = b.input("n", 3, 4)
    y = b.op("Reshape", x, vector(b, dimension(b, x, 0), 2, 6))
    z = b.op("Relu", b.op("Reshape", b.op("Relu", y), vector(b, dimension(b, y, 0), dimension(b, y, 1), -1)))
    after = check(fold, b.graph(z), ["Reshape", "Relu", "Reshape", "Relu"])
    assert after.nodes[2].outputs[0].type.shape == ("n", 2, 6)


def test_two_unknowns_stay():
    b = Builder()
    x = b.input("n", "h", 4)
    product = b.op("Mul", dimension(b, x, 0), dimension(b, x, 1))
    sum_ = b.op("Add", product, b.const(np.int64(0)))
    difference = b.op("Div", sum_, dimension(b, x, 0))
    graph = b.graph(b.op("Reshape", x, vector(b, difference, dimension(b, x, 0), 4)))
    assert "Concat" in ops(check(fold, graph))


def test_minus_one_beside_an_unknown_stays():
    b = Builder()
    x = b.input("n", "h", 4)
    product = b.op("Mul", dimension(b, x, 0), dimension(b, x, 1))
    graph = b.graph(b.op("Reshape", x, vector(b, product, -1)))
    assert "Concat" in ops(check(fold, graph))


def test_allowzero_is_honoured():
    b = Builder()
    x = b.input(0, "n")
    graph = b.graph(b.op("Reshape", x, vector(b, 0, dimension(b, x, 1)), allowzero=1))
    assert "Concat" in ops(check(fold, graph))


@pytest.mark.parametrize("items, expected", [(("n", 3), ["Relu"]), ((1, 1), ["Relu"]), ((3,), ["Relu"])])
def test_expand_to_its_own_shape_goes(items, expected):
    b = Builder()
    x = b.input("n", 3)
    shape = vector(b, *(dimension(b, x, 0) if d == "n" else d for d in items))
    check(fold, b.graph(b.op("Relu", b.op("Expand", x, shape))), expected)


def test_expand_of_a_one_to_a_symbol_stays():
    b = Builder()
    x, y = b.input("n", 3), b.input(1, 3)
    graph = b.graph(b.op("Expand", y, b.op("Shape", x)), b.op("Relu", x))
    assert "Expand" in ops(check(fold, graph))


def test_exporters_where_of_expand():
    """PyTorch writes expand(-1, 5) as Where(shape == -1, ones, shape)."""
    b = Builder()
    x = b.input("n", 1)
    wanted = vector(b, dimension(b, x, 0), 5)
    ones = b.op("ConstantOfShape", b.ints(2), value=np.array([1], np.int64))
    shape = b.op("Where", b.op("Equal", wanted, b.op("Mul", ones, b.ints(-1))), ones, wanted)
    after = fold(b.graph(b.op("Relu", b.op("Expand", x, shape))))
    assert "Where" in ops(after)  # n is still a symbol
    b = Builder()
    x = b.input(2, 1)
    wanted = vector(b, dimension(b, x, 0), 5)
    ones = b.op("ConstantOfShape", b.ints(2), value=np.array([1], np.int64))
    shape = b.op("Where", b.op("Equal", wanted, b.op("Mul", ones, b.ints(-1))), ones, wanted)
    check(fold, b.graph(b.op("Relu", b.op("Expand", x, shape))), ["Expand", "Relu"])


def test_slice_to_the_size_of_its_axis_goes():
    b = Builder()
    x = b.input("n", 3)
    end = b.op("Unsqueeze", dimension(b, x, 0), b.ints(0))
    y = b.op("Relu", b.op("Slice", x, b.ints(0), end, b.ints(0)))
    run = lambda g: simplify(g, enable=["fold_shapes", "remove_identity", "eliminate_dead"])  # noqa: E731
    check(run, b.graph(y), ["Relu"])


def test_filled_tensor_learns_its_shape_from_symbols():
    b = Builder()
    x = b.input("n", 3)
    zeros = b.op("ConstantOfShape", vector(b, dimension(b, x, 0), 4))
    y = b.op("Relu", zeros)
    fold(b.graph(y, b.op("Neg", x)))
    assert zeros.type.shape == ("n", 4)


def test_shape_that_is_an_output_keeps_its_name():
    b = Builder()
    check(fold, b.graph(b.op("Shape", b.input(2, 3))), ["Identity"])
