"""Host memory that every inference reads again: packed weights and arenas, on large pages where the system has them.

The weights of a network lie on thousands of ordinary pages, more than a processor's TLB holds: each page then costs a
walk through the page tables at every inference, stops the prefetchers, and costs a fault when it is first written.
Linux gives large pages to whoever asks (Documentation/admin-guide/mm/transhuge.rst). Whoever packs constants takes
memory from ``empty`` or ``zeros``; while a plan is made they are cut one after the other from few large slabs, which
live as long as any array in them.

Fresh pages are dear: the system clears them, and a virtual machine's host has to find them first. So a slab that nobody
uses any more is given back in such a way (MADV_FREE) that the system takes its pages when it needs them, and until then
the next session may have them again.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.types import Array

__all__ = ["ALIGNMENT", "block", "empty", "pooled", "zeros"]

#: Bytes: a cache line, and a vector of AVX-512.
ALIGNMENT = 64
#: A pool of fewer bytes is not worth a large page.
_PLAIN = 1 << 20
_SLAB = 32 << 20
_LARGEST_PAGE = 4 << 20
#: Bytes of slabs that wait to be used again, at most; they cost addresses, but no memory that anybody else needs.
_SPARE = 512 << 20


class _Pool:
    """Arrays of one plan, in few slabs. Takes may come from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0
        self._slab: Array | None = None
        self._is_clear = True

    def take(self, nbytes: int, *, clear: bool = False) -> Array | None:
        """Bytes that are aligned, and zero if ``clear``; None while there is too little for a slab."""
        with self._lock:
            self.taken += nbytes
            if self.taken < _PLAIN or not _large_page():
                return None
            step = -(-nbytes // ALIGNMENT) * ALIGNMENT
            if self._slab is None or self._slab.nbytes < step:
                self._slab, self._is_clear = _mapped(max(step, _SLAB), used=True)
            taken, self._slab = self._slab[:nbytes], self._slab[step:]
            if clear and not self._is_clear:
                taken[...] = 0
            return taken


_pool: ContextVar[_Pool | None] = ContextVar("_pool", default=None)


@contextlib.contextmanager
def pooled() -> Iterator[Callable[[], int]]:
    """Within the block ``empty`` and ``zeros`` cut their arrays from shared slabs; what it gives tells their bytes."""
    pool = _Pool()
    token = _pool.set(pool)
    try:
        yield lambda: pool.taken
    finally:
        _pool.reset(token)


def empty(shape: int | Sequence[int], dtype: Any = np.float32) -> Array:
    """A new array whose elements are to be written, as numpy's; MemoryError when there is no memory."""
    pool = _pool.get()
    taken = pool.take(_nbytes(shape, dtype)) if pool else None
    return np.empty(shape, dtype) if taken is None else taken.view(dtype).reshape(shape)


def zeros(shape: int | Sequence[int], dtype: Any = np.float32) -> Array:
    """A new array of zeros, as numpy's; MemoryError when there is no memory."""
    pool = _pool.get()
    taken = pool.take(_nbytes(shape, dtype), clear=True) if pool else None
    return np.zeros(shape, dtype) if taken is None else taken.view(dtype).reshape(shape)


def block(nbytes: int, *, used: bool = False) -> Array:
    """New bytes, aligned, for an arena; MemoryError when there is no memory. ``used``: all will be written before."""
    if nbytes >= _PLAIN and _large_page():
        return _mapped(nbytes, used=used)[0]
    given = np.empty(nbytes + ALIGNMENT, np.uint8)
    start: int = -given.ctypes.data % ALIGNMENT
    return given[start : start + nbytes]


def _nbytes(shape: int | Sequence[int], dtype: Any) -> int:
    return math.prod((shape,) if isinstance(shape, int) else shape) * int(np.dtype(dtype).itemsize)


def _mapped(nbytes: int, *, used: bool) -> tuple[Array, bool]:
    """Bytes that begin where a large page may, and whether all are zero; what is not touched takes no memory.

    ``used``: they may have been used before, and hold anything.
    """
    page = _large_page()
    spare = _take_spare(nbytes + page) if used else None
    mapping = _fresh(nbytes + page) if spare is None else spare
    given = np.frombuffer(mapping, np.uint8)
    if used and hasattr(mmap, "MADV_FREE"):
        weakref.finalize(given, _give_back, mapping).atexit = False
    start: int = -given.ctypes.data % page
    return given[start : start + nbytes], spare is None


def _fresh(nbytes: int) -> mmap.mmap:
    try:
        mapping = _map(nbytes)
    except OSError:
        _spares.clear()  # they may be what stands in the way
        try:
            mapping = _map(nbytes)
        except OSError as error:
            raise MemoryError(f"the system gives no {nbytes / 2**20:.0f} MiB: {error}") from error
    with contextlib.suppress(OSError):  # a kernel without large pages: ordinary ones do
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping


def _map(nbytes: int) -> mmap.mmap:
    return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


#: Slabs that nobody uses, the one given back last at the end. Only calls that are whole by themselves: an array's end,
#: and with it ``_give_back``, may come anywhere.
_spares: deque[mmap.mmap] = deque()


def _give_back(mapping: mmap.mmap) -> None:
    try:
        mapping.madvise(mmap.MADV_FREE)
    except (OSError, ValueError):
        return  # it is unmapped instead
    _spares.append(mapping)
    with contextlib.suppress(IndexError):
        while sum(map(len, list(_spares))) > _SPARE:
            _spares.popleft()


def _take_spare(nbytes: int) -> mmap.mmap | None:
    """The smallest spare slab of so many bytes and at most twice as many."""
    for spare in sorted(_spares, key=len):
        if nbytes <= len(spare) <= 2 * nbytes:
            try:
                _spares.remove(spare)
            except ValueError:  # another thread has it
                continue
            return spare
    return None


@cache
def _large_page() -> int:
    """Bytes of a large page, 0 where the system gives none on request."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return 0
    system = Path("/sys/kernel/mm/transparent_hugepage")
    try:
        allowed = "[never]" not in (system / "enabled").read_text()
        size = int((system / "hpage_pmd_size").read_text())
    except (OSError, ValueError):
        return 0
    return size if allowed and size <= _LARGEST_PAGE else 0  # of 64 KiB pages, the large ones are 512 MiB
