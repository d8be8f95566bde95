"""A process goes on where another one was, and is as free as before."""

from __future__ import annotations

import os

import pytest
from orpheus_experiments.timing import place

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no processor affinities"
)


def lands_on(target: int) -> bool:
    place.move(target)
    return place.processor() == target


def test_moves_and_stays_free() -> None:
    allowed = os.sched_getaffinity(0)
    for target in sorted(allowed):
        assert any(lands_on(target) for _ in range(50))  # the system may move it on at once
        assert os.sched_getaffinity(0) == allowed


def test_goes_nowhere_it_may_not() -> None:
    allowed = os.sched_getaffinity(0)
    first = min(allowed)
    os.sched_setaffinity(0, {first})
    try:
        place.move(max(allowed) + 1)
        assert os.sched_getaffinity(0) == {first} and place.processor() == first
        for other in allowed - {first}:
            place.move(other)
            assert os.sched_getaffinity(0) == {first} and place.processor() == first
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_system_that_does_not_tell(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(place, "_STAT", tmp_path / "absent")
    assert place.processor() is None
    (tmp_path / "absent").write_text("1 (a) name) R 1")
    assert place.processor() is None
