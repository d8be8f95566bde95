"""Plans of oneDNN's layers and orpheus-openmp's: one blocked layout, one setting of threads, the same results."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import orpheus_core as orpheus
from orpheus_core.session.tuning import tune

pytest.importorskip("orpheus_onednn", reason="orpheus-onednn is not installed")
pytest.importorskip("orpheus_openmp", reason="orpheus-openmp is not installed")

CHANNELS = 20  # the last block is partial
SHAPE = (1, CHANNELS, 14, 14)
LAYERS = 4


@pytest.fixture(scope="module")
def model():
    """Convolutions with Relu in a row, and a residual around the last."""
    rng = np.random.default_rng(3)
    nodes, x = [], "x"
    for i in range(LAYERS):
        nodes += [
            helper.make_node("Conv", [x, f"w{i}", f"b{i}"], [f"c{i}"], f"conv{i}", pads=[1] * 4),
            helper.make_node("Relu", [f"c{i}"], [f"y{i}"], f"relu{i}"),
        ]
        x = f"y{i}"
    nodes.append(helper.make_node("Add", [x, "y0"], ["y"], "add"))
    scale = np.sqrt(2 / (9 * CHANNELS))
    constants = [
        numpy_helper.from_array((rng.standard_normal(shape) * factor).astype(np.float32), f"{name}{i}")
        for i in range(LAYERS)
        for name, shape, factor in (("w", (CHANNELS, CHANNELS, 3, 3), scale), ("b", (CHANNELS,), 1))
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


@pytest.fixture(scope="module")
def backends(onednn):
    """Who takes turns; skips where orpheus-openmp has no native module."""
    from orpheus_core import discovery

    states = {row.name: row.status for row in discovery.backends()}
    if states.get("openmp") != "ready":
        pytest.skip("orpheus-openmp is not usable here")
    return ["openmp", "onednn", "numpy"]


def close(got, wanted):
    # Sums of at most 9 * 20 products and 3 more, four layers deep, of values of about 1.
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=LAYERS * 183 * 6e-8 * np.sqrt(183))


def turns(first, second):
    return {f"y{i}": (first, second)[i % 2] for i in range(LAYERS)}


@pytest.mark.parametrize("order", [("openmp", "onednn"), ("onednn", "openmp")])
@pytest.mark.parametrize("threads", [1, 2])
def test_layers_in_turns_share_a_layout_and_agree(model, backends, order, threads):
    pins = turns(*order)
    mixed = orpheus.InferenceSession(model, providers=backends, threads=threads, pin=pins, policy="cost")
    operations = mixed.executable.ready().plan.program.operations
    ran = [o.candidate.backend.name for o in operations if o.node.op == "FusedConv"]
    assert ran == [order[i % 2] for i in range(LAYERS)]
    blocked = [o for o in operations if o.node.op == "Reorder"]
    assert len(blocked) <= 2  # into the blocks and out of them: between the two there is nothing to convert
    x = np.random.default_rng(4).standard_normal(SHAPE).astype(np.float32)
    wanted = orpheus.InferenceSession(model, providers=["numpy"], threads=1).run(None, {"x": x})[0]
    close(mixed.run(None, {"x": x})[0], wanted)


def test_tuning_measures_every_backend_and_what_it_chooses_is_right(model, backends, tmp_path, monkeypatch):
    monkeypatch.setenv("ORPHEUS_CACHE", str(tmp_path))
    options = {"providers": backends, "threads": 1, "policy": "cost"}
    report = tune(orpheus.InferenceSession(model, **options), seconds=0.0)
    kernels = [k for layer in report.layers if layer.op == "ai.orpheus:FusedConv" for k in layer.kernels]
    assert {k.kernel.partition(":")[0] for k in kernels if k.seconds} >= {"openmp", "onednn"}
    assert [k.kernel for layer in report.layers for k in layer.kernels if k.seconds is None] == []
    tuned = orpheus.InferenceSession(model, **options)
    x = np.random.default_rng(5).standard_normal(SHAPE).astype(np.float32)
    wanted = orpheus.InferenceSession(model, providers=["numpy"], threads=1).run(None, {"x": x})[0]
    close(tuned.run(None, {"x": x})[0], wanted)


#: Threads that there are before and after runs of layers in turns, the runtimes of OpenMP, and the processor time of
#: the process while it sleeps after the last segment, which is oneDNN's: the least of some times, as what openmp's pool
#: still spins of the segment before is none of it, and takes longer where others want the processors.
SCRIPT = """
import json, os, sys, time
import numpy as np
import orpheus_core as orpheus
model, threads, pins = sys.stdin.buffer.read(), int(sys.argv[1]), json.loads(sys.argv[2])
session = orpheus.InferenceSession(
    model, providers=["openmp", "onednn", "numpy"], threads=threads, pin=pins, policy="cost")
before = len(os.listdir("/proc/self/task"))
feed = {"x": np.ones((1, 20, 14, 14), np.float32)}
for _ in range(20):
    session.run(None, feed)
after = len(os.listdir("/proc/self/task"))
asleep = []
for _ in range(8):
    session.run(None, feed)
    start = time.process_time()
    time.sleep(0.1)
    asleep.append(time.process_time() - start)
from orpheus_onednn.library import library
print(json.dumps([after - before, len(library().runtimes), min(asleep)]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="needs two processors")
@pytest.mark.parametrize("threads", [1, 2])
def test_both_have_the_threads_that_were_asked_for_and_leave_none_awake(model, backends, threads):
    pins = {**turns("openmp", "onednn"), "y": "onednn"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(threads), json.dumps(pins)],
        input=model, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    started, runtimes, asleep = json.loads(done.stdout)
    assert started <= (threads - 1) * runtimes  # one pool where both run on the same runtime
    assert asleep < 0.004
