"""The arena planner: buffers alive together never overlap, and the block is near the lower bound."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_core.plan.arena import ALIGNMENT, Buffer, lower_bound, plan_arena

BUFFERS = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(0, 30), st.integers(0, 8)).map(
        lambda t: Buffer(t[0], t[1], t[1] + t[2])
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(BUFFERS)
def test_buffers_alive_together_are_apart(buffers: list[Buffer]) -> None:
    arena = plan_arena(buffers)
    for index, a in enumerate(buffers):
        assert a.offset % ALIGNMENT == 0
        assert a.offset + a.nbytes <= arena.nbytes
        for b in buffers[:index]:
            if a.first <= b.last and b.first <= a.last:
                assert a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset


@given(BUFFERS)
def test_the_lower_bound_is_the_largest_sum_alive(buffers: list[Buffer]) -> None:
    by_step = [sum(b.padded for b in buffers if b.first <= s <= b.last) for s in range(40)]
    assert lower_bound(buffers) == max(by_step)
    assert plan_arena(buffers).nbytes >= max(by_step)


def test_a_chain_needs_two_buffers() -> None:
    chain = [Buffer(1024, i, i + 1) for i in range(50)]
    assert plan_arena(chain).nbytes == 2048


def test_nothing_needs_nothing() -> None:
    assert plan_arena([]).nbytes == 0
