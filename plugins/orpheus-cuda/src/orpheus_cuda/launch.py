"""Steps: launches whose arguments were set when they were bound, and the CUDA graph that replays a run of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from orpheus_cuda.programs import text
from orpheus_cuda.runtime import Tensor

THREADS = 256
_MOST_BLOCKS = 2**31 - 1
#: Where a program's own kernels begin.
_ENTRY = "__global__"


@dataclass(frozen=True, eq=False)
class Launch:
    """Calls that queue work, one after the other, on one stream; ``keeps`` what they read that nobody else holds."""

    library: Any
    stream: Any
    calls: tuple[Callable[[], object], ...] = ()
    keeps: tuple[Any, ...] = ()

    def __call__(self) -> None:
        """Queue the work."""
        for call in self.calls:
            call()

    def keeping(self, *tensors: Any) -> Launch:
        """This, and what it reads and writes by address."""
        return Launch(self.library, self.stream, self.calls, (*self.keeps, *tensors))

    def then(self, *others: Launch) -> Launch:
        """This, then the others."""
        calls = (*self.calls, *(c for o in others for c in o.calls))
        return Launch(self.library, self.stream, calls, (*self.keeps, *(k for o in others for k in o.keeps)))


def scalar(argument: Any) -> Any:
    """An argument as the kernel takes it: an address, 0 for what is absent, an int as 32 bits, a float as 32."""
    if argument is None:
        return np.uint64(0)
    if isinstance(argument, Tensor):
        return np.uint64(argument.pointer)
    if type(argument) is float:  # numpy's double is one by inheritance, and stays what it is
        return np.float32(argument)
    return np.int32(argument) if type(argument) in (int, bool) else argument


def launch(
    at: Tensor,
    source: str,
    name: str,
    arguments: Sequence[Any],
    grid: Sequence[int],
    block: Sequence[int] = (THREADS,),
    shared: int = 0,
) -> Launch:
    """Kernel ``name`` of ``source`` on the stream of ``at``; nothing at all when the grid is empty."""
    library, stream = at.library, at.stream
    if 0 in grid:
        return Launch(library, stream)
    if grid[0] > _MOST_BLOCKS or any(size > 65535 for size in grid[1:]):
        raise ValueError(
            f"{name}: a grid of {tuple(grid)} blocks is too large; the limits are {_MOST_BLOCKS} and 65535"
        )
    assert prod(block) <= 1024
    code = text(source)
    function = library.function(code, name, shared)
    flat = tuple(map(scalar, arguments))
    keeps = tuple(a for a in arguments if isinstance(a, Tensor))
    # What waits for the kernels before it by itself may be started before they end.
    early = "after_others();" in code.partition(_ENTRY)[2]
    call = partial(library.launch, function, tuple(grid), tuple(block), flat, shared, stream, early=early)
    return Launch(library, stream, (call,), keeps)


def blocks(count: int, of: int = THREADS) -> int:
    """How many blocks of ``of`` threads ``count`` items take."""
    return -(-count // of)


def copy(x: Tensor, y: Tensor) -> Launch:
    """All of ``x`` to ``y``, as it lies."""
    call = partial(y.library.copy, y.pointer, x.pointer, x.nbytes, y.stream)
    return Launch(y.library, y.stream, (call,) if x.nbytes else (), (x, y))


def seal(steps: Sequence[Launch | Callable[[], object]]) -> Callable[[], None]:
    """The steps as one CUDA graph, recorded once they have run; those that somebody has wrapped run one by one."""
    own = [step for step in steps if isinstance(step, Launch)]
    if len(own) < len(steps) or sum(len(step.calls) for step in own) < 2:

        def run() -> None:
            for step in steps:
                step()

        return run
    return _Sealed(own[0].library, own[0].stream, own)


class _Sealed:
    """First call: the steps, one by one, which loads what is loaded lazily. From then on: the graph."""

    def __init__(self, library: Any, stream: Any, steps: Sequence[Launch]) -> None:
        self.library, self.stream, self._steps = library, stream, steps
        self._replay: Callable[[], None] | None = None
        self._warm = False

    def __call__(self) -> None:
        if self._replay is not None:
            self._replay()
            return
        if self._warm:
            self._replay = self.library.capture(self._all, self.stream)
            self._replay()
            return
        self._all()
        self._warm = True

    def _all(self) -> None:
        for step in self._steps:
            step()
