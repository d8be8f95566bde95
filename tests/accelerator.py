"""A device that only seems to be one: its memory is hidden, its work waits until somebody asks for results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import prod
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from orpheus_core import dlpack
from orpheus_core.errors import DeviceError, UsageError
from orpheus_core.plugin import Backend, Kernel, Problem, Ready
from orpheus_core.types import Device

ALIGNMENT = 256
#: What happened, in order, over all devices.
LOG: list[str] = []
#: Bytes that a block of memory may have.
CAPACITY = [1 << 30]
#: Of DLPack's kinds the one for what has no other.
KIND = 12
#: Streams by the number that other libraries know them by.
STREAMS: WeakValueDictionary[int, Runtime] = WeakValueDictionary()
_numbers = count(100)


@dataclass(eq=False)
class Hidden:
    """Memory that numpy must not touch by accident, and the queue of whoever made it."""

    block: Any
    offset: int
    shape: tuple[int, ...]
    dtype: Any
    device: int
    queue: list[Callable[[], None]]

    @property
    def bytes(self) -> Any:
        return self.block[self.offset : self.offset + prod(self.shape) * np.dtype(self.dtype).itemsize]

    @property
    def hidden(self) -> Any:
        return self.bytes.view(self.dtype).reshape(self.shape)

    def __setitem__(self, place: Any, value: Hidden) -> None:
        assert place is Ellipsis and (value.shape, value.dtype) == (self.shape, self.dtype)
        LOG.append("within")
        self.queue.append(lambda: np.copyto(self.hidden, value.hidden))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("device memory was read as if it were the host's")


class Runtime:
    """Runs nothing before it is synchronized, or something is downloaded."""

    alignment = ALIGNMENT

    def __init__(self, device: Device) -> None:
        self.device = device.index
        self.identity = f"fake {device.index}, driver 1.0"
        self.queue: list[Callable[[], None]] = []
        self.dlpack, self.dlpack_stream = (KIND, device.index), next(_numbers)
        STREAMS[self.dlpack_stream] = self

    def stream(self) -> Runtime:
        LOG.append("stream")
        return Runtime(Device("fake", self.device))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Hidden:
        return self.view(self.arena(prod(shape) * np.dtype(dtype).itemsize), 0, shape, dtype)

    def arena(self, nbytes: int) -> Any:
        if nbytes > CAPACITY[0]:
            raise MemoryError(f"fake {self.device} has {CAPACITY[0]} bytes")
        return np.full(nbytes, 0xEE, np.uint8)

    def host(self, nbytes: int) -> Any:
        LOG.append(f"host {nbytes}")
        return np.empty(nbytes, np.uint8)

    def view(self, arena: Any, offset: int, shape: tuple[int, ...], dtype: Any) -> Hidden:
        assert offset % ALIGNMENT == 0
        return Hidden(arena, offset, shape, dtype, self.device, self.queue)

    def foreign(self, pointer: int, nbytes: int, owner: Any) -> Any:
        kind = np.dtype(np.uint8)
        return np.asarray(dlpack.Tensor(pointer, (nbytes,), (1,), kind, self.dlpack, False, owner))

    def shared(self, nbytes: int) -> Any:
        LOG.append("shared")
        return self.arena(nbytes)

    def address(self, arena: Any) -> int:
        return int(arena.ctypes.data)

    def upload(self, source: Any, target: Hidden) -> None:
        LOG.append("up")
        kept = source.copy()
        self.queue.append(lambda: np.copyto(target.hidden, kept))

    def download(self, source: Hidden, target: Any) -> None:
        LOG.append("down")
        self.synchronize()
        np.copyto(target, source.hidden)

    def synchronize(self) -> None:
        while self.queue:
            self.queue.pop(0)()

    def seconds(self, step: Callable[[], object]) -> float:
        step()
        self.synchronize()
        return float(getattr(step, "taken", 0.25))


class Elementwise:
    """Relu, or Add of one shape; ``packed`` weights of Add are uploaded by the kernel itself."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.apply = np.add if problem.op == "Add" else lambda x: np.maximum(x, 0)

    def bind(self, inputs: Sequence[Hidden], outputs: Sequence[Hidden], workspace: Any) -> Callable[[], None]:
        (target,) = outputs
        queue = target.queue

        def work() -> None:
            np.copyto(target.hidden, self.apply(*(x.hidden for x in inputs)))

        return lambda: queue.append(work)


