"""Convolutions take in what follows them: residual, scale and shift, activation; the sum stays when others read it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from orpheus_core.graph import Graph, Value
from orpheus_core.importer import to_onnx
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
from orpheus_core.ops.activations import ACTIVATIONS, activation_of
from orpheus_core.passes import fold_batch_norm, fuse_conv, fuse_scale_shift
from orpheus_core.types import DType, TensorType

_PARAMETERS = {"alpha": 0.25, "beta": 0.375, "gamma": 1.5}


def apply_activation(build, op, x):
    if op == "Clip":
        return build("Clip", x, np.asarray(-0.25, build.dtype), np.asarray(0.5, build.dtype))
    if op == "Gelu":
        return build("Gelu", x, approximate="tanh")
    return build(op, x, **{name: _PARAMETERS[name] for name in ACTIVATIONS[op]})


def both(graph):
    return fuse_conv.run(fuse_scale_shift.run(graph))


def conv(build, x, channels=4, **attributes):
    return build("Conv", x, build.array(channels, x.type.shape[1], 1, 1), **attributes)


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_activation(make_build, check, op):
    build = make_build(np.float32)
    y = apply_activation(build, op, conv(build, build.input(1, 3, 4, 4)))
    (node,) = check(build, build.graph(y), fuse_conv.run, tolerance=1e-6).nodes
    assert (node.domain, node.op) == (ORPHEUS_DOMAIN, "FusedConv")
    assert (node.attributes["activation"], node.attributes["activation_params"]) == activation_of(
        build.nodes[-1]
    )


@pytest.mark.parametrize("op", ["Add", "Sum"])
@pytest.mark.parametrize("swapped", [False, True])
def test_residual_and_activation(build, check, ops, op, swapped):
    x = build.input(2, 4, 5, 5)
    y = conv(build, x)
    y = build("Relu", build(op, x, y) if swapped else build(op, y, x))
    after = check(build, build.graph(y), fuse_conv.run)
    assert ops(after) == ["FusedConv"]
    assert after.nodes[0].inputs[3] is x


def test_residual_with_symbolic_batch(build, check, ops):
    x = build.input(2, 4, 5, 5, symbol="N")
    y = build("Add", conv(build, x), x)
    assert ops(check(build, build.graph(y), fuse_conv.run)) == ["FusedConv"]


def test_residual_of_unknown_size_stays(build):
    x = build.input(2, 4, 5, 5)
    y = conv(build, x)
    y.type = y.type.with_shape((None, 4, 5, 5))
    graph = build.graph(build("Add", y, x))
    assert fuse_conv.run(graph) is graph


def test_broadcast_residual_stays(build):
    x = build.input(1, 4, 5, 5)
    graph = build.graph(build("Add", conv(build, x), build.input(1, 4, 1, 1)))
    assert fuse_conv.run(graph) is graph


def test_the_later_of_two_convs_takes_the_residual(build, check, ops):
    x = build.input(1, 3, 5, 5)
    first, second = conv(build, x), conv(build, x)
    y = build("Relu", build("Add", second, first))
    after = check(build, build.graph(y), fuse_conv.run)
    assert ops(after) == ["Conv", "FusedConv"]
    assert after.nodes[1].inputs[1] is build.nodes[1].inputs[1]


def test_sum_with_itself_stays(build):
    y = conv(build, build.input(1, 3, 5, 5))
    graph = build.graph(build("Add", y, y))
    assert fuse_conv.run(graph) is graph


def test_residual_that_depends_on_the_conv_stays(build):
    y = conv(build, build.input(1, 3, 5, 5))
    graph = build.graph(build("Add", y, build("Sin", y)))
    assert fuse_conv.run(graph) is graph


def test_preactivation_block_keeps_the_sum(build, check, ops):
    x = build.input(1, 4, 5, 5)
    total = build("Add", conv(build, x), x)
    y = build("Relu", build.norm(total, 4))
    z = build("Add", conv(build, y), total)
    after = check(build, build.graph(z), both)
    assert ops(after) == ["FusedConv", "FusedConv"]
    first, second = after.nodes
    assert len(first.inputs) == 6
    assert len(first.outputs) == 2
    assert second.inputs[3] is first.outputs[1]


def test_stem_of_a_preactivation_network(build, check, ops):
    stem = conv(build, build.input(1, 3, 5, 5))
    y = conv(build, build("Relu", build.norm(stem, 4)))
    after = check(build, build.graph(build("Add", y, stem)), both)
    assert ops(after) == ["FusedConv", "FusedConv"]


def test_sum_that_is_a_graph_output(build, check, ops):
    x = build.input(1, 4, 5, 5)
    total = build("Add", conv(build, x), x)
    y = build("Relu", build.norm(total, 4))
    assert ops(check(build, build.graph(total, y), both)) == ["FusedConv"]


def test_two_normalizations_of_one_sum(build, check, ops):
    total = conv(build, build.input(1, 4, 5, 5))
    y, z = (build("Relu", build.norm(total, 4)) for _ in range(2))
    assert ops(check(build, build.graph(y, z), both)) == ["FusedConv", "ScaleShift"]


def test_second_activation_stays(build, check, ops):
    y = build("Tanh", build("Relu", conv(build, build.input(1, 3, 5, 5))))
    assert ops(check(build, build.graph(y), fuse_conv.run)) == ["FusedConv", "Tanh"]


def test_clip_with_computed_bounds_stays(build):
    low = build.input()
    graph = build.graph(build("Clip", conv(build, build.input(1, 3, 5, 5)), low))
    assert fuse_conv.run(graph) is graph


def test_post_activation_block_leaves_nothing_behind(build, check, ops):
    x = build.input(1, 4, 6, 6)
    y = build("Relu", build.norm(conv(build, x), 4))
    y = build("Add", build.norm(build("Conv", y, build.array(4, 4, 3, 3), pads=(1,) * 4), 4), x)
    after = check(build, build.graph(build("Relu", y)), lambda g: both(fold_batch_norm.run(g)))
    assert ops(after) == ["FusedConv", "FusedConv"]


def test_sum_that_a_subgraph_captures_stays_available(build):
    x = build.input(1, 4, 5, 5)
    total = build("Add", conv(build, x), x)
    y = build("Relu", total)
    branch = Graph((), (total,), (), "branch")
    other = Graph((), (x,), (), "other")
    choice = Value("choice", total.type)
    condition = Value("condition", TensorType(DType.BOOL, ()))
    node = make_node("If", [condition], [choice], {"then_branch": branch, "else_branch": other})
    graph = build.graph(y, choice)
    graph = graph.replace(inputs=(*graph.inputs, condition), nodes=(*graph.nodes, node))
    after = fuse_conv.run(graph)
    assert [n.op for n in after.nodes] == ["FusedConv", "If"]
    assert after.nodes[1].attributes["then_branch"].outputs[0] is after.nodes[0].outputs[1]
    assert fuse_conv.run(after) is after


def test_as_onnx_the_fused_operator_is_its_decomposition(build, check):
    x = build.input(1, 4, 5, 5)
    total = build("Add", conv(build, x), x)
    graph = build.graph(build("Relu", build.norm(total, 4)), total)
    model = to_onnx(check(build, graph, both))
    assert [node.domain for node in model.graph.node] == [ORPHEUS_DOMAIN]
    results = ReferenceEvaluator(model).run(None, {x.name: build.feeds[0]})
    for value, result in zip(graph.outputs, results):
        np.testing.assert_allclose(result, build.held[value], rtol=1e-12, atol=1e-12)
