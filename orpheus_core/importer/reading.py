"""Weights are read from their file while the graph they belong to is built.

What takes the time is the system's, which clears pages and copies into them, and no check of a node looks at weights.
So threads read them, and building does not wait: whoever has to see what is in an array asks :func:`settled` first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedIOBase
from typing import TypeAlias

from orpheus_core.processors import default_threads
from orpheus_core.types import Array

#: Where in the file some bytes are, and where they belong.
Piece: TypeAlias = "tuple[int, memoryview]"

#: Data of fewer bytes is not read apart.
LARGE = 1 << 12
#: Fewer bytes are read before a thread has started; of more a second thread reads half.
_FEW, _MANY = 1 << 20, 16 << 20
#: What lies between two pieces is read along, up to so many bytes, into nowhere.
_GAP = 1 << 16
#: Buffers of one call; systems take 1024.
_BUFFERS = 1000


class ShortFileError(Exception):
    """The file ends before the weights do that it announced."""


_current: ContextVar[_Reading | None] = ContextVar("_current", default=None)


@contextmanager
def reading(file: BufferedIOBase, pieces: list[Piece]) -> Iterator[None]:
    """Within the block the pieces, in the order of their places, are being read; at its end all are.

    Raises ShortFileError when the file ends too early, OSError when it cannot be read.
    """
    total = sum(len(data) for _, data in pieces)
    if total < _FEW or default_threads() == 1 or not hasattr(os, "preadv"):
        for position, data in pieces:
            file.seek(position)
            if file.readinto(data) != len(data):
                raise ShortFileError
        yield
        return
    begun = _Reading(file.fileno(), _halves(pieces, total // 2) if total >= _MANY else [pieces])
    token = _current.set(begun)
    try:
        yield
    finally:
        _current.reset(token)
        begun.wait()


def settled(array: Array) -> Array:
    """The array, which may be of weights: after they have been read."""
    begun = _current.get()
    if begun is not None and array.nbytes >= LARGE:
        begun.wait()
    return array


class _Reading:
    """Threads that read one part each."""

    def __init__(self, descriptor: int, parts: list[list[Piece]]) -> None:
        self._descriptor = descriptor
        self._fault: BaseException | None = None
        self._threads: list[threading.Thread] = []
        for part in parts:
            thread = threading.Thread(target=self._read, args=(part,))
            try:
                thread.start()
            except RuntimeError:  # the system gives no thread
                self._read(part)
            else:
                self._threads.append(thread)

    def wait(self) -> None:
        """Returns when everything is there; raises what a thread met with."""
        for thread in self._threads:
            thread.join()
        if self._fault is not None:
            raise self._fault

    def _read(self, pieces: list[Piece]) -> None:
        try:
            read_at(self._descriptor, pieces)
        except BaseException as fault:  # whatever it is, it is the caller's of wait()
            self._fault = fault


def _halves(pieces: list[Piece], size: int) -> list[list[Piece]]:
    """The first ``size`` bytes, and the rest."""
    for index, (position, data) in enumerate(pieces):
        if size < len(data):
            first, second = (position, data[:size]), (position + size, data[size:])
            return [[*pieces[:index], first], [second, *pieces[index + 1 :]]]
        size -= len(data)
    return [pieces]


def read_at(descriptor: int, pieces: list[Piece]) -> None:
    """Fill the pieces in few calls: after each the GIL has to be had again, from a thread that builds the graph."""
    for position, buffers in _calls(pieces):
        _fill(descriptor, position, buffers)


def _calls(pieces: list[Piece]) -> Iterator[tuple[int, list[memoryview]]]:
    """Neighbouring pieces, and what lies between them, as the buffers of a call, and where it begins."""
    nowhere = memoryview(bytearray(_GAP))
    buffers: list[memoryview] = []
    start = end = 0
    for position, data in pieces:
        gap = position - end
        if not buffers or gap > _GAP or len(buffers) > _BUFFERS:
            if buffers:
                yield start, buffers
            buffers, start, gap = [], position, 0
        if gap:
            buffers.append(nowhere[:gap])
        buffers.append(data)
        end = position + len(data)
    if buffers:
        yield start, buffers


def _fill(descriptor: int, position: int, buffers: list[memoryview]) -> None:
    """Read what lies from here on into one buffer after the other; a call gives at most 2 GiB, and may give less."""
    while buffers:
        got = os.preadv(descriptor, buffers, position)
        if got == 0:
            raise ShortFileError
        position += got
        while buffers and got >= len(buffers[0]):
            got -= len(buffers.pop(0))
        if got:
            buffers[0] = buffers[0][got:]
