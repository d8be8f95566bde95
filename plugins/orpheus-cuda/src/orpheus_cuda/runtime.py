"""Memory of a GPU: an array is a place in a block."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from orpheus_core.types import Array, Device
from orpheus_cuda.block import Block
from orpheus_cuda.device import opened
from orpheus_cuda.driver import DOWN, UP

#: kDLCUDA.
DLPACK_KIND = 2


@dataclass(frozen=True, eq=False)
class Tensor:
    """An array at ``pointer``, inside ``block``, which keeps it; work on it goes to ``stream`` of ``library``."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    block: Any
    library: Any
    stream: Any

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __setitem__(self, place: Any, value: Tensor) -> None:
        """``self[...] = value``, of the same type, once it is computed."""
        assert place is Ellipsis and (value.shape, value.dtype) == (self.shape, self.dtype)
        if self.nbytes:
            self.library.copy(self.pointer, value.pointer, self.nbytes, self.stream)

    def part(self, offset: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Tensor:
        """An array inside this one, ``offset`` bytes in."""
        return Tensor(self.pointer + offset, shape, np.dtype(dtype), self.block, self.library, self.stream)


class Runtime:
    """See :class:`orpheus_core.plugin.Runtime`: a device, or one stream of its work."""

    alignment = 256

    def __init__(self, device: Device) -> None:
        self._device = device
        self._library = opened(device.index)
        self._stream = self._library.stream()
        self._pinned: list[tuple[int, int]] = []
        self.dlpack = (DLPACK_KIND, device.index)

    @property
    def identity(self) -> str:
        """Device and driver."""
        return str(self._library.found.identity)

    @property
    def dlpack_stream(self) -> int:
        """The stream as CUDA numbers it, for other libraries to order their work before its own."""
        return int(self._library.number(self._stream))

    def stream(self) -> Runtime:
        """A runtime with a stream of its own."""
        return Runtime(self._device)

    def arena(self, nbytes: int) -> Any:
        """A new block of memory."""
        return self._library.allocate(nbytes, self._stream)

    def foreign(self, pointer: int, nbytes: int, owner: Any) -> Block:
        """Another library's memory."""
        return Block(pointer, nbytes, owner)

    def shared(self, nbytes: int) -> Any:
        """A block that other libraries may read in streams of their own."""
        return self._library.shared(nbytes, self._stream)

    def address(self, arena: Any) -> int:
        """Where a block begins."""
        return int(arena.pointer)

    def host(self, nbytes: int) -> Array:
        """Pinned bytes: transfers from and to them run on while the host goes on."""
        array: Array = self._library.pinned(nbytes)
        self._pinned.append((array.ctypes.data, array.ctypes.data + nbytes))
        return array

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Tensor:
        """A new array."""
        dtype = np.dtype(dtype)
        return self.view(self.arena(prod(shape) * dtype.itemsize), 0, shape, dtype)

    def view(self, arena: Any, offset: int, shape: tuple[int, ...], dtype: Any) -> Tensor:
        """An array inside a block."""
        pointer = arena.pointer + offset
        return Tensor(pointer, tuple(shape), np.dtype(dtype), arena, self._library, self._stream)

    def upload(self, source: Array, target: Tensor) -> None:
        """Copy to the device. What does not lie in memory of ``host`` may change once this returns."""
        if not target.nbytes:
            return
        source = np.ascontiguousarray(source)
        self._library.copy(target.pointer, source.ctypes.data, target.nbytes, self._stream, UP)
        if not any(low <= source.ctypes.data < high for low, high in self._pinned):
            self.synchronize()

    def download(self, source: Tensor, target: Array) -> None:
        """Copy to the host."""
        if not source.nbytes:
            return
        whole = target if target.flags.c_contiguous else np.empty(source.shape, source.dtype)
        self._library.copy(whole.ctypes.data, source.pointer, source.nbytes, self._stream, DOWN)
        self.synchronize()
        if whole is not target:
            np.copyto(target, whole)

    def synchronize(self) -> None:
        """Wait for the stream's work to end."""
        self._library.wait(self._stream)

    def seconds(self, step: Callable[[], object]) -> float:
        """The time of its kernels by the device's clock; by the host's for a step that is not this backend's own."""
        self.synchronize()
        if hasattr(step, "stream"):
            return float(self._library.seconds(step, self._stream))
        start = time.perf_counter()
        step()
        self.synchronize()
        return time.perf_counter() - start


def load(index: int, array: Array) -> Tensor:
    """A constant on device ``index``, for every stream to read.

    Its memory is of the shared kind: a layer of open shape may be forgotten while a stream still runs it.
    """
    library = opened(index)
    array = np.ascontiguousarray(array)
    block = library.shared(array.nbytes, library.loading)
    if array.nbytes:
        library.copy(block.pointer, array.ctypes.data, array.nbytes, library.loading, UP)
        library.wait(library.loading)
    return Tensor(block.pointer, array.shape, array.dtype, block, library, library.loading)
