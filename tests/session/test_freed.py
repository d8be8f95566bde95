"""A session that nobody has any more is freed at once: no cycle keeps its weights until Python looks for some."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from fakes import small_network

import orpheus_core as orpheus


@pytest.fixture(autouse=True)
def without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), None])
def test_a_session_goes_with_its_last_name(shape: tuple[int, ...] | None) -> None:
    shapes = {} if shape is None else {"x": shape}
    session = orpheus.InferenceSession(small_network(), providers=["numpy"], shapes=shapes, threads=1)
    session.run(None, {"x": np.zeros((2, 3, 8, 8), np.float32)})
    binding = session.io_binding()
    binding.bind_input("x", np.zeros((2, 3, 8, 8), np.float32))
    binding.run()
    plan = session.latest_plan()
    alive = [weakref.ref(o) for o in (session, session.executable, plan, plan.program.operations[0])]
    del session, binding, plan
    assert [ref() for ref in alive] == [None] * len(alive)
