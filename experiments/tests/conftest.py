"""A folder of plugins that misbehave, and a small model, for tests that run trials as a user does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from fakes import small_network, write_distribution
from hostile import BACKEND, ENGINES


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH with engines of the tests' own."""
    folder = tmp_path_factory.mktemp("site")
    write_distribution(folder, "hostile", ENGINES)
    write_distribution(folder, "hurt", BACKEND)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """The small network with an open batch."""
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    onnx.save(small_network(), path)
    return path


@pytest.fixture
def environment(site, tmp_path) -> dict[str, str]:
    """What a subprocess needs to find the engines."""
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", ""))))
    return {
        **os.environ,
        "ORPHEUS_BACKENDS": "",
        "ORPHEUS_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": path,
    }


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Subprocesses get Ctrl-C, even where a shell started the tests in the background and had them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
