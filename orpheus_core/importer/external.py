"""External data: tensors whose bytes lie in other files beside the model.

A location is opened one path component at a time relative to a descriptor of the folder, following no link, so
that nothing swapped in meanwhile can lead elsewhere. Only regular files with one link are read, and only the
range that the tensor's dtype and shape call for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import onnx

from orpheus_core.errors import ExternalDataError, LimitError
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.survey import check_text

_KEYS = frozenset(("location", "offset", "length", "checksum", "basepath"))
# ONNX Runtime reads this location as an address in its own process.
_MEMORY_MARKER = "_ORT_MEM_ADDR_"
_MAX_NUMBER_DIGITS = 19
_SLACK = 2**20


class ExternalData:
    """Reads external tensors of one model from ``folder``; None when the model came without one."""

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        # Regions that tensors share are read once; overlapping ones must not add up to more than the files hold.
        self._regions: dict[tuple[str, int, int], bytearray] = {}
        self._read: dict[str, int] = {}

    def read(self, proto: onnx.TensorProto, nbytes: int, place: str) -> bytearray:
        """The ``nbytes`` bytes a tensor refers to. Raises ExternalDataError naming ``place``."""
        entries = self._entries(proto, place)
        location = _checked_location(entries.get("location", ""), place)
        offset = _number(entries.get("offset", "0"), "offset", place)
        length = _number(entries["length"], "length", place) if "length" in entries else nbytes
        if length != nbytes:
            raise ExternalDataError(f"{place}: length is {length} bytes, the tensor's shape needs {nbytes}")
        if self._folder is None:
            raise ExternalDataError(
                f"{place}: is kept in {location!r}, but the model was given as bytes; pass external_data_dir"
            )
        region = (location, offset, length)
        if region in self._regions:
            return self._regions[region]
        descriptor = self._open(self._folder, location, place)
        try:
            size = os.fstat(descriptor).st_size
            if offset + length > size:
                raise ExternalDataError(
                    f"{place}: bytes {offset} to {offset + length} lie outside {location!r} ({size} bytes)"
                )
            self._read[location] = self._read.get(location, 0) + length
            if self._read[location] > 2 * size + _SLACK:
                raise LimitError(
                    f"{place}: tensors read {location!r} several times over, in overlapping parts"
                )
            data = _read_exactly(descriptor, offset, length, location, place)
            self._regions[region] = data
            return data
        except OSError as error:
            raise ExternalDataError(f"{place}: cannot read {location!r}: {error.strerror or error}") from None
        finally:
            os.close(descriptor)

    def _entries(self, proto: onnx.TensorProto, place: str) -> dict[str, str]:
        entries: dict[str, str] = {}
        for entry in proto.external_data:
            check_text(place, entry.key, entry.value)
            if entry.key not in _KEYS:
                allowed = ", ".join(sorted(_KEYS))
                raise ExternalDataError(f"{place}: external_data key {entry.key!r} is not one of {allowed}")
            if entry.key in entries:
                raise ExternalDataError(f"{place}: external_data key {entry.key!r} is given twice")
            entries[entry.key] = entry.value
        if proto.HasField("raw_data") and proto.raw_data:
            raise ExternalDataError(f"{place}: has both raw_data and external_data; keep one")
        return entries

    def _open(self, folder: Path, location: str, place: str) -> int:
        try:
            if self._limits.allow_links:
                descriptor = self._open_through_links(folder, location, place)
            elif _HAS_WALK:
                descriptor = _open_beneath(folder, location.split("/"))
            else:
                descriptor = _open_resolved(folder, location, place)
        except OSError as error:
            raise ExternalDataError(
                f"{place}: cannot open external data {location!r} in the model's folder: "
                f"{error.strerror or error} (links are not followed)"
            ) from None
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise ExternalDataError(f"{place}: external data {location!r} is not a regular file")
        if facts.st_nlink > 1 and not self._limits.allow_links:
            os.close(descriptor)
            raise ExternalDataError(
                f"{place}: external data {location!r} has {facts.st_nlink} hard links and may be another's file; "
                "copy it, or pass Limits(allow_links=True)"
            )
        return descriptor

    def _open_through_links(self, folder: Path, location: str, place: str) -> int:
        root = Path(self._limits.link_root or folder).resolve()
        target = (folder / location).resolve(strict=True)
        if not target.is_relative_to(root):
            raise ExternalDataError(f"{place}: external data {location!r} leads outside {root}")
        return _open_beneath(root, target.relative_to(root).parts) if _HAS_WALK else os.open(target, _READ)


_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_HAS_WALK = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


def _open_beneath(folder: Path, parts: tuple[str, ...] | list[str]) -> int:
    # O_NONBLOCK keeps a FIFO from stopping the open.
    current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            deeper = os.open(
                part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current
            )
            os.close(current)
            current = deeper
        return os.open(parts[-1], _READ | os.O_NOFOLLOW, dir_fd=current)
    finally:
        os.close(current)


def _open_resolved(folder: Path, location: str, place: str) -> int:
    # Without openat: refuse whatever does not resolve to itself.
    plain = folder.resolve() / location
    if plain.resolve() != plain:
        raise ExternalDataError(f"{place}: external data {location!r} is or passes through a link")
    return os.open(plain, _READ)


def _checked_location(location: str, place: str) -> str:
    if not location:
        raise ExternalDataError(f"{place}: external_data names no location")
    if _MEMORY_MARKER in location or location.startswith("*/"):
        raise ExternalDataError(f"{place}: external data location {location!r} is an address in memory")
    parts = location.replace("\\", "/").split("/")
    if "\0" in location:
        raise ExternalDataError(f"{place}: external data location holds a NUL byte")
    if parts[0] == "" or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        # "./name" is common and harmless.
        if parts[0] == "." and len(parts) > 1 and not any(part in ("", ".", "..") for part in parts[1:]):
            return "/".join(parts[1:])
        raise ExternalDataError(
            f"{place}: external data location {location!r} must be a plain relative path inside the model's folder"
        )
    return "/".join(parts)


def _number(text: str, key: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_DIGITS):
        raise ExternalDataError(f"{place}: external_data {key} {text[:40]!r} is not a number of bytes")
    return int(text)


def _read_exactly(descriptor: int, offset: int, length: int, location: str, place: str) -> bytearray:
    os.lseek(descriptor, offset, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
        data = bytearray(length)
        view = memoryview(data)
        done = 0
        while done < length:
            got = file.readinto(view[done:])
            if not got:
                raise ExternalDataError(
                    f"{place}: {location!r} ended after {offset + done} bytes while being read"
                )
            done += got
    return data
