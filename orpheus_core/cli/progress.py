"""What is being done, on stderr, when a person is watching."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from orpheus_core.cli.table import width


class Progress:
    """One line that is overwritten by the next; nothing at all when stderr is not a terminal."""

    def __init__(self) -> None:
        self._shown = 0
        self._active = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Replace the line."""
        if self._active:
            print(f"\r{text}{' ' * (self._shown - width(text))}", end="", file=sys.stderr, flush=True)
            self._shown = width(text)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            print(f"\r{' ' * self._shown}\r", end="", file=sys.stderr, flush=True)
            self._shown = 0


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress line that is gone when the block ends."""
    line = Progress()
    try:
        yield line
    finally:
        line.clear()
