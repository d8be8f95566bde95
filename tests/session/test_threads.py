"""One thread setting for libraries whose thread count belongs to the process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import toys

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.session.threads import leading

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
