"""Memory for packed weights and arenas: aligned, zero, apart from each other, given back with the last array."""

from __future__ import annotations

import gc
import itertools
import mmap
import os
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core import memory


def address(array: np.ndarray) -> int:
    return array.ctypes.data


@given(sizes=st.lists(st.integers(0, 700_000), max_size=12))
def test_arrays_of_a_pool_do_not_overlap(sizes: list[int]) -> None:
    with memory.pooled():
        arrays = [(memory.zeros if i % 2 else memory.empty)(size) for i, size in enumerate(sizes)]
    for i, array in enumerate(arrays):
        assert array.dtype == np.float32 and array.shape == (sizes[i],)
        assert i % 2 == 0 or not array.any()
        array[...] = i + 1
    for i, array in enumerate(arrays):
        assert (array == i + 1).all()


def test_a_large_array_of_a_pool_is_aligned_to_a_cache_line() -> None:
    with memory.pooled():
        arrays = [memory.empty((3, 100_001)) for _ in range(3)]
    assert [address(a) % memory.ALIGNMENT for a in arrays if a.base is not None] == [0] * sum(
        a.base is not None for a in arrays
    )


@pytest.mark.parametrize("nbytes", [1, 64, 1 << 20, 3 << 20])
def test_a_block_is_aligned_and_writable(nbytes: int) -> None:
    block = memory.block(nbytes)
    assert block.nbytes == nbytes and block.dtype == np.uint8 and address(block) % memory.ALIGNMENT == 0
    block[...] = 7


def test_outside_of_a_pool_arrays_are_numpy_s_own() -> None:
    assert memory.empty((2, 3), np.int64).base is None
    assert not memory.zeros(5).any()


def test_threads_of_one_pool_get_arrays_of_their_own() -> None:
    with memory.pooled():
        pool = memory._pool.get()
        assert pool is not None
        with ThreadPoolExecutor(4) as threads:
            taken = [a for a in threads.map(pool.take, [300_000] * 64) if a is not None]
    starts = sorted(address(a) for a in taken)
    assert all(b - a >= 300_000 for a, b in itertools.pairwise(starts))


@pytest.mark.skipif(not memory._large_page(), reason="the system gives no large pages on request")
def test_slabs_are_given_back_with_the_last_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_FREE", raising=False)
    with memory.pooled():
        arrays = [memory.empty(1_000_000) for _ in range(4)]
    gone = weakref.ref(mapping_of(arrays[0]))
    while arrays:
        assert gone() is not None
        arrays.pop()
    gc.collect()
    assert gone() is None


def mapping_of(array: np.ndarray) -> mmap.mmap:
    while isinstance(array.base, np.ndarray):
        array = array.base
    mapping = array.base.obj if isinstance(array.base, memoryview) else array.base
    assert isinstance(mapping, mmap.mmap)
    return mapping


@pytest.fixture
def spares(monkeypatch: pytest.MonkeyPatch) -> deque[mmap.mmap]:
    """The spare slabs: none at first."""
    if not memory._large_page() or not hasattr(mmap, "MADV_FREE"):
        pytest.skip("the system keeps no pages for whoever comes next")
    found: deque[mmap.mmap] = deque()
    monkeypatch.setattr(memory, "_spares", found)
    return found


def test_a_slab_waits_for_the_next_pool_until_which_nobody_has_it(spares: deque[mmap.mmap]) -> None:
    def pool() -> list[np.ndarray]:
        with memory.pooled():
            return [memory.empty(1_000_000) for _ in range(4)]

    first = pool()
    for number in range(4):
        first[number][...] = 7
    mapping, part = mapping_of(first[0]), first[1][10:]
    first.clear()
    assert not spares, "a view of an array is still there"
    assert (part == 7).all()
    del part
    assert list(spares) == [mapping]
    again, other = pool(), pool()
    assert mapping_of(again[0]) is mapping is not mapping_of(other[0])
    assert not spares


def test_zeros_are_zero_in_a_slab_that_was_used(spares: deque[mmap.mmap]) -> None:
    with memory.pooled():
        memory.empty(2_000_000)[...] = 7
    assert len(spares) == 1
    with memory.pooled():
        arrays = [memory.zeros(500_000), memory.empty(100_000), memory.zeros(500_000)]
    assert not spares
    assert not arrays[0].any() and not arrays[2].any()


def test_an_arena_is_never_one_that_was_used(spares: deque[mmap.mmap]) -> None:
    memory.block(3 << 20, used=True)[...] = 7
    assert len(spares) == 1
    assert not memory.block(3 << 20).any()
    assert len(spares) == 1


def test_spare_slabs_are_bounded_and_go_where_memory_is_short(
    spares: deque[mmap.mmap], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_SPARE", 40 << 20)
    blocks = [memory.block(8 << 20, used=True) for _ in range(8)]
    blocks.clear()
    assert 24 << 20 < sum(map(len, spares)) <= 40 << 20
    small = memory.block(2 << 20, used=True)
    assert len(mapping_of(small)) < 8 << 20, "a spare slab of more than twice the size is not wasted on it"

    def short(nbytes: int) -> mmap.mmap:
        if spares:
            raise OSError("no addresses left")
        return mmap.mmap(-1, nbytes)

    monkeypatch.setattr(memory, "_map", short)
    assert memory.block(64 << 20).nbytes == 64 << 20
    assert not spares


@pytest.mark.skipif(not memory._large_page(), reason="the system gives no large pages on request")
def test_what_is_not_touched_takes_no_memory() -> None:
    pages = Path("/proc/self/statm")
    before = int(pages.read_text().split()[1])
    block = memory.block(256 << 20)
    after = int(pages.read_text().split()[1])
    assert (after - before) * os.sysconf("SC_PAGE_SIZE") < 16 << 20
    assert block.nbytes == 256 << 20


@pytest.mark.skipif(not memory._large_page(), reason="the system gives no large pages on request")
def test_no_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="MiB"):
        memory.block(1 << 60)


def test_without_large_pages_numpy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_large_page", lambda: 0)
    with memory.pooled():
        assert memory.empty(2_000_000).base is None
        assert not memory.zeros(2_000_000).any()
    assert address(memory.block(3 << 20)) % memory.ALIGNMENT == 0
