"""The thread count of libraries: told when it may have changed, not otherwise; and who has the threads."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import toys

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.plugin import Backend
from orpheus_core.session.threads import apply_threads, leading, settings_of

TOLD: list[tuple[str, int]] = []


def tell_a(threads: int) -> None:
    TOLD.append(("a", threads))


def tell_b(threads: int) -> None:
    TOLD.append(("b", threads))


def tell(backends: list[Backend], threads: int, lead: str | None = None) -> None:
    apply_threads(settings_of(backends, threads, lead=lead))


A, B = (Backend(name=n, api=1, kernels=(), set_threads=f"{__name__}:tell_{n}") for n in "ab")


@pytest.fixture(autouse=True)
def forget() -> None:
    tell([A], 99)
    TOLD.clear()


def test_the_same_setting_is_told_once() -> None:
    for _ in range(3):
        tell([A, B, Backend(name="c", api=1, kernels=())], 2)
    assert TOLD == [("a", 2), ("b", 2)]


def test_it_is_told_again_after_another_backend_which_may_share_the_library() -> None:
    tell([A], 1)
    tell([B], 2)
    tell([A], 1)
    assert TOLD == [("a", 1), ("b", 2), ("a", 1)]


def test_it_is_told_in_every_thread_that_runs() -> None:
    tell([A], 1)
    other = threading.Thread(target=tell, args=([A], 1))
    other.start()
    other.join()
    assert TOLD == [("a", 1), ("a", 1)]


def check_c(threads: int) -> None:
    """As a library that is asked what it has been told."""
    shared[0] = threads
    time.sleep(0.001)
    if shared[0] != threads:
        TOLD.append(("c", threads))


shared = [0]


def test_a_library_is_told_by_one_thread_at_a_time() -> None:
    asked = Backend(name="c", api=1, kernels=(), set_threads=f"{__name__}:check_c")
    at_once = threading.Barrier(2)

    def ask(count: int) -> None:
        at_once.wait()
        for _ in range(20):
            tell([asked], count)

    threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert TOLD == []  # of those that found another count than their own


def test_the_lead_is_told_last_and_the_others_one() -> None:
    tell([A, B], 3, lead="a")
    assert TOLD == [("b", 1), ("a", 3)]


X = np.ones((2, 3), np.float32)
MIXED = toys.model([("Relu", ["x"], "a"), ("Neg", ["a"], "b"), ("Relu", ["b"], "c")], X.shape, ["c"])


def run(providers: list[str], threads: int = 3) -> dict[str, int]:
    """What the libraries were told when the network ran; ``other`` has Relu only."""
    plain = replace(toys.plain(), set_threads="toys:set_plain_threads")
    kernels = tuple(k for k in plain.kernels if k.op == "Relu")
    other = replace(plain, name="other", kernels=kernels, set_threads="toys:set_other_threads")
    with discovery.override(plain, other):
        s = orpheus.InferenceSession(
            MIXED, orpheus.SessionOptions(measurements=""), providers=providers, threads=threads
        )
        s.run(None, {"x": X})
        return dict(toys.THREADS)


def test_the_library_that_computes_most_has_the_threads_and_the_other_one() -> None:
    assert run(["other", "plain"]) == {"other": 3, "plain": 1}
    assert run(["plain", "other"]) == {"other": 1, "plain": 3}


def test_alone_it_has_them_all() -> None:
    run(["other", "plain"])
    assert run(["plain"], threads=2)["plain"] == 2


def test_views_lead_nobody() -> None:
    assert leading(["core", "core", "numpy"]) == "numpy"
    assert leading(["core"]) is None
