"""What fused operators do after the sum, in every convolution kernel and Gemm."""

from __future__ import annotations

import numpy as np
import pytest
from orpheus_numpy.nn.conv import conv as reference

from orpheus_core.ops.activations import ACTIVATIONS
from orpheus_core.plugin import resolve

convolutions = pytest.importorskip("orpheus_openmp.conv", reason="orpheus-openmp is not installed")
gemm = pytest.importorskip("orpheus_openmp.gemm", reason="orpheus-openmp is not installed")
winograd = pytest.importorskip("orpheus_openmp.winograd", reason="orpheus-openmp is not installed")
strassen = pytest.importorskip("orpheus_openmp.strassen", reason="orpheus-openmp is not installed")
FORMS = pytest.importorskip("orpheus_openmp.cook_toom", reason="orpheus-openmp is not installed").FORMS
Im2col = pytest.importorskip("orpheus_openmp.im2col", reason="orpheus-openmp is not installed").Im2col

KERNELS = {
    "direct": (convolutions.Direct, True, True, 1, (3, 3)),
    "stem": (convolutions.Direct, False, True, 1, (3, 3)),
    "pointwise": (convolutions.Pointwise, True, True, 1, (1, 1)),
    "depthwise": (convolutions.Depthwise, True, True, 21, (3, 3)),
    **{name: (getattr(winograd.layers, name), True, True, 1, form.kernel) for name, form in FORMS.items()},
    "im2col": (Im2col, False, False, 1, (3, 3)),
    "strassen": (strassen.Strassen, True, True, 1, (1, 1)),
    "strassen2": (strassen.Strassen2, True, True, 1, (1, 1)),
}
#: Channels and filters: enough that blocks are combined, and some left over.
WIDTHS = {"strassen": 69, "strassen2": 133}
PARAMETERS = {
    "Clip": (0.1, 0.7), "LeakyRelu": (0.1,), "HardSigmoid": (0.3, 0.6), "Swish": (1.0,), "Elu": (1.0,), "Celu": (0.5,),
    "Selu": (1.67, 1.05), "Gelu": (0.0,), "ThresholdedRelu": (0.3,),
}  # fmt: skip


def activated(name, parameters, value):
    """The reference's activation in float64."""
    from orpheus_numpy.manifest import KERNELS as ALL

    if not name:
        return value
    if name == "Clip":
        return np.clip(value, *parameters)
    words = dict(zip(ACTIVATIONS[name], parameters))
    if name == "Gelu":
        words = {"approximate": ("none", "tanh")[int(parameters[0])]}
    function = resolve(next(k.run for k in ALL if k.op == name and not k.domain))
    found = function(value) if isinstance(function, np.ufunc) else function(value, **words)
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("activation", ["", *ACTIVATIONS])
@pytest.mark.parametrize("parts", ["", "R", "RsS", "s", "S"])
def test_fused_conv(layers, kernel, activation, parts):
    cls, blocked_in, blocked_out, group, size = KERNELS[kernel]
    rng = np.random.default_rng(len(activation) + len(parts))
    width = WIDTHS.get(kernel, 21)
    x = rng.standard_normal((2, width, 9, 10)).astype(np.float32)
    w = (rng.standard_normal((width, width // group, *size)) / 8).astype(np.float32)
    vectors = [rng.standard_normal(width).astype(np.float32) for _ in range(3)]
    bias, scale, shift = vectors[0], *(vectors[1:] if "s" in parts else (None, None))
    pads = tuple(taps // 2 for taps in size) * 2
    step = FORMS[kernel].step if kernel in FORMS else 1
    words = {"group": group, "pads": pads, "strides": (step, step), "dilations": (1, 1)}
    total = reference(x.astype(np.float64), w.astype(np.float64), bias.astype(np.float64), **words)
    residual = rng.standard_normal(total.shape).astype(np.float32) if "R" in parts else None
    if residual is not None:
        total = total + residual
    result = total
    if scale is not None:
        result = total * scale[:, None, None] + shift[:, None, None]
    parameters = PARAMETERS.get(activation, ())
    result = activated(activation, parameters, result)
    inputs = [x, w, bias, residual, scale, shift]
    last = layers.blocked if blocked_out else "plain"
    problem = layers.problem(
        "FusedConv", inputs, [total.shape, total.shape if "S" in parts else None],
        {**words, "activation": activation, "activation_params": parameters},
        layouts=(layers.blocked if blocked_in else "plain", "plain", "plain", last), out=(last, last),
        constants=(1, 2, 4, 5), domain="ai.orpheus",
    )  # fmt: skip
    got, kept = layers.run(cls, problem, inputs)
    # Rounding next to a jump may land on its other side.
    near = (
        abs(
            total * (1 if scale is None else scale[:, None, None])
            + (0 if shift is None else shift[:, None, None])
            - 0.3
        )
        < 1e-4
    )
    calm = ~near if activation == "ThresholdedRelu" else np.ones_like(near)
    near_enough = 2e-5 * max(1, FORMS[kernel].factor / 4) if kernel in FORMS else 2e-5
    np.testing.assert_allclose(got[calm], result[calm], rtol=2e-5, atol=near_enough)
    if "S" in parts:
        np.testing.assert_allclose(kept, total, rtol=2e-5, atol=near_enough)


@pytest.mark.parametrize("rows", [1, 5])
def test_fused_gemm(layers, rows):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((rows, 40), (90, 40)))
    c, residual = (rng.standard_normal(s).astype(np.float32) for s in ((90,), (rows, 90)))
    attributes = {"transB": 1, "activation": "HardSwish", "activation_params": ()}
    problem = layers.problem(
        "FusedGemm", [a, b, c, residual], [(rows, 90)], attributes, constants=(1,), domain="ai.orpheus"
    )
    (got,) = layers.run(gemm.Gemm, problem, [a, b, c, residual])
    total = a.astype(np.float64) @ b.T + c + residual
    np.testing.assert_allclose(got, total * np.clip(total / 6 + 0.5, 0, 1), rtol=2e-5, atol=2e-5)


def test_a_residual_may_share_its_memory_with_the_result(layers):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 256, 12, 12)).astype(np.float32)
    w = (rng.standard_normal((33, 256, 1, 1)) / 16).astype(np.float32)
    residual = rng.standard_normal((1, 33, 12, 12)).astype(np.float32)
    from orpheus_core.selection.reorder import from_layout, to_layout

    inputs = [x, w, None, residual]
    problem = layers.problem(
        "FusedConv", inputs, [(1, 33, 12, 12)], {"activation": "Relu"}, constants=(1,), domain="ai.orpheus",
        layouts=(layers.blocked, "plain", "plain", layers.blocked), out=(layers.blocked,),
    )  # fmt: skip
    layer = convolutions.Pointwise(problem, layers.isa)
    shared = to_layout(residual, problem.inputs[3].layout).copy()
    layer.bind([to_layout(x, problem.inputs[0].layout), None, None, shared], [shared], None)()
    exact = np.maximum(reference(x.astype(np.float64), w.astype(np.float64)) + residual, 0)
    got = from_layout(shared, problem.outputs[0].layout, (1, 33, 12, 12))
    np.testing.assert_allclose(got, exact, rtol=2e-5, atol=2e-5)
