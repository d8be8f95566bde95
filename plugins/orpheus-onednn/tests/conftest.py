"""Tests that need the library skip where none is found, or fail where ORPHEUS_REQUIRE_ONEDNN is set."""

from __future__ import annotations

import os

import pytest

from orpheus_core.errors import BackendError

_REQUIRED = os.environ.get("ORPHEUS_REQUIRE_ONEDNN")
if _REQUIRED:
    import orpheus_onednn  # noqa: F401  (the modules here skip where it is not installed)


@pytest.fixture(scope="session")
def onednn():
    from orpheus_onednn.library import library

    try:
        return library()
    except BackendError as error:
        if _REQUIRED:
            pytest.fail(f"ORPHEUS_REQUIRE_ONEDNN is set: {error}")
        pytest.skip(f"no oneDNN here: {error}")
