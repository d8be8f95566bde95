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
from orpheus_core.types import Array

#: Smaller data is left to the protobuf library.
_LARGE = 1 << 12
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_DELIMITED = 2


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
        return _message(file, size, _Model(stored).field), stored
    except _OddError:
        return None


#: Reads the content of a length-delimited field (number, size) from the file; None: it is to be kept as it is.
_Reader = Callable[[BinaryIO, int, int], "bytes | None"]


@dataclass(frozen=True)
class _Model:
    """What becomes of the fields at each level."""

    stored: Stored

    def field(self, file: BinaryIO, number: int, size: int) -> bytes | None:
        return _message(file, size, self.graph) if number == _GRAPH else None

    def graph(self, file: BinaryIO, number: int, size: int) -> bytes | None:
        return _message(file, size, self.tensor) if number == _INITIALIZER and size >= _LARGE else None

    def tensor(self, file: BinaryIO, number: int, size: int) -> bytes | None:
        if number != _RAW_DATA or size < _LARGE:
            return None
        array = self.stored.take(size)
        if file.readinto(array.data) != size:  # type: ignore[attr-defined]
            raise _OddError
        return self.stored.add(array)


def _message(file: BinaryIO, size: int, reader: _Reader) -> bytes:
    """The message of ``size`` bytes that starts here, its delimited fields as ``reader`` gives them."""
    parts: list[bytes] = []
    end = file.tell() + size
    position = end - size
    while position < end:
        tag, written = _varint(file)
        position += len(written)
        kind = tag & 7
        if kind == _DELIMITED:
            length, header = _varint(file)
            position += len(header)
            if position + length > end:
                raise _OddError
            content = reader(file, tag >> 3, length)
            position += length
            parts += [written, header, _exactly(file, length)] if content is None else [
                written, _encoded(len(content)), content,
            ]  # fmt: skip
        elif kind == 0:
            _, value = _varint(file)
            position += len(value)
            parts += [written, value]
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            position += length
            parts += [written, _exactly(file, length)]
        else:
            raise _OddError
    if position != end:
        raise _OddError
    return b"".join(parts)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise _OddError
    return data


def _varint(file: BinaryIO) -> tuple[int, bytes]:
    written = _exactly(file, 1)
    if written[0] < 0x80:
        return written[0], written
    result = written[0] & 0x7F
    for shift in range(7, 70, 7):
        byte = _exactly(file, 1)
        written += byte
        result |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return result, written
    raise _OddError


def _encoded(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
