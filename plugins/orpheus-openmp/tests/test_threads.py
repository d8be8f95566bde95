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


def test_idle_threads_are_told_to_sleep_soon():
    from orpheus_core.waiting import LOOKS, VARIABLE

    telling = {"OMP_DISPLAY_ENV": "verbose"}  # GNU's runtime prints its settings as it is loaded
    rest = {n: v for n, v in os.environ.items() if n not in (VARIABLE, "OMP_WAIT_POLICY")}
    for said, expected in (({}, LOOKS), ({VARIABLE: "500"}, "500")):
        done = subprocess.run(
            [sys.executable, "-c", "from orpheus_openmp import isa; isa.native()"],
            env={**rest, **telling, **said}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        if VARIABLE not in done.stderr:
            pytest.skip("a build without GNU's OpenMP")
        assert f"{VARIABLE} = '{expected}'" in done.stderr


FORKED = """
    import os, signal, sys
    import numpy as np, orpheus_core as orpheus
    x = np.linspace(-1, 1, 8 * 40 * 40, dtype=np.float32).reshape(1, 8, 40, 40)
    session = orpheus.InferenceSession(sys.argv[1], providers=["openmp", "numpy"], threads=3, fallback="error")
    (before,) = session.run(None, {"x": x})

    def generation(left):
        signal.alarm(600)  # a child that waits for ever is ended, which the parent sees
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        good = np.array_equal(session.run(None, {"x": x})[0], before)
        other = orpheus.InferenceSession(sys.argv[1], providers=["openmp", "numpy"], threads=2)
        good &= np.array_equal(other.run(None, {"x": x})[0], before)
        os._exit((not good) or (left and generation(left - 1)))

    print(generation(1), np.array_equal(session.run(None, {"x": x})[0], before))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_after_a_run_runs_too(model):
    code = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKED), str(model)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0", "True"], done.stdout + done.stderr


STARVED = """
    import resource, sys
    import numpy as np, orpheus_core as orpheus
    from orpheus_core.errors import KernelError
    x = np.ones((1, 8, 40, 40), np.float32)
    sessions = [orpheus.InferenceSession(sys.argv[1], providers=["openmp", "numpy"], threads=n) for n in (1, 2, 200)]
    (expected,) = sessions[0].run(None, {"x": x})
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    # Room for a few stacks of 8 MiB.
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20, unlimited[1]))
    for _ in range(2):
        try:
            sessions[2].run(None, {"x": x})
        except KernelError as error:
            print(error)
        np.testing.assert_array_equal(sessions[0].run(None, {"x": x})[0], expected)
        np.testing.assert_array_equal(sessions[1].run(None, {"x": x})[0], expected)
    resource.setrlimit(resource.RLIMIT_AS, unlimited)
    for session in sessions:
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer's shadow memory is beyond any limit")
def test_threads_that_cannot_be_started_are_a_typed_error(model):
    resource = pytest.importorskip("resource", reason="memory is limited by setrlimit")
    before = resource.getrlimit(resource.RLIMIT_STACK)

    def stacks():  # those of new threads have this size
        resource.setrlimit(resource.RLIMIT_STACK, (8 * 2**20, before[1]))

    code = [sys.executable, "-c", textwrap.dedent(STARVED), str(model)]
    done = subprocess.run(code, capture_output=True, text=True, check=False, preexec_fn=stacks)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout
    for line in lines:
        assert "of 200 threads" in line and "threads=" in line, line
