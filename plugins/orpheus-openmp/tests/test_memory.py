"""Out of memory, wherever it strikes, is a typed error, and the session works again when there is memory."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("orpheus_openmp", reason="orpheus-openmp is not installed")
resource = pytest.importorskip("resource", reason="memory is limited by setrlimit")

#: 36 MiB of weights, packed to 64 by Winograd, and 32 MiB a tensor: each allocation fails at some limit of the sweep.
SCRIPT = """
    import resource, sys
    import numpy as np, orpheus_core as orpheus
    from onnx import TensorProto, helper
    from orpheus_core.errors import OrpheusError

    rng = np.random.default_rng(0)
    weights = [("w0", (1024, 8, 3, 3)), ("w1", (1024, 1024, 3, 3))]
    tensors = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, rng.standard_normal(shape, np.float32).tobytes(), raw=True)
        for name, shape in weights
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "w1"], ["y"], pads=[1] * 4, strides=[SIZE // 2] * 2),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    x = np.ones((1, 8, SIZE, SIZE), np.float32)

    def whole():
        session = orpheus.InferenceSession(model, providers=["openmp", "numpy"], threads=1)
        return session.run(None, {"x": x})

    expected = whole()
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    outcomes = set()
    for room in range(0, 252, 9):
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room * 2**20, unlimited[1]))
        try:
            whole()
            outcome = "ran"
        except OrpheusError as error:
            outcome = type(error).__name__
            assert "memory" in str(error).lower() or "allocate" in str(error), str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
        outcomes.add(outcome)
        print(room, outcome)
    np.testing.assert_array_equal(whole()[0], expected[0])
    print(*sorted(outcomes))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer's shadow memory is beyond any limit")
def test_out_of_memory_is_a_typed_error():
    code = textwrap.dedent(SCRIPT).replace("SIZE", "90")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    # Which allocation fails first depends on the allocator; every failure is one of these, and some limits suffice.
    outcomes = set(done.stdout.splitlines()[-1].split())
    assert outcomes <= {"KernelError", "LimitError", "ran"}, done.stdout
    assert "ran" in outcomes and len(outcomes) > 1, done.stdout
