"""Memory with guard zones: what a kernel is given, and what shows afterwards that it wrote where it may not."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_core.plugin import Runtime
from orpheus_core.types import Array

#: Bytes of each zone, before and after: two cache lines, more than any vector store overshoots by.
ZONE = 128
#: The same on a device; also a multiple of any device's alignment of parts of a block.
DEVICE_ZONE = 1024
_CANARY = 0xC7
_ALIGN = 64


class Guarded:
    """An array with a guard zone on either side.

    ``offset`` bytes beyond a 64-byte boundary; ``gap`` leaves an element free after each one of the last axis, which
    makes the array strided. Everything that is not an element is canary.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, *, offset: int = 0, gap: bool = False) -> None:
        dtype = np.dtype(dtype)
        spread = (*shape[:-1], shape[-1] * 2) if gap and shape else shape
        count = int(np.prod(spread, dtype=np.int64)) * dtype.itemsize
        self._block = np.full(ZONE * 2 + count + _ALIGN, _CANARY, np.uint8)
        start = ZONE + -(self._block.ctypes.data + ZONE) % _ALIGN + offset
        self._used = self._block[start : start + count]
        whole: Array = self._used.view(dtype) if not offset % dtype.itemsize else self._unaligned(dtype)
        whole = whole.reshape(spread)
        self.array: Array = whole[..., ::2] if gap and shape else whole
        self._elements = self._mask(start, count, gap and bool(shape), dtype.itemsize)

    def _unaligned(self, dtype: np.dtype[Any]) -> Array:
        return np.frombuffer(self._used.data, dtype)

    def _mask(self, start: int, count: int, gap: bool, itemsize: int) -> Array:
        outside = np.ones(self._block.shape, bool)
        inside = outside[start : start + count]
        if gap:
            inside.reshape(-1, 2, itemsize)[:, 0] = False
        else:
            inside[:] = False
        return outside

    def fill(self, byte: int) -> None:
        """Every byte of every element."""
        flat = np.ascontiguousarray(self.array) if not self.array.flags.c_contiguous else None
        if flat is None:
            self._used[:] = byte
        else:
            flat.view(np.uint8)[...] = byte
            self.array[...] = flat

    def breach(self) -> str | None:
        """Where something outside the array was written to, or None."""
        changed = np.flatnonzero((self._block != _CANARY) & self._outside)
        if not changed.size:
            return None
        first = int(changed[0]) - (self._used.ctypes.data - self._block.ctypes.data)
        return f"{changed.size} bytes outside were written to, the first at byte {first} of {self._used.size}"

    @property
    def _outside(self) -> Array:
        return self._elements


class DeviceGuarded:
    """An array on a device, in the midst of a block of its own with canary on either side."""

    def __init__(self, runtime: Runtime, shape: tuple[int, ...], dtype: Any) -> None:
        self._runtime = runtime
        self._size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        nbytes = self._size + 2 * DEVICE_ZONE
        block = runtime.arena(nbytes)
        self._whole = runtime.view(block, 0, (nbytes,), np.uint8)
        runtime.upload(np.full(nbytes, _CANARY, np.uint8), self._whole)
        self.array = runtime.view(block, DEVICE_ZONE, shape, np.dtype(dtype))

    def fill(self, byte: int) -> None:
        """Every byte of the array, which must be one of bytes."""
        self._runtime.upload(np.full(self._size, byte, np.uint8), self.array)

    def breach(self) -> str | None:
        """Where something outside the array was written to, or None. Synchronizes nothing."""
        host = np.empty(self._size + 2 * DEVICE_ZONE, np.uint8)
        self._runtime.download(self._whole, host)
        host[DEVICE_ZONE : DEVICE_ZONE + self._size] = _CANARY
        changed = np.flatnonzero(host != _CANARY)
        if not changed.size:
            return None
        first = int(changed[0]) - DEVICE_ZONE
        return f"{changed.size} bytes outside were written to, the first at byte {first} of {self._size}"


def garbage(dtype: np.dtype[Any], seed: int) -> int:
    """A byte to fill outputs with before a kernel runs: NaN in floats by turns with a large number."""
    return 0xFF if seed % 2 == 0 else 0x5A
