"""What the tests run on: the kernels' sources compiled for this machine; a GPU with ``ORPHEUS_CUDA_DEVICE=1``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("orpheus_cuda", reason="orpheus-cuda is not installed")
pytest.importorskip("orpheus_numpy", reason="the reference is not installed")
sys.path.insert(0, str(Path(__file__).parent))

import emulation
import orpheus_cuda
import orpheus_numpy

from orpheus_core import discovery


@pytest.fixture(scope="session", autouse=True)
def _device() -> Iterator[None]:
    if emulation.ON_DEVICE:
        from orpheus_cuda.device import probe

        from orpheus_core.plugin import Ready

        answer = probe()
        assert isinstance(answer, Ready), f"ORPHEUS_CUDA_DEVICE=1, but {answer}"
    elif emulation.COMPILER is None:
        pytest.skip("there is no g++, which the kernels are compiled with for want of a GPU")
    installed = {row.name for row in discovery.backends()}
    for name, plugin in (("cuda", orpheus_cuda), ("numpy", orpheus_numpy)):
        if name not in installed:
            discovery.register(plugin, name)
    if emulation.ON_DEVICE:
        yield
    else:
        yield from emulation.installed()


@pytest.fixture
def emulated() -> None:
    """For tests that look behind the emulation."""
    if emulation.ON_DEVICE:
        pytest.skip("of the emulation")


@pytest.fixture(autouse=True)
def _faults() -> Iterator[None]:
    yield
    gc.collect()
    faults, emulation.FAULTS[:] = emulation.FAULTS[:], []
    assert not faults
