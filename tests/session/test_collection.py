"""Collection of reference cycles is paused while a session is made, and goes on as it was."""

from __future__ import annotations

import gc

import pytest

from orpheus_core.session.collection import paused_collection


def test_is_paused_until_the_last_leaves() -> None:
    assert gc.isenabled()
    with paused_collection():
        with paused_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_goes_on_after_an_error() -> None:
    with pytest.raises(ValueError, match="model"), paused_collection():
        raise ValueError("model")
    assert gc.isenabled()


def test_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        with paused_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
