"""Memory for packed weights and arenas: aligned, zero, apart from each other, given back with the last array."""

from __future__ import annotations

import gc
import itertools
import mmap
import os
import weakref
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
def test_slabs_are_given_back_with_the_last_array() -> None:
    with memory.pooled():
        arrays = [memory.empty(1_000_000) for _ in range(4)]
    base = arrays[0]
    while isinstance(base.base, np.ndarray):
        base = base.base
    mapping = base.base.obj if isinstance(base.base, memoryview) else base.base
    assert isinstance(mapping, mmap.mmap)
    gone = weakref.ref(mapping)
    del base, mapping
    while arrays:
        assert gone() is not None
        arrays.pop()
    gc.collect()
    assert gone() is None


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
