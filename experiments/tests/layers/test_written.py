"""Layers in words: what is written is what is built, and what cannot be built says why."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orpheus_experiments.layer.written import OPERATORS, WrittenLayer, is_written, parse_layer

import orpheus_core as core
from orpheus_core.errors import UsageError

SIZES = st.integers(1, 9)
FOLLOWERS = st.lists(
    st.sampled_from(("Relu", "Relu6", "Sigmoid", "Tanh", "HardSwish", "Add")), max_size=3
).map(tuple)
DTYPES = st.sampled_from(("float32", "float16", "float64"))


@st.composite
def layers(draw: st.DrawFn) -> WrittenLayer:
    """Any layer of the grammar whose numbers fit each other."""
    op = draw(st.sampled_from(sorted(OPERATORS)))
    found: dict[str, tuple[int, ...]] = {}
    if op in ("Conv", "Depthwise", "MaxPool", "AveragePool", "GlobalAveragePool"):
        axes = draw(st.integers(1, 3))
        groups = draw(st.integers(1, 3))
        spatial = tuple(draw(st.integers(6, 9)) for _ in range(axes))
        shapes = ((draw(st.integers(1, 2)), groups * draw(st.integers(1, 4)), *spatial),)
        numbers = st.integers(1, 3)
        for key in OPERATORS[op]:
            if not draw(st.booleans()):
                continue
            if key in "ksd":
                found[key] = draw(st.one_of(st.tuples(numbers), st.tuples(*[numbers] * axes)))
            elif key == "b":
                found[key] = (draw(st.integers(0, 1)),)
            elif key == "g":
                found[key] = (groups,)
            elif key == "o":
                found[key] = (groups * draw(st.integers(1, 4)),)
            elif key == "p" and found.get("k", (2,))[0] > 1 and op in ("Conv", "Depthwise"):
                found[key] = (draw(st.integers(0, 1)),)
    elif op == "Gemm":
        shapes = ((draw(SIZES), draw(SIZES)),)
        found = draw(
            st.fixed_dictionaries({}, optional={"n": st.tuples(SIZES), "b": st.tuples(st.integers(0, 1))})
        )
    elif op == "MatMul":
        lead, rows, depth = draw(st.lists(SIZES, max_size=2)), draw(SIZES), draw(SIZES)
        shapes = ((*lead, rows, depth),)
        if draw(st.booleans()):
            shapes = (*shapes, (*lead, depth, draw(SIZES)))
        elif draw(st.booleans()):
            found["n"] = (draw(SIZES),)
    else:
        shape = tuple(draw(st.lists(SIZES, min_size=1, max_size=4)))
        shapes = (shape, shape) if op in ("Add", "Mul") and draw(st.booleans()) else (shape,)
    return WrittenLayer(op, shapes, found, draw(DTYPES), draw(FOLLOWERS))


@settings(max_examples=200, deadline=None)
@given(layers())
def test_what_is_printed_parses_to_the_same(layer: WrittenLayer) -> None:
    assert parse_layer(str(layer)) == layer
    assert is_written(str(layer))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers())
def test_every_layer_is_a_sound_model_of_its_operator(layer: WrittenLayer) -> None:
    model = layer.model(seed=3)
    onnx.checker.check_model(model, full_check=True)
    head = model.graph.node[0]
    assert head.name == "layer" and head.op_type == ("Conv" if layer.op == "Depthwise" else layer.op)
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    assert shape == layer.shapes[0]
    assert layer.model(seed=3) == model, "the same seed gives the same weights"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ConvGemP[]x,+k139 softRelu.é-", max_size=40))
def test_any_other_text_is_a_usage_error(text: str) -> None:
    try:
        layer = parse_layer(text)
    except UsageError as error:
        assert str(error)
    else:
        assert parse_layer(str(layer)) == layer


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Conv[1x8x9x9,k3]", (1, 8, 9, 9)),
        ("conv[1x8x9x9, k3, s2, o16]", (1, 16, 5, 5)),
        ("Conv[1x8x9x9,k1x5,p0]", (1, 8, 9, 5)),
        ("Conv[1x8x9x9,k3,d2]", (1, 8, 9, 9)),
        ("Depthwise[2x8x9x9,k3,s2]", (2, 8, 5, 5)),
        ("MaxPool[1x8x8x8]", (1, 8, 4, 4)),
        ("AveragePool[1x8x9x9,k3,s2,p1]", (1, 8, 5, 5)),
        ("GlobalAveragePool[1x8x9x9]", (1, 8, 1, 1)),
        ("Gemm[4x6,n3]+Relu", (4, 3)),
        ("MatMul[2x4x6,n3]", (2, 4, 3)),
        ("MatMul[2x4x6,2x6x5]", (2, 4, 5)),
        ("Add[1x8x3,8x1]", (1, 8, 3)),
        ("Conv[1x8x9x9,k3]+Add+Relu6", (1, 8, 9, 9)),
    ],
)
def test_numbers_mean_what_the_grammar_says(text: str, result: tuple[int, ...]) -> None:
    session = core.InferenceSession(parse_layer(text).model(), providers=["numpy"])
    feeds = {i.name: np.ones([int(d or 1) for d in i.shape], np.float32) for i in session.get_inputs()}
    assert session.run(None, feeds)[0].shape == result


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Conf[1x8x9x9]", "did you mean Conv?"),
        ("Conv", "is not a layer"),
        ("Conv[1x8x9x9", "is not a layer"),
        ("Conv[]", "takes one shape"),
        ("Conv[8x9]", "batch, channels"),
        ("Conv[1x8x9x9,k3x3x3]", "k takes one number or 2, not 3"),
        ("Conv[1x8x9x9,k3,k3]", "k is given twice"),
        ("Conv[1x8x9x9,z3]", "'z3' is neither a shape nor a type, and Conv takes k, o, s, p, d, g, b"),
        ("Conv[k3,1x8x9x9]", "shapes come first"),
        ("Conv[1x0x9x9]", "from 1 up"),
        ("Conv[1x8x9x9,b2]", "b is 1"),
        ("Conv[99999x99999x9]", "limit"),
        ("Gemm[3x4x5]", "rows and columns"),
        ("MatMul[3x4,4x5,n5]", "nothing to say"),
        ("Relu[3x4]+Conv", "no operator after +"),
        ("Relu[3,float32,float32]", "type is given twice"),
    ],
)
def test_what_is_wrong_is_said(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        parse_layer(text)
    assert part in str(caught.value)


@pytest.mark.parametrize("text", ["Conv[1x8x2x2,k9,p0]", "Conv[1x8x9x9,g3]", "MatMul[3x4,5x6]", "Add[3,4]"])
def test_numbers_that_do_not_fit_are_refused_when_it_is_built(text: str) -> None:
    with pytest.raises(UsageError):
        parse_layer(text).model()