class Quick(Elementwise):
    """Takes half the time of others by the device's clock, and more by the host's."""

    def bind(self, inputs: Sequence[Hidden], outputs: Sequence[Hidden], workspace: Any) -> Callable[[], None]:
        return SlowToQueue(super().bind(inputs, outputs, workspace))


@dataclass
class SlowToQueue:
    """A step that tells how long its device takes."""

    queue: Callable[[], None]
    taken: float = 0.125

    def __call__(self) -> None:
        time.sleep(0.002)
        self.queue()


class Packing(Elementwise):
    """Keeps its second operand, a constant, in a form of its own."""

    packed = (1,)
    workspace = 128

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Hidden], workspace: Any) -> Callable[[], None]:
        assert inputs[1] is None and isinstance(workspace, Hidden) and workspace.bytes.size == 128
        (x, _), (target,), w = inputs, outputs, self.problem.constants[1]
        return lambda: target.queue.append(lambda: np.copyto(target.hidden, x.hidden + w))


class Lost(Elementwise):
    """A device that goes away."""

    def bind(self, inputs: Sequence[Hidden], outputs: Sequence[Hidden], workspace: Any) -> Callable[[], None]:
        def step() -> None:
            raise DeviceError("fake 0 was lost")

        return step


def probe() -> Ready:
    return Ready("two devices", devices=("0: slow", "1: fast"))


def configure(backend: Backend, options: Mapping[str, Any]) -> Backend:
    unknown = set(options) - {"device"}
    if unknown:
        raise UsageError(f"fake takes device, not {sorted(unknown)}")
    if options["device"] not in (0, 1):
        raise UsageError(f"fake has devices 0 and 1, not {options['device']!r}")
    return replace(backend, device=Device("fake", options["device"]))


def seal(steps: Sequence[Callable[[], object]]) -> Callable[[], None]:
    LOG.append(f"sealed {len(steps)}")

    def run() -> None:
        for step in steps:
            step()

    return run


def nonzero(x: Hidden) -> Hidden:
    """Of a size that only the values tell, so it waits for them."""
    while x.queue:
        x.queue.pop(0)()
    found = np.array(np.nonzero(x.hidden), np.int64)
    target = Hidden(np.empty(found.nbytes, np.uint8), 0, found.shape, found.dtype, x.device, x.queue)
    np.copyto(target.hidden, found)
    return target


def copying(*inputs: Hidden, axis: int, out: tuple[Hidden, ...]) -> Hidden:
    (target,) = out
    pieces = list(inputs)
    target.queue.append(lambda: np.copyto(target.hidden, np.concatenate([p.hidden for p in pieces], axis)))
    return target


def backend(**kernels: str) -> Backend:
    """Relu, Add and Concat on device 0; ``kernels`` gives another class for an operator."""
    table = [
        Kernel(op=op, name="k", prepare=f"accelerator:{kernels.get(op, 'Elementwise')}", overlap=True)
        for op in ("Relu", "Add")
    ]
    table.append(Kernel(op="NonZero", name="k", run="accelerator:nonzero"))
    table.append(Kernel(op="Concat", name="k", run="accelerator:copying", writes_out=True))
    return Backend(
        name="fake", api=1, kernels=tuple(table), device=Device("fake"), probe="accelerator:probe",
        runtime="accelerator:Runtime", configure="accelerator:configure", seal="accelerator:seal",
    )  # fmt: skip
