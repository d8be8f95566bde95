"""Large weights straight from the file into arrays, past the protobuf library, which copies them twice.

Only the framing of the main graph's initializers is followed. In what is then parsed, a large ``raw_data`` is replaced
by a short token that no file can foresee; :class:`Stored` gives the bytes for it. Everything else is parsed as it is.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

import numpy as np

from orpheus_core import memory
from orpheus_core.processors import default_threads
from orpheus_core.types import Array

#: Smaller data is left to the protobuf library.
_LARGE = 1 << 12
#: Reading so many bytes, some six milliseconds, is worth a thread.
_MANY = 16 << 20
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_DELIMITED = 2

#: Where in the file some bytes are, and where they belong.
_Piece: TypeAlias = "tuple[int, memoryview]"
#: Reads the content of a length-delimited field (number, where it begins, size); None: it is to be kept as it is.
_Reader = Callable[[int, int, int], "bytes | None"]


class _OddError(Exception):
    """The framing is not that of a sound model; a full parse says in what way."""


@dataclass(eq=False)
class Stored:
    """Bytes of large weights, by their tokens.

    They lie in one block, of which ``room`` is left: the system maps a large block in large pages.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(24))
    arrays: list[Array] = field(default_factory=list)
    room: Array = field(default_factory=lambda: np.empty(0, np.uint8))

    @classmethod
    def within(cls, size: int) -> Stored:
        """With room for the weights of a file of so many bytes, each aligned."""
        return cls(room=memory.block(size + (size // _LARGE + 1) * memory.ALIGNMENT, used=True))

    def take(self, size: int) -> Array:
        """The next ``size`` bytes of the room."""
        taken, self.room = self.room[:size], self.room[-(-size // memory.ALIGNMENT) * memory.ALIGNMENT :]
        return taken

    def find(self, raw: bytes) -> Array | None:
        """The bytes that a ``raw_data`` stands for, or None when it is data itself."""
        if len(raw) != len(self.key) + 4 or not raw.startswith(self.key):
            return None
        return self.arrays[int.from_bytes(raw[-4:], "little")]

    def add(self, array: Array) -> bytes:
        """The token of an array."""
        array.flags.writeable = False
        self.arrays.append(array)
        return self.key + (len(self.arrays) - 1).to_bytes(4, "little")


def split(file: BinaryIO, size: int) -> tuple[bytes, Stored] | None:
    """A model's ``size`` bytes without its large weights, and those; None when the framing is not sound."""
    stored = Stored.within(size)
    try:
        model = _Model(_Window(file), stored, [])
        skeleton = model.whole(size)
        _read(file, model.pieces)
    except _OddError:
        return None
    return skeleton, stored


def _read(file: BinaryIO, pieces: list[_Piece]) -> None:
    """Fill the pieces from the file; of many bytes one half in another thread, if there is a processor for it."""
    total = sum(len(data) for _, data in pieces)
    if total >= _MANY and default_threads() > 1 and hasattr(os, "preadv"):
        _read_halves(file.fileno(), *_halves(pieces, total // 2))
    else:
        for position, data in pieces:
            file.seek(position)
            if file.readinto(data) != len(data):  # type: ignore[attr-defined]
                raise _OddError


def _read_halves(descriptor: int, first: list[_Piece], second: list[_Piece]) -> None:
    """Both at once: what takes the time is the system's, which clears pages and copies into them."""
    faults: list[BaseException] = []

    def read_second() -> None:
        try:
            _read_at(descriptor, second)
        except BaseException as fault:  # whatever it is, it is this thread's caller's
            faults.append(fault)

    other = threading.Thread(target=read_second)
    try:
        other.start()
    except RuntimeError:  # the system gives no thread
        read_second()
    try:
        _read_at(descriptor, first)
    finally:
        if other.ident is not None:
            other.join()
    if faults:
        raise faults[0]


def _halves(pieces: list[_Piece], size: int) -> tuple[list[_Piece], list[_Piece]]:
    """The first ``size`` bytes, and the rest."""
    for index, (position, data) in enumerate(pieces):
        if size < len(data):
            first, second = (position, data[:size]), (position + size, data[size:])
            return [*pieces[:index], first], [second, *pieces[index + 1 :]]
        size -= len(data)
    return pieces, []


def _read_at(descriptor: int, pieces: list[_Piece]) -> None:
    for position, data in pieces:
        done = 0
        while done < len(data):
            got = os.preadv(descriptor, [data[done:]], position + done)  # at most 2 GiB at once
            if got == 0:
                raise _OddError
            done += got


class _Window:
    """A file of which a piece is at hand: framing is a few bytes at a time."""

    _SIZE = 1 << 13
    _LONGEST = 10  # bytes of a number

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._start = 0
        self._data = b""

    def number(self, position: int) -> tuple[int, int]:
        """The number (a varint) that is written here, and where it ends."""
        at = position - self._start
        if not 0 <= at < len(self._data) - self._LONGEST:
            self._start, at = position, 0
            self.file.seek(position)
            self._data = self.file.read(self._SIZE)
        data = self._data
        try:
            byte = data[at]
            if byte < 0x80:
                return byte, position + 1
            result = byte & 0x7F
            for place in range(1, self._LONGEST):
                byte = data[at + place]
                result |= (byte & 0x7F) << 7 * place
                if byte < 0x80:
                    return result, position + place + 1
        except IndexError:
            pass
        raise _OddError

    def exactly(self, position: int, size: int) -> bytes:
        """So many bytes from here."""
        at = position - self._start
        data = self._data[at : at + size] if at >= 0 else b""
        if len(data) != size:
            self.file.seek(position)
            data = self.file.read(size)
        if len(data) != size:
            raise _OddError
        return data


@dataclass(frozen=True)
class _Model:
    """What becomes of the fields at each level."""

    window: _Window
    stored: Stored
    pieces: list[_Piece]

    def whole(self, size: int) -> bytes:
        """The model of so many bytes, without what is stored."""
        return _message(self.window, 0, size, self._field)

    def _field(self, number: int, position: int, size: int) -> bytes | None:
        return _message(self.window, position, size, self._graph) if number == _GRAPH else None

    def _graph(self, number: int, position: int, size: int) -> bytes | None:
        if number != _INITIALIZER or size < _LARGE:
            return None
        return _message(self.window, position, size, self._tensor)

    def _tensor(self, number: int, position: int, size: int) -> bytes | None:
        if number != _RAW_DATA or size < _LARGE:
            return None
        array = self.stored.take(size)
        self.pieces.append((position, array.data))
        return self.stored.add(array)


def _message(window: _Window, position: int, size: int, reader: _Reader) -> bytes:
    """The message of ``size`` bytes that starts here, its delimited fields as ``reader`` gives them."""
    parts: list[bytes] = []
    kept, end = position, position + size  # up to ``kept`` it is in ``parts``
    while position < end:
        tag, header = window.number(position)
        kind = tag & 7
        if kind == _DELIMITED:
            length, content_at = window.number(header)
            position = content_at + length
            if position > end:
                raise _OddError
            content = reader(tag >> 3, content_at, length)
            if content is not None:
                parts += [window.exactly(kept, header - kept), _encoded(len(content)), content]
                kept = position
        elif kind == 0:
            _, position = window.number(header)
        elif kind in (1, 5):
            position = header + (8 if kind == 1 else 4)
        else:
            raise _OddError
    if position != end:
        raise _OddError
    parts.append(window.exactly(kept, end - kept))
    return b"".join(parts)


def _encoded(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
