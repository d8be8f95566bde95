"""Running the command as a user would, with plugins and models of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from fakes import small_network, unary_network
from orpheus_command import Command


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
