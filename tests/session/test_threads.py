"""The thread count of libraries: told when it may have changed, not otherwise."""

from __future__ import annotations

import threading

import pytest

from orpheus_core.plugin import Backend
from orpheus_core.session.threads import apply_threads

TOLD: list[tuple[str, int]] = []


def tell_a(threads: int) -> None:
    TOLD.append(("a", threads))


def tell_b(threads: int) -> None:
    TOLD.append(("b", threads))


A, B = (Backend(name=n, api=1, kernels=(), set_threads=f"{__name__}:tell_{n}") for n in "ab")


@pytest.fixture(autouse=True)
def forget() -> None:
    apply_threads([A], 99)
    TOLD.clear()


def test_the_same_setting_is_told_once() -> None:
    for _ in range(3):
        apply_threads([A, B, Backend(name="c", api=1, kernels=())], 2)
    assert TOLD == [("a", 2), ("b", 2)]


def test_it_is_told_again_after_another_backend_which_may_share_the_library() -> None:
    apply_threads([A], 1)
    apply_threads([B], 2)
    apply_threads([A], 1)
    assert TOLD == [("a", 1), ("b", 2), ("a", 1)]


def test_it_is_told_in_every_thread_that_runs() -> None:
    apply_threads([A], 1)
    other = threading.Thread(target=apply_threads, args=([A], 1))
    other.start()
    other.join()
    assert TOLD == [("a", 1), ("a", 1)]
