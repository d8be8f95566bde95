"""The backend that README shows: built and installed as an author would, then run in a mixed plan with numpy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

README = Path(__file__).resolve().parent.parent / "README.md"
LIMIT = 15

USE = """
import sys
import numpy as np
import orpheus_core as orpheus

session = orpheus.InferenceSession(sys.argv[1], providers=["hello", "numpy"], fallback="error")
x = np.array([[-1.5, 0, 2]], np.float32)
(y,) = session.run(None, {"x": x})
np.testing.assert_array_equal(y, np.maximum(x, 0).sum(axis=1, keepdims=True))
print(*sorted(row.kernel_id for row in session.kernel_plan()))
"""


def blocks(language: str) -> list[str]:
    """README's code blocks in a language, of the section "Write a backend"."""
    section = README.read_text().split("## Write a backend")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_a_first_backend_is_short() -> None:
    (code,), (project,) = blocks("python"), blocks("toml")
    lines = [line for line in (code + project).splitlines() if line.strip()]
    assert len(lines) <= LIMIT


def test_a_first_backend_installs_and_runs_beside_numpy(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="70.1", reason="building a backend needs setuptools")
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "orpheus_hello.py").write_text(blocks("python")[0])
    (source / "pyproject.toml").write_text(blocks("toml")[0])
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, timeout=120)

    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n]) for name, n in (("x", 3), ("y", 1))
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("ReduceSum", ["r"], ["y"], "sum", noop_with_empty_axes=0),
    ]
    graph = helper.make_graph(nodes, "mixed", infos[:1], infos[1:])
    model = tmp_path / "mixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        [sys.executable, "-c", USE, str(model)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "ORPHEUS_BACKENDS": "hello,numpy"},
    )
    assert done.returncode == 0, done.stderr
    kernels = done.stdout.split()
    assert "hello:Relu/simple" in kernels
    assert any(kernel.startswith("numpy:ReduceSum/") for kernel in kernels)
