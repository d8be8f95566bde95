"""Running the command as a user would, with plugins and models of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import onnx
import pytest
from fakes import small_network, unary_network, write_distribution


class Done(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str


class Command:
    """``orpheus`` in a process of its own, with the test's plugins installed."""

    def __init__(self, site: Path) -> None:
        self.site = site

    def install(self, name: str, source: str) -> None:
        """Add a plugin that this command will find."""
        write_distribution(self.site, name, source)

    def __call__(self, *arguments: object, **environment: str) -> Done:
        path = os.pathsep.join(filter(None, (str(self.site), os.environ.get("PYTHONPATH", ""))))
        done = subprocess.run(
            [sys.executable, "-m", "orpheus_core", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "ORPHEUS_BACKENDS": "", **environment, "PYTHONPATH": path},
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def orpheus(tmp_path: Path) -> Command:
    """The command; ``orpheus.install`` adds plugins."""
    site = tmp_path / "site"
    site.mkdir()
    return Command(site)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small convolutional network as a file."""
    path = tmp_path / "small.onnx"
    onnx.save(small_network(), path)
    return path


@pytest.fixture
def relu_model(tmp_path: Path) -> Path:
    """One Relu as a file."""
    path = tmp_path / "relu.onnx"
    onnx.save(unary_network("Relu"), path)
    return path


@pytest.fixture
def toy() -> Callable[..., str]:
    """``toy(name, body, **fields)``: the source of a backend whose one kernel computes Relu by ``body``."""

    def source(name: str, body: str = "return np.maximum(x, 0)", **fields: object) -> str:
        given = "".join(f", {key}={value!r}" for key, value in fields.items())
        return (
            "import os, time\nimport numpy as np\n"
            "from orpheus_core.plugin import Backend, Kernel, Unavailable, hookimpl\n"
            f"def relu(x):\n    {body}\n"
            "def probe():\n    return Unavailable('no such device', 'plug it in')\n"
            "@hookimpl\ndef orpheus_backend():\n"
            f"    return Backend(name={name!r}, api=1, kernels=("
            f"Kernel(op='Relu', name='k', run='fake_{name}:relu'),){given})\n"
        )

    return source
