"""The thread setting is obeyed, the caller's comes back, and no thread is left spinning."""

from __future__ import annotations

import os  # noqa: F401  (in conditions of marks)
import subprocess
import sys

import pytest

pytest.importorskip("orpheus_onednn", reason="orpheus-onednn is not installed")


RUN = """
import os, sys, time
if {early}:
    import ctypes
    ctypes.CDLL("libgomp.so.1")
import numpy as np
from onnx import TensorProto as T, helper as h, numpy_helper
import orpheus_core as orpheus
x = h.make_tensor_value_info("x", T.FLOAT, [1, 64, 56, 56])
y = h.make_tensor_value_info("y", T.FLOAT, [1, 64, 56, 56])
w = numpy_helper.from_array(np.ones((64, 64, 3, 3), np.float32), "w")
nodes = [h.make_node("Conv", ["x", "w"], ["y"], "c", pads=[1] * 4)]
model = h.make_model(h.make_graph(nodes, "g", [x], [y], [w]), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
session = orpheus.InferenceSession(model.SerializeToString(), providers=["onednn"], threads={threads})
before = len(os.listdir("/proc/self/task"))
feed = {{"x": np.ones((1, 64, 56, 56), np.float32)}}
session.run(None, feed)
during = len(os.listdir("/proc/self/task"))
asleep = []
for _ in range(5):
    session.run(None, feed)
    start = time.process_time()
    time.sleep(0.1)
    asleep.append(time.process_time() - start)
print(before, during, min(asleep))
"""


def run(threads, early=False):
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(threads=threads, early=early)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    before, during, spent = done.stdout.split()
    return int(during) - int(before), float(spent)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
class TestThreads:
    def test_one_thread_starts_none(self, onednn):
        assert run(1)[0] == 0

    @pytest.mark.skipif("os.cpu_count() < 2", reason="needs two processors")
    def test_two_threads_start_one_and_leave_it_asleep(self, onednn):
        started, spent = run(2)
        assert started <= 1
        assert spent < 0.004  # GNU's runtime spins for 8 ms unless it is told otherwise

    @pytest.mark.skipif("os.cpu_count() < 2", reason="needs two processors")
    def test_a_runtime_that_was_there_before_is_paused(self, onednn):
        if not any("gomp" in name for name in onednn.runtimes):
            pytest.skip(f"{onednn.runtimes} are not GNU's")
        assert run(2, early=True)[1] < 0.004


def test_the_callers_setting_comes_back(onednn):
    if onednn.openmp is None:
        pytest.skip("a sequential build")
    before = onednn.openmp.omp_get_max_threads()
    with onednn.threads(before + 3):
        assert onednn.openmp.omp_get_max_threads() == before + 3
    assert onednn.openmp.omp_get_max_threads() == before
