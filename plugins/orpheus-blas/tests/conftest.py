"""Every BLAS library in turn: one that is absent skips its tests, or fails them where ORPHEUS_REQUIRE_BLAS names it."""

from __future__ import annotations

import os

import pytest

from orpheus_core.errors import BackendError

find = pytest.importorskip("orpheus_blas.find", reason="orpheus-blas is not installed")


@pytest.fixture(params=find.FILES)
def name(request):
    """The name of a library that is here."""
    try:
        find.load(request.param)
    except BackendError as error:
        if request.param in os.environ.get("ORPHEUS_REQUIRE_BLAS", "").split(","):
            pytest.fail(f"ORPHEUS_REQUIRE_BLAS asks for {request.param}: {error}")
        pytest.skip(str(error))
    return request.param


@pytest.fixture
def library(name):
    """A loaded library, with one thread."""
    found = find.load(name)
    found.set_threads(1)
    return found
