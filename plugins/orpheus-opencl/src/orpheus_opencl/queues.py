"""Several in-order queues: launches that share no memory may run at once, the others wait for events.

What a launch reads and writes are the bytes of its arguments; that an argument is only read, its declaration says
(``const``), which the driver is asked for; one that does not know lets launches with a common input wait for each
other. Memory that the planner uses again is a reason to wait like any other.
``seal2``, ``seal3`` and so on are :class:`orpheus_core.plugin.Backend`'s ``seal`` with so many queues.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyopencl as cl

from orpheus_opencl.faults import typed
from orpheus_opencl.launch import Call, Launch, seal


class Turn(NamedTuple):
    """A launch in a schedule: the queue it goes to, and the launches of other queues that it waits for."""

    queue: int
    waits: tuple[int, ...]


def dependencies(calls: Sequence[Call]) -> list[list[int]]:
    """Of each call the earlier ones that wrote what it reads or writes, or read what it writes."""
    places = [
        (i, place.buffer.int_ptr, place.begin, place.end, not _is_read(call, place.argument))
        for i, call in enumerate(calls)
        for place in call.places
    ]
    written = {buffer for _, buffer, _, _, writes in places if writes}
    found: list[list[int]] = [[] for _ in calls]
    for buffer in written:
        of, begin, end, writes = (
            np.array(column) for column in zip(*((i, a, b, w) for i, at, a, b, w in places if at == buffer))
        )
        for k in range(1, len(of)):
            meets = (begin[:k] < end[k]) & (begin[k] < end[:k]) & (writes[:k] | writes[k]) & (of[:k] != of[k])
            found[of[k]] += [int(i) for i in of[:k][meets]]
    return [sorted(set(before)) for before in found]


def _is_read(call: Call, argument: int) -> bool:
    try:
        qualifier = call.kernel.get_arg_info(argument, cl.kernel_arg_info.TYPE_QUALIFIER)
    except cl.Error:
        return False
    return bool(qualifier & cl.kernel_arg_type_qualifier.CONST)


def schedule(before: Sequence[Sequence[int]], queues: int) -> list[Turn]:
    """Where each launch goes: behind the last one that it waits for, or where it can begin first.

    A launch counts as one unit of time. A wait is left out where the order of queues implies it.
    """
    turns: list[Turn] = []
    tails: list[int | None] = [None] * queues
    ends: list[int] = []
    # What has ended when a launch begins: for each queue the last launch.
    known: list[list[int]] = []
    for i, needed in enumerate(before):
        ready = max((ends[j] for j in needed), default=0)
        last = [j for j in needed if ends[j] == ready and tails[turns[j].queue] == j]
        if last:
            queue = turns[last[0]].queue
        else:
            free = [0 if tail is None else ends[tail] for tail in tails]
            queue = min(range(queues), key=lambda q: (max(ready, free[q]), q))
        tail = tails[queue]
        seen = list(known[tail]) if tail is not None else [-1] * queues
        seen[queue] = -1 if tail is None else tail
        waits = []
        for j in sorted(needed, reverse=True):
            if seen[turns[j].queue] < j:
                waits.append(j)
                seen = [max(pair) for pair in zip(seen, known[j])]
                seen[turns[j].queue] = max(seen[turns[j].queue], j)
        turns.append(Turn(queue, tuple(sorted(waits))))
        ends.append(max(ready, 0 if tail is None else ends[tail]) + 1)
        known.append(seen)
        tails[queue] = i
    return turns


def several(count: int, steps: Sequence[Launch | Callable[[], object]]) -> Callable[[], None]:
    """As :func:`orpheus_opencl.launch.seal`, on ``count`` queues: the steps' own and ``count - 1`` beside it.

    What is put on the steps' queue before a run is waited for by all, and what is put there after it waits for all.
    """
    launches = [step for step in steps if isinstance(step, Launch)]
    calls = [call for launch in launches for call in launch.calls]
    turns = schedule(dependencies(calls), count) if len(launches) == len(steps) else []
    if not any(turn.queue for turn in turns):
        return seal(steps)
    main = launches[0].queue
    queues = [main, *(cl.CommandQueue(main.context, main.device) for _ in range(count - 1))]
    awaited = {i for turn in turns for i in turn.waits}
    first = {turn.queue: i for i, turn in reversed(list(enumerate(turns)))}
    last = {turn.queue: i for i, turn in enumerate(turns)}
    events: list[Any] = [None] * len(calls)

    def run() -> None:
        begun = cl.enqueue_marker(main)
        main.flush()
        for i, (turn, start) in enumerate(zip(turns, starts)):
            waits = [events[j] for j in turn.waits]
            if turn.queue and first[turn.queue] == i:
                waits.append(begun)
            event = start(wait_for=waits) if waits else start()
            if i in awaited or last[turn.queue] == i:
                events[i] = event
                queues[turn.queue].flush()
        cl.enqueue_marker(main, wait_for=[events[i] for queue, i in last.items() if queue])
        main.flush()

    starts = [
        partial(cl.enqueue_nd_range_kernel, queues[turn.queue], call.kernel, call.size, call.group)
        for turn, call in zip(turns, calls)
    ]

    def sealed() -> None:
        try:
            run()
        except cl.Error as error:
            raise typed(error, main.device, f"starting a run of kernels on {count} queues") from error

    return sealed


def __getattr__(name: str) -> Callable[[Sequence[Launch | Callable[[], object]]], Callable[[], None]]:
    found = re.fullmatch(r"seal([2-8])", name)
    if not found:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(several, int(found[1]))
