"""Tests that need the library skip where none is found, with the reason."""

from __future__ import annotations

import pytest

from orpheus_core.errors import BackendError


@pytest.fixture(scope="session")
def onednn():
    from orpheus_onednn.library import library

    try:
        return library()
    except BackendError as error:
        pytest.skip(f"no oneDNN here: {error}")
