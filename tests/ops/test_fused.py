"""Each fused operator's decomposition against a formula written with nothing but numpy, in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from orpheus_core.errors import ModelError
from orpheus_core.graph import Graph, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, find_spec, make_node
from orpheus_core.ops.activations import ACTIVATIONS, activation_node, activation_of
from orpheus_core.types import UNKNOWN, DType, TensorType, type_of_array

_erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


#: Formulas of the operator pages, and the parameters to try them with.
FORMULAS = {
    "Relu": (lambda x: np.where(x > 0, x, 0), ()),
    "Clip": (lambda x, low, high: np.minimum(np.maximum(x, low), high), (-0.5, 0.75)),
    "LeakyRelu": (lambda x, a: np.where(x < 0, a * x, x), (0.125,)),
    "Sigmoid": (sigmoid, ()),
    "Tanh": (np.tanh, ()),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), (0.25, 0.375)),
    "HardSwish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), ()),
    "Swish": (lambda x, a: x * sigmoid(a * x), (1.5,)),
    "Elu": (lambda x, a: np.where(x < 0, a * (np.exp(x) - 1), x), (0.75,)),
    "Celu": (lambda x, a: np.maximum(x, 0) + np.minimum(0, a * (np.exp(x / a) - 1)), (0.75,)),
    "Selu": (lambda x, a, g: g * np.where(x < 0, a * (np.exp(x) - 1), x), (1.5, 1.25)),
    "Gelu": (lambda x, tanh: 0.5 * x * (1 + _erf(x / math.sqrt(2))), (0.0,)),
    "Mish": (lambda x: x * np.tanh(np.log1p(np.exp(x))), ()),
    "Softplus": (lambda x: np.log1p(np.exp(x)), ()),
    "Softsign": (lambda x: x / (1 + np.abs(x)), ()),
    "ThresholdedRelu": (lambda x, a: np.where(x > a, x, 0), (0.5,)),
}


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def evaluate(graph: Graph, arrays):
    """A graph of standard operators, through onnx.reference."""
    names = {v: f"{v.name}_{i}" for i, v in enumerate(all_values(graph))}

    def info(value, dtype):
        return helper.make_tensor_value_info(names[value], dtype, None)

    protos = [
        helper.make_node(
            node.op,
            ["" if v is None else names[v] for v in node.inputs],
            ["" if v is None else names[v] for v in node.outputs],
            **node.attributes,
        )
        for node in graph.nodes
    ]
    dtype = helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
    model = helper.make_model(
        helper.make_graph(
            protos,
            "parts",
            [info(v, dtype) for v in graph.inputs],
            [info(v, dtype) for v in graph.outputs],
            [onnx.numpy_helper.from_array(v.const, names[v]) for v in graph.constants],
        ),
        opset_imports=[helper.make_opsetid("", onnx.defs.onnx_opset_version())],
    )
    return ReferenceEvaluator(model).run(None, {names[v]: a for v, a in zip(graph.inputs, arrays)})


def all_values(graph):
    found = dict.fromkeys(graph.inputs)
    for node in graph.nodes:
        found.update(dict.fromkeys(v for v in (*node.inputs, *node.outputs) if v is not None))
    return found


def run_fused(op, arrays, result, *, outputs=1, **attributes):
    """Decompose a fused node on these arrays (None where omitted) and evaluate the parts."""
    inputs = [None if a is None else Value(f"i{k}", type_of_array(a)) for k, a in enumerate(arrays)]
    values = [Value(f"o{k}", TensorType(DType.FLOAT64, result)) for k in range(outputs)]
    node = make_node(op, inputs, values, attributes, domain=ORPHEUS_DOMAIN)
    graph = find_spec(ORPHEUS_DOMAIN, op, 1).decompose(node)
    present = [a for a in arrays if a is not None]
    assert [v.type for v in graph.inputs] == [v.type for v in inputs if v is not None]
    assert [v.type for v in graph.outputs] == [v.type for v in values]
    assert not set(graph.inputs) & {v for v in inputs if v is not None}, (
        "a decomposition has values of its own"
    )
    assert not any(node.domain for node in graph.nodes)
    return evaluate(graph, present)


@pytest.fixture
def array():
    random = np.random.default_rng(7)
    return lambda *shape: random.uniform(-2, 2, shape)


def near(got, want):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-12 * max(1.0, np.abs(want).max())


def conv2d(x, w, b, stride, pad, group):
    """Convolution, one output at a time."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n, _, h, width = x.shape
    m, c, kh, kw = w.shape
    out = np.zeros((n, m, (h - kh) // stride + 1, (width - kw) // stride + 1))
    for image, o, i, j in np.ndindex(out.shape):
        first = o // (m // group) * c
        window = x[image, first : first + c, i * stride : i * stride + kh, j * stride : j * stride + kw]
        out[image, o, i, j] = (window * w[o]).sum() + (0 if b is None else b[o])
    return out


@pytest.mark.parametrize("bias, residual, scale, raw", list(itertools.product([False, True], repeat=4)))
@pytest.mark.parametrize("group", [1, 2])
def test_conv(array, bias, residual, scale, raw, group):
    shape = (2, 6, 3, 4)
    x, w = array(2, 4, 5, 7), array(6, 4 // group, 3, 3)
    b = array(6) if bias else None
    r = array(*shape) if residual else None
    a, c = (array(6), array(6)) if scale else (None, None)
    want = conv2d(x, w, b, 2, 1, group) + (0 if r is None else r)
    scaled = want if a is None else want * a.reshape(6, 1, 1) + c.reshape(6, 1, 1)
    results = run_fused(
        "FusedConv",
        [x, w, b, r, a, c],
        shape,
        outputs=1 + raw,
        group=group,
        strides=(2, 2),
        pads=(1, 1, 1, 1),
        activation="Relu",
    )
    near(results[0], np.maximum(scaled, 0))
    if raw:
        near(results[1], want)


@pytest.mark.parametrize("spatial", [(6,), (4, 3, 5)])
def test_conv_of_other_ranks(array, spatial):
    x, w = array(2, 3, *spatial), array(4, 3, *(1,) * len(spatial))
    a, c = array(4), array(4)
    product = np.moveaxis(np.tensordot(w.reshape(4, 3), x, (1, 1)), 0, 1)
    column = (4, *(1,) * len(spatial))
    (got,) = run_fused("FusedConv", [x, w, None, None, a, c], product.shape)
    near(got, product * a.reshape(column) + c.reshape(column))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("op", ["FusedConv", "FusedGemm", "FusedMatMul", "ScaleShift"])
def test_every_activation(array, name, op):
    formula, parameters = FORMULAS[name]
    attributes = {"activation": name, "activation_params": parameters}
    x, w = array(5, 3), array(3, 4)
    if op == "FusedConv":
        arrays, plain = [x[..., None], w.T[..., None]], (x @ w)[..., None]
    elif op == "ScaleShift":
        arrays, plain = [x, w[:, 0], w[:, 1]], x * w[:, 0] + w[:, 1]
    else:
        arrays, plain = [x, w], x @ w
    (got,) = run_fused(op, arrays, plain.shape, **attributes)
    # Some reference operators work with coefficients rounded to float32.
    assert np.abs(got - formula(plain, *parameters)).max() < 1e-6


def test_gelu_by_tanh(array):
    x = array(4, 5)
    one, zero = np.ones(5), np.zeros(5)
    (got,) = run_fused("ScaleShift", [x, one, zero], (4, 5), activation="Gelu", activation_params=(1.0,))
    assert np.abs(got - gelu_tanh(x)).max() < 1e-6  # the reference rounds its coefficients to float32


@pytest.mark.parametrize("bias", [None, (), (4,), (5, 1), (5, 4)])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("left, right", list(itertools.product([0, 1], repeat=2)))
def test_gemm(array, bias, residual, left, right):
    x, w, r = array(5, 3), array(3, 4), array(5, 4)
    c = None if bias is None else array(*bias)
    want = 0.5 * (x @ w) + (0 if c is None else 2 * c) + (r if residual else 0)
    arrays = [x.T if left else x, w.T if right else w, c, r if residual else None]
    attributes = {"transA": left, "transB": right, "alpha": 0.5, "beta": 2.0, "activation": "Tanh"}
    (got,) = run_fused("FusedGemm", arrays, (5, 4), **attributes)
    near(got, np.tanh(want))


@pytest.mark.parametrize("bias, residual", list(itertools.product([False, True], repeat=2)))
def test_matrix_product(array, bias, residual):
    x, w, b, r = array(2, 1, 5, 3), array(6, 3, 4), array(4), array(2, 6, 5, 4)
    want = x @ w + (b if bias else 0) + (r if residual else 0)
    arrays = [x, w, b if bias else None, r if residual else None]
    (got,) = run_fused("FusedMatMul", arrays, (2, 6, 5, 4), activation="Relu")
    near(got, np.maximum(want, 0))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_scale_shift(array, axis):
    x = array(2, 3, 4)
    a, c = array(x.shape[axis]), array(x.shape[axis])
    column = np.moveaxis(np.ones((1, 1, 1)), axis, axis).shape
    column = tuple(x.shape[axis] if i == axis % 3 else size for i, size in enumerate(column))
    (got,) = run_fused("ScaleShift", [x, a, c], x.shape, axis=axis)
    near(got, x * a.reshape(column) + c.reshape(column))


def test_reorder(array):
    x = array(1, 3, 2, 2)
    (got,) = run_fused("Reorder", [x], x.shape, from_layout="plain", to_layout="NHWC")
    near(got, x)


def test_scale_needs_a_rank():
    values = [Value(name, UNKNOWN) for name in ("x", "w", "scale", "shift", "y")]
    x, w, scale, shift, y = values
    node = make_node("FusedConv", [x, w, None, None, scale, shift], [y], domain=ORPHEUS_DOMAIN)
    with pytest.raises(ModelError, match="rank"):
        find_spec(ORPHEUS_DOMAIN, "FusedConv", 1).decompose(node)


@pytest.mark.parametrize("op", ["FusedConv", "FusedGemm", "FusedMatMul", "ScaleShift", "Reorder"])
def test_specs_say_what_they_are(op):
    spec = find_spec(ORPHEUS_DOMAIN, op, 1)
    assert (spec.name, spec.domain, spec.version) == (op, ORPHEUS_DOMAIN, 1)
    assert DType.FLOAT32 in spec.type_constraints["T"]
    assert op == "Reorder" or spec.defaults["activation"] == ""


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_there_and_back(name):
    x, y = (Value(n, TensorType(DType.FLOAT32, (2,))) for n in "xy")
    for parameters in {FORMULAS[name][1], *([(1.0,)] if name == "Gelu" else [])}:
        node = activation_node(name, parameters, x, y)
        assert activation_of(node) == (name, parameters)


def test_open_clip():
    x, y = (Value(n, TensorType(DType.FLOAT16, (2,))) for n in "xy")
    node = activation_node("Clip", (-math.inf, 6.0), x, y)
    assert node.inputs[1] is None
    assert node.inputs[2].const.dtype == np.float16
    assert activation_of(node) == ("Clip", (-math.inf, 6.0))


@pytest.mark.parametrize("name, parameters", [("Nope", ()), ("Relu", (1.0,)), ("Clip", (0.0,))])
def test_wrong_activation_is_refused(name, parameters):
    x, y = (Value(n, TensorType(DType.FLOAT32, (2,))) for n in "xy")
    with pytest.raises(ValueError, match=name):
        activation_node(name, parameters, x, y)


def test_bounds_that_do_not_survive_are_no_activation():
    x, y = (Value(n, TensorType(DType.FLOAT64, (2,))) for n in "xy")
    for bound in (np.float64(0.1), np.float64(np.nan)):
        node = make_node("Clip", [x, Value.constant("low", np.asarray(bound))], [y])
        assert activation_of(node) is None
    assert activation_of(make_node("Sin", [x], [y])) is None
