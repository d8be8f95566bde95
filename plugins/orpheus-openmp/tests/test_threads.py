"""How many threads a run has: exactly as many as the setting, and none but the caller's with one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from onnx import TensorProto, helper

isas = pytest.importorskip("orpheus_openmp.isa", reason="orpheus-openmp is not installed")

SCRIPT = """
    import os, sys
    import numpy as np, orpheus_core as orpheus
    from orpheus_core import processors as settings
    {before}
    x = np.ones((1, 8, 40, 40), np.float32)
    tasks = lambda: len(os.listdir("/proc/self/task"))
    session = orpheus.InferenceSession(sys.argv[1], providers=["openmp", "numpy"], threads={threads}, fallback="error")
    assert all(row.kernel_id.startswith(("openmp:", "core:")) for row in session.kernel_plan())
    idle = tasks()
    for _ in range(3):
        session.run(None, {{"x": x}})
    print(session.threads, tasks() - idle)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A convolution, an activation, a pool: kernels of several families in one segment."""
    weights = np.ones((16, 8, 3, 3), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 40, 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("threads") / "model.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


def measured(model, threads, before=""):
    """(the session's setting, threads that its runs added and that stay)."""
    if not os.path.isdir("/proc/self/task") or not isas.native().has_openmp:
        pytest.skip("needs /proc and a build with OpenMP, whose threads stay")
    code = textwrap.dedent(SCRIPT.format(threads=threads, before=before))
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    setting, added = done.stdout.split()
    return int(setting), int(added)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_a_run_has_as_many_threads_as_the_setting(model, threads):
    assert measured(model, threads) == (threads, threads - 1)


def test_the_default_obeys_affinity(model):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs sched_setaffinity")
    one = min(os.sched_getaffinity(0))
    assert measured(model, None, f"os.sched_setaffinity(0, {{{one}}})") == (1, 0)


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (1.9, 1), (2.0, 2)])
def test_the_default_obeys_the_quota(model, quota, threads):
    before = f"settings._cgroup_quota = lambda: {quota}; os.sched_getaffinity = lambda pid: set(range(8))"
    assert measured(model, None, before) == (threads, threads - 1)
