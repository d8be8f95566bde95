"""Two calls at the same time, as far as that can be brought about on purpose.

Threads alone rarely meet at the wrong moment in a short kernel. So the second call is also made to run between the
lines of the first, where that is Python: each line is a moment at which a thread may be stopped.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_core.plugin import Step

#: Moments within the first call at which the second is run.
MOMENTS = 8
#: Times that both are simply started together.
REPEATS = 4
#: Seconds that the first call is held up for; a second call that waits for the first (a lock) ends after it.
PATIENCE = 0.05


class Aside:
    """A step in a thread of its own; ``join`` raises what it raised."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with np.errstate(all="ignore"):
                self._step()
        except BaseException as error:
            self._error = error

    def wait(self, seconds: float) -> bool:
        """Whether it ended in that time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def join(self) -> None:
        """Until it ends."""
        self._thread.join()
        if self._error is not None:
            raise self._error


def between_lines(first: Step, second: Step) -> None:
    """Run ``first`` and, before each of its first lines of Python, ``second`` in another thread."""
    started: list[Aside] = []

    def look(frame: Any, event: str, _: Any) -> Any:
        if event == "line" and len(started) < MOMENTS and (not started or started[-1].wait(0)):
            aside = Aside(second)
            aside.wait(PATIENCE)
            started.append(aside)
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        first()
    finally:
        sys.settrace(before)
    for aside in started:
        aside.join()


def side_by_side(first: Step, second: Step) -> None:
    """Start both together, a few times over."""
    for _ in range(REPEATS):
        gate = threading.Barrier(2)

        def through(step: Step, gate: threading.Barrier = gate) -> Callable[[], None]:
            def run() -> None:
                gate.wait()
                step()

            return run

        asides = [Aside(through(first)), Aside(through(second))]
        for aside in asides:
            aside.join()
