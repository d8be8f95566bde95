"""Memory that other libraries may read in streams of their own, which this plugin knows nothing of.

A block that nobody holds any more may still be read by work that was queued before. So it waits in a list until the
device has been idle, which is seen to only when much is waiting, or when memory ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from orpheus_cuda.block import Block

#: Blocks and bytes that may wait.
MOST, MOST_BYTES = 64, 256 << 20


class Sharing:
    """``allocate(nbytes, stream)`` gives a block; ``idle()`` returns when the device has no work left."""

    def __init__(self, allocate: Callable[[int, Any], Block], idle: Callable[[], object]) -> None:
        self._allocate, self._idle = allocate, idle
        self._left: list[tuple[Any, int]] = []
        self._lock = threading.Lock()

    def block(self, nbytes: int, stream: Any) -> Block:
        """A new block. MemoryError when none can be had even then."""
        if len(self._left) >= MOST or sum(size for _, size in self._left) > MOST_BYTES:
            self._reuse()
        try:
            block = self._allocate(nbytes, stream)
        except MemoryError:
            self._reuse()
            block = self._allocate(nbytes, stream)
        return Block(block.pointer, nbytes, _Held(block.owner, nbytes, self._left))

    def _reuse(self) -> None:
        with self._lock:
            count = len(self._left)  # more may come while the device is waited for
            self._idle()
            del self._left[:count]


class _Held:
    """Leaves memory behind, wherever the last to hold it lets go: no call of CUDA's may be made there."""

    def __init__(self, memory: Any, nbytes: int, left: list[tuple[Any, int]]) -> None:
        self._memory, self._nbytes, self._left = memory, nbytes, left

    def __del__(self) -> None:
        self._left.append((self._memory, self._nbytes))
