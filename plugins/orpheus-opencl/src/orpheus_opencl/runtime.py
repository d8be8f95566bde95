"""Memory of a device: blocks are buffers, an array is a place in one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from orpheus_core.types import Array, Device
from orpheus_opencl.device import Opened, opened
from orpheus_opencl.faults import typed

if TYPE_CHECKING:
    from orpheus_opencl.launch import Launch


@dataclass(frozen=True, eq=False)
class Tensor:
    """An array on the device: ``offset`` bytes into ``buffer``; work on it goes to ``queue``."""

    buffer: cl.Buffer
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    queue: cl.CommandQueue

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def at(self) -> np.uint64:
        """Where it begins in its buffer, in elements."""
        return np.uint64(self.offset // self.dtype.itemsize)

    def part(self, offset: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Tensor:
        """An array inside this one, ``offset`` bytes in."""
        return Tensor(self.buffer, self.offset + offset, shape, np.dtype(dtype), self.queue)


class Runtime:
    """See :class:`orpheus_core.plugin.Runtime`: a device, or one stream of its work."""

    def __init__(self, device: Device, of: Opened | None = None) -> None:
        self._opened = opened(device.index) if of is None else of
        self._device = device
        self.queue = self._opened.queue()
        self._profiling: cl.CommandQueue | None = None

    @property
    def identity(self) -> str:
        """Platform, device and driver."""
        return self._opened.found.identity

    def stream(self) -> Runtime:
        """A runtime with a queue of its own."""
        return Runtime(self._device, self._opened)

    def arena(self, nbytes: int) -> cl.Buffer:
        """A new block of memory."""
        try:
            return cl.Buffer(self._opened.context, cl.mem_flags.READ_WRITE, size=max(nbytes, 1))
        except cl.Error as error:
            raise typed(error, self._opened.device, f"a block of {nbytes} bytes") from error

    def host(self, nbytes: int) -> Array:
        """Bytes on the host that the driver has chosen, mapped for as long as the array lives."""
        context, flags = self._opened.context, cl.mem_flags.READ_WRITE | cl.mem_flags.ALLOC_HOST_PTR
        try:
            buffer = cl.Buffer(context, flags, size=max(nbytes, 1))
            how = cl.map_flags.READ | cl.map_flags.WRITE
            array, _ = cl.enqueue_map_buffer(self._opened.loading, buffer, how, 0, (nbytes,), np.uint8)
        except cl.Error as error:
            raise typed(error, self._opened.device, f"{nbytes} bytes of staging memory") from error
        mapped: Array = array
        return mapped

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Tensor:
        """A new array."""
        dtype = np.dtype(dtype)
        return self.view(self.arena(prod(shape) * dtype.itemsize), 0, shape, dtype)

    def view(self, arena: cl.Buffer, offset: int, shape: tuple[int, ...], dtype: Any) -> Tensor:
        """An array inside a block."""
        return Tensor(arena, offset, tuple(shape), np.dtype(dtype), self.queue)

    def upload(self, source: Array, target: Tensor) -> None:
        """Copy to the device."""
        if target.nbytes:
            self._copy(target.buffer, np.ascontiguousarray(source), dst_offset=target.offset)

    def download(self, source: Tensor, target: Array) -> None:
        """Copy to the host."""
        if not source.nbytes:
            return
        if target.flags.c_contiguous:
            self._copy(target, source.buffer, src_offset=source.offset)
            return
        whole = np.empty(source.shape, source.dtype)
        self._copy(whole, source.buffer, src_offset=source.offset)
        np.copyto(target, whole)

    def _copy(self, target: Any, source: Any, **where: int) -> None:
        try:
            cl.enqueue_copy(self.queue, target, source, is_blocking=True, **where)
        except cl.Error as error:
            raise typed(error, self._opened.device, "a transfer") from error

    def synchronize(self) -> None:
        """Wait for the queue to end."""
        try:
            self.queue.finish()
        except cl.Error as error:
            raise typed(error, self._opened.device, "waiting for its queue") from error

    def seconds(self, step: Callable[[], object] | Launch) -> float:
        """The time of its kernels by the device's clock; by the host's for a step that is not this backend's own."""
        self.synchronize()
        if not hasattr(step, "begin"):
            start = time.perf_counter()
            step()
            self.synchronize()
            return time.perf_counter() - start
        if self._profiling is None:
            self._profiling = self._opened.queue(profiled=True)
        events = step.begin(self._profiling)
        self._profiling.finish()
        return float(sum(e.profile.end - e.profile.start for e in events)) * 1e-9


def load(index: int, array: Array) -> Tensor:
    """A constant on device ``index``, for every queue to read."""
    of = opened(index)
    array = np.ascontiguousarray(array)
    try:
        buffer = cl.Buffer(of.context, cl.mem_flags.READ_ONLY, size=max(array.nbytes, 1))
        if array.nbytes:
            cl.enqueue_copy(of.loading, buffer, array, is_blocking=True)
    except cl.Error as error:
        raise typed(error, of.device, f"{array.nbytes} bytes of weights") from error
    return Tensor(buffer, 0, array.shape, array.dtype, of.loading)
