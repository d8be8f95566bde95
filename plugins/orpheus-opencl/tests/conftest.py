"""What the tests need of the machine: an OpenCL device, or the reason why they are skipped."""

from __future__ import annotations

import os

import pytest

from orpheus_core.plugin import Ready


@pytest.fixture(scope="session", autouse=True)
def _device() -> None:
    """Skip where there is no device, but not where there must be one (``ORPHEUS_REQUIRE_OPENCL=1``)."""
    from orpheus_opencl.device import probe

    answer = probe()
    if isinstance(answer, Ready):
        return
    if os.environ.get("ORPHEUS_REQUIRE_OPENCL") == "1":
        pytest.fail(f"ORPHEUS_REQUIRE_OPENCL=1, but {answer.reason}")
    pytest.skip(f"{answer.reason}; {answer.fix}")
