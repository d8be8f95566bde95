"""Steps: launches whose arguments were set when they were bound, and the recorded list that replays them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyopencl as cl

from orpheus_opencl.faults import typed
from orpheus_opencl.programs import program
from orpheus_opencl.runtime import Tensor


class Place(NamedTuple):
    """The bytes of a buffer that one argument of a kernel stands for; ``argument`` is its index."""

    argument: int
    buffer: cl.Buffer
    begin: int
    end: int


@dataclass(frozen=True)
class Call:
    """A kernel with its arguments; their buffers are kept as long as it is, which OpenCL does not see to."""

    name: str
    kernel: cl.Kernel
    size: tuple[int, ...]
    group: tuple[int, ...] | None
    places: tuple[Place, ...]

    def start(self, queue: cl.CommandQueue) -> cl.Event:
        """Its event."""
        return cl.enqueue_nd_range_kernel(queue, self.kernel, self.size, self.group)


class _Start(partial[object]):
    """A call to be started with the least work."""

    call: Call


def _start(queue: cl.CommandQueue, call: Call) -> _Start:
    start = _Start(cl.enqueue_nd_range_kernel, queue, call.kernel, call.size, call.group)
    start.call = call
    return start


class Launch:
    """One or more kernels to be started one after the other, on one queue."""

    def __init__(self, queue: cl.CommandQueue, calls: Sequence[Call]) -> None:
        self.queue = queue
        self.calls = tuple(calls)
        self.starts: tuple[Callable[[], object], ...] = tuple(_start(queue, call) for call in calls)

    def begin(self, queue: cl.CommandQueue) -> list[cl.Event]:
        """Start the kernels on another queue; their events."""
        return [call.start(queue) for call in self.calls]

    def __call__(self) -> None:
        """Start the kernels."""
        try:
            for start in self.starts:
                start()
        except cl.Error as error:
            names = ", ".join(call.name for call in self.calls)
            raise typed(error, self.queue.device, f"starting {names}") from error

    def then(self, other: Launch) -> Launch:
        """This, then the other."""
        return Launch(self.queue, (*self.calls, *other.calls))


def launch(
    queue: cl.CommandQueue,
    source: str,
    name: str,
    options: str,
    arguments: Sequence[Any],
    size: tuple[int, ...],
    group: tuple[int, ...] | None = None,
) -> Launch:
    """Kernel ``name`` of ``source`` with these arguments over ``size`` work items (none at all when one is 0).

    A tensor stands for its buffer and the element it begins at, None for one that is absent, an int for an int; one of
    float16 makes the program one of halves. Without a ``group`` a processor takes items one by one, since its driver
    would compile the kernel again for every size of group; other drivers choose.
    """
    if 0 in size:
        return Launch(queue, ())
    if any(isinstance(argument, Tensor) and argument.dtype == np.float16 for argument in arguments):
        options = f"{options} -DHALF"
    kernel = cl.Kernel(program(queue, source, options), name)
    flat: list[Any] = []
    places: list[Place] = []
    for argument in arguments:
        if argument is None:
            flat += [None, np.uint64(0)]
        elif isinstance(argument, Tensor):
            begin = argument.offset
            places.append(Place(len(flat), argument.buffer, begin, begin + argument.nbytes))
            flat += [argument.buffer, argument.at]
        else:
            if isinstance(argument, cl.Buffer):
                places.append(Place(len(flat), argument, 0, argument.size))
            flat.append(np.int32(argument) if isinstance(argument, int) else argument)
    kernel.set_args(*flat)
    if group is None and queue.device.type & cl.device_type.CPU:
        group = (1,) * len(size)
    return Launch(queue, [Call(name, kernel, size, group, tuple(places))])


def seal(steps: Sequence[Launch | Callable[[], object]]) -> Callable[[], None]:
    """Every kernel of the steps from one flat list, which is all that a replay costs.

    A step that somebody has wrapped is called as it is.
    """
    queues = [step.queue for step in steps if isinstance(step, Launch)]
    queue = queues[0] if queues else None
    starts = tuple(s for step in steps for s in (step.starts if isinstance(step, Launch) else (step,)))

    def run() -> None:
        try:
            for start in starts:
                start()
            if queue is not None:
                queue.flush()
        except cl.Error as error:
            if queue is None:
                raise
            raise typed(error, queue.device, "starting a run of kernels") from error

    return run
