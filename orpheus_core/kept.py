"""What is kept from one process to the next, and where; imports nothing heavy, so that probing backends may use it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ["cache_folder", "read_sealed", "write_sealed"]


def cache_folder() -> Path:
    """``$ORPHEUS_CACHE``, or ``orpheus`` in the user's cache folder; it may not exist yet."""
    chosen = os.environ.get("ORPHEUS_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # a user without a home, as in some containers
            base = tempfile.gettempdir()
    return Path(base) / "orpheus"


def read_sealed(path: Path, magic: bytes) -> bytes | None:
    """What :func:`write_sealed` kept; None where there is nothing, or it was cut short, changed, or of another kind."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    head = len(magic) + hashlib.sha256().digest_size
    if not data.startswith(magic) or hashlib.sha256(data[head:]).digest() != data[len(magic) : head]:
        return None
    return data[head:]


def write_sealed(path: Path, magic: bytes, made: bytes) -> None:
    """Keep it behind ``magic`` and its digest, whole or not at all.

    A folder that cannot be written to costs the next process the time to make it again, no more.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".sealed-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(magic + hashlib.sha256(made).digest() + made)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
