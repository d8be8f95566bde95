"""Out of memory in a run, however it is called, is a LimitError, and the session runs again when there is memory."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("orpheus_numpy")
pytest.importorskip("resource", reason="memory is limited by setrlimit")

SCRIPT = """
    import resource, sys
    import numpy as np, orpheus_core as orpheus
    from onnx import TensorProto, helper
    from orpheus_core.errors import LimitError

    shape = [4, 1000, 1000]  # 16 MB a tensor
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Add", ["a", "x"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    x = np.ones(shape, np.float32)
    feeds = {"plain": x, "strided": x[..., ::-1], "foreign": x.astype(">f4")}
    target = np.empty_like(x)
    sessions = {}

    def run(session, x):
        return session.run(None, {"x": x})[0]

    def profiled(session, x):
        session.profile({"x": x}, warmup=0)

    def bound(session, x):
        binding = session.io_binding()
        binding.bind_input("x", x)
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    def in_place(session, x):
        binding = session.io_binding()
        binding.bind_input("x", x)
        binding.bind_output("y", target)
        session.run_with_iobinding(binding)
        return target

    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    for call in (run, profiled, bound, in_place):
        for name, feed in feeds.items():
            outcomes = set()
            for room in range(0, 120, 15):
                session = orpheus.InferenceSession(model, providers=["numpy"], threads=1)
                used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + room * 2**20, unlimited[1]))
                try:
                    call(session, feed)
                    outcomes.add("ran")
                except LimitError as error:
                    assert "out of memory" in str(error)
                    outcomes.add("refused")
                finally:
                    resource.setrlimit(resource.RLIMIT_AS, unlimited)
                y = call(session, feed)
                assert y is None or (y == 2).all()
            assert "ran" in outcomes, (call, name)
            print(call.__name__, name, *sorted(outcomes))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_every_way_to_run_says_so() -> None:
    code = [sys.executable, "-c", textwrap.dedent(SCRIPT)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 12
    assert all(line.endswith("ran refused") for line in lines), done.stdout
