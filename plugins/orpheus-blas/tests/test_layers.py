"""What conformance does not see: arrays that no plan would bind, the whole suite on each library, whole networks."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from orpheus_core.errors import KernelError
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType

layers = pytest.importorskip("orpheus_blas.layers", reason="orpheus-blas is not installed")


def conv(x=(1, 2, 5, 5), w=(3, 2, 3, 3), y=(1, 3, 5, 5), **attributes):
    """The problem of a FusedConv with bias and residual."""
    shapes = (x, w, (w[0],), y)
    given = {"group": 1, "pads": (1,) * 4, "activation": "", "activation_params": (), **attributes}
    return Problem(
        op="FusedConv", domain="ai.orpheus", version=1, attributes=given,
        inputs=tuple(TensorType(DType.FLOAT32, s) for s in shapes), outputs=(TensorType(DType.FLOAT32, y),),
        input_names=("X", "W", "B", "R", "scale", "shift"), output_names=("Y", "S"),
    )  # fmt: skip


def arrays(problem):
    rng = np.random.default_rng(0)
    made = [
        rng.standard_normal(t.static_shape).astype(np.float32) for t in (*problem.inputs, *problem.outputs)
    ]
    return made[:-1], made[-1:]


def test_a_residual_may_lie_where_the_result_will(name):
    problem = conv()
    inputs, outputs = arrays(problem)
    layer = getattr(layers, name).Conv(problem)
    room = np.full(layer.workspace, 255, np.uint8)
    layer.bind(inputs, outputs, room)()
    inputs[3] = residual = inputs[3].copy()
    layer.bind(inputs, [residual], room)()
    np.testing.assert_array_equal(residual, outputs[0])


BAD = {
    "another shape": (0, lambda a, y: a[:, :, :4]),
    "another type": (0, lambda a, y: a.astype(np.float64)),
    "strides": (0, lambda a, y: np.repeat(a, 2, axis=3)[..., ::2]),
    "the result's memory": (0, lambda a, y: y.reshape(-1)[: a.size].reshape(a.shape)),
    "the result's memory as a bias": (2, lambda a, y: y.reshape(-1)[:3]),
}


@pytest.mark.parametrize("what", BAD)
def test_arrays_that_were_not_prepared_for_are_refused(name, what):
    problem = conv()
    inputs, outputs = arrays(problem)
    index, change = BAD[what]
    inputs[index] = change(inputs[index], outputs[0])
    layer = getattr(layers, name).Conv(problem)
    with pytest.raises(KernelError):
        layer.bind(inputs, outputs, np.empty(layer.workspace, np.uint8))


def test_a_depthwise_convolution_is_no_work_for_a_blas(name):
    refusal = getattr(layers, name).refusal
    assert "several channels" in refusal(conv((1, 4, 5, 5), (4, 1, 3, 3), (1, 4, 5, 5), group=4))
    assert refusal(conv((1, 1, 5, 5), (4, 1, 3, 3), (1, 4, 5, 5))) is None


@pytest.mark.slow
def test_kernels_conform(name, tmp_path):
    pytest.importorskip("orpheus_conformance", reason="orpheus-conformance is not installed")
    report = tmp_path / "report.json"
    tiers = [part for tier in ("exact", "special") for part in ("--tier", tier)]
    command = ["conform", f"blas:{name}", "--examples", "3", "--json", str(report), *tiers]
    done = subprocess.run(
        [sys.executable, "-m", "orpheus_core", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert json.loads(report.read_text())
