"""Large weights straight from the file into arrays, past the protobuf library, which copies them twice.

Only the framing of the main graph's initializers is followed. In what is then parsed, a large ``raw_data`` is replaced
by a short token that no file can foresee; :class:`Stored` gives the bytes for it. Everything else is parsed as it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from orpheus_core import memory
from orpheus_core.importer.reading import LARGE, Piece
from orpheus_core.types import Array

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_DELIMITED = 2

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
        return cls(room=memory.block(size + (size // LARGE + 1) * memory.ALIGNMENT, used=True))

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


def split(file: BinaryIO, size: int) -> tuple[bytes, Stored, list[Piece]] | None:
    """A model's ``size`` bytes without its large weights, those, and what is still to be read into them.

    None when the framing is not sound.
    """
    model = _Model(_Window(file), Stored.within(size), [])
    try:
        return model.whole(size), model.stored, model.pieces
    except _OddError:
        return None


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
    pieces: list[Piece]

    def whole(self, size: int) -> bytes:
        """The model of so many bytes, without what is stored."""
        return _message(self.window, 0, size, self._field)

    def _field(self, number: int, position: int, size: int) -> bytes | None:
        return _message(self.window, position, size, self._graph) if number == _GRAPH else None

    def _graph(self, number: int, position: int, size: int) -> bytes | None:
        if number != _INITIALIZER or size < LARGE:
            return None
        return _message(self.window, position, size, self._tensor)

    def _tensor(self, number: int, position: int, size: int) -> bytes | None:
        if number != _RAW_DATA or size < LARGE:
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
