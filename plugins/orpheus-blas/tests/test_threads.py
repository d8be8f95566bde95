"""Each library obeys Orpheus's thread setting, and none of its threads spins once the work is done."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from orpheus_core.errors import BackendError
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType

layers = pytest.importorskip("orpheus_blas.layers", reason="orpheus-blas is not installed")

#: Of a session's runs: processor time of the caller's thread, of all others, and of the whole process while it sleeps.
SCRIPT = """
import json, sys, time
import numpy as np, orpheus_core as orpheus
x = np.ones((1, 256, 28, 28), np.float32)
session = orpheus.InferenceSession(sys.argv[1], providers=[sys.argv[2]], threads=int(sys.argv[3]), fallback="error")
assert {row.kernel_id for row in session.kernel_plan()} == {f"{sys.argv[2]}:Conv/im2col"}
session.run(None, {"x": x})
whole, own = time.process_time(), time.thread_time()
while time.thread_time() - own < 0.3:
    session.run(None, {"x": x})
mine = time.thread_time() - own
others = time.process_time() - whole - mine
asleep = []
for _ in range(5):
    session.run(None, {"x": x})
    rest = time.process_time()
    time.sleep(0.1)
    asleep.append(time.process_time() - rest)
print(json.dumps([mine, others, min(asleep)]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    weights = np.ones((256, 256, 3, 3), np.float32)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 256, 28, 28]) for n in "xy")
    held = helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1] * 4)
    made = helper.make_model(
        helper.make_graph([node], "g", [x], [y], [held]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    path = tmp_path_factory.mktemp("threads") / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def measured(model, name, threads):
    command = [sys.executable, "-c", SCRIPT, str(model), f"blas:{name}", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_thread_is_the_callers(name, model):
    mine, others, asleep = measured(model, name, 1)
    assert others < 0.05 * mine, f"{others} s in other threads beside {mine} s"
    assert asleep < 0.005


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="needs two processors")
def test_two_threads_share_the_work_and_then_sleep(name, library, model):
    if library.single:
        pytest.skip(f"{name} has one thread: {library.single}")
    mine, others, asleep = measured(model, name, 2)
    assert others > 0.2 * mine, f"{others} s in other threads beside {mine} s"
    assert asleep < 0.005, f"{asleep} s were spent while the process slept"


def test_any_thread_of_the_process_says_how_many(library):
    if library._control is None:
        pytest.skip("it does not say how many it has")
    most = 1 if library.single else 2
    library.set_threads(most)
    faults = []

    def other():
        try:
            library.set_threads(1)
            faults.extend([] if library._control.num_threads == 1 else ["it has another number"])
        except BackendError as error:
            faults.append(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert faults == []
    library.set_threads(most)
    assert library._control.num_threads == most


def gemm(threads):
    matrix = TensorType(DType.FLOAT32, (2, 2))
    return Problem(op="MatMul", domain="", version=13, attributes={}, inputs=(matrix, matrix), outputs=(matrix,),
                   input_names=("A", "B"), output_names=("Y",), threads=threads)  # fmt: skip


def test_a_library_of_one_thread_refuses_other_counts_with_a_reason(name, library):
    backing = getattr(layers, name)
    assert backing.refusal(gemm(1)) is None
    refusal = backing.refusal(dataclasses.replace(gemm(2)))
    assert (refusal is None) == (not library.single)
    if refusal:
        assert "1 thread" in refusal and library.single in refusal and "2 were asked" in refusal
    backing.set_threads(2)  # what a session tells all its backends, those that refused too
