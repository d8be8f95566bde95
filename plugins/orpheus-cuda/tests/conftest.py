"""What the tests need of the machine: a C++ compiler, which stands for the GPU; and to see which kernels were wrong."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("orpheus_cuda", reason="orpheus-cuda is not installed")
pytest.importorskip("orpheus_numpy", reason="the reference is not installed")
sys.path.insert(0, str(Path(__file__).parent))

import emulation  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _device() -> Iterator[None]:
    if emulation.COMPILER is None:
        pytest.skip("there is no g++, which the kernels are compiled with for want of a GPU")
    yield from emulation.installed()


@pytest.fixture(autouse=True)
def _faults() -> Iterator[None]:
    yield
    gc.collect()
    faults, emulation.FAULTS[:] = emulation.FAULTS[:], []
    assert not faults
