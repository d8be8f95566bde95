"""The command as a user runs it, with toy backends of good and bad manners installed beside the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from orpheus_command import Command, Done

#: Relus: one as it should be, and one for each way in which a kernel can fail its user.
TOYS = """
import os, time
import numpy as np
from orpheus_core.plugin import Backend, Kernel, Rule, hookimpl

def good(X):
    return np.maximum(X, 0)

def slow(X):
    time.sleep(0.003)
    return np.maximum(X, 0)

def wrong(X):
    return np.maximum(X, np.float32(0.01))

def rough(X):
    return np.maximum(X, 0) * np.float32(1 + 3e-7)

def nan(X):
    Y = np.maximum(X, 0)
    Y.reshape(-1)[0] = np.nan
    return Y

def crash(X):
    os.kill(os.getpid(), 11)

def leave(X):
    os._exit(0)

def hang(X):
    time.sleep(600)

def fails(X):
    raise RuntimeError("on purpose")

def late(X):
    late.n = getattr(late, "n", 0) + 1
    if late.n > 3:
        os._exit(7)
    return np.maximum(X, 0)

class Dies:
    def __init__(self, problem):
        os.kill(os.getpid(), 11)

class Refuses:
    def __init__(self, problem):
        raise RuntimeError("not today")

@hookimpl
def orpheus_backend():
    def kernel(name, rank, **more):
        code = {} if "prepare" in more else {"run": "fake_NAME:" + name}
        return Kernel(op="Relu", name=name, rank=rank, **code, **more)
    return Backend(name="NAME", api=1, kernels=(KERNELS))
"""


class Toys(Command):
    """The command, which also finds toy backends, with caches of its own."""

    def toys(self, name: str, *kernels: str, **more: str) -> None:
        """Add a backend with these Relus, the first one preferred; ``more`` are arguments of a kernel, as text."""
        made = [f"kernel({k!r}, {i + 1}{', ' + more[k] if k in more else ''})" for i, k in enumerate(kernels)]
        self.install(name, TOYS.replace("KERNELS", ", ".join(made) + ",").replace("NAME", name))

    def __call__(self, *arguments: object, timeout: float = 300, **environment: str) -> Done:
        return super().__call__(*arguments, timeout=timeout, ORPHEUS_CACHE=str(self.site), **environment)


@pytest.fixture
def orpheus(tmp_path: Path) -> Toys:
    """The command; ``toys`` and ``install`` add plugins."""
    site = tmp_path / "site"
    site.mkdir()
    return Toys(site)


@pytest.fixture
def relus(tmp_path: Path) -> Path:
    """x [2, 3] -> Relu -> Gemm to [2, 5] -> Relu -> Mul by 1000, in which the second Relu is fused into the Gemm."""
    random = np.random.default_rng(5)
    weights = {"W": random.standard_normal((3, 5)), "thousand": np.array(1000.0)}
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "first"),
        helper.make_node("Gemm", ["r", "W"], ["g"], "gemm"),
        helper.make_node("Relu", ["g"], ["s"], "second"),
        helper.make_node("Mul", ["s", "thousand"], ["y"], "scale"),
    ]
    graph = helper.make_graph(
        nodes,
        "relus",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 5])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()],
    )
    path = tmp_path / "relus.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
