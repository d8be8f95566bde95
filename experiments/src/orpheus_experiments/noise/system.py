"""Small files of the system, read without complaint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["CPUS", "NOT_TOLD", "each", "number", "read"]

CPUS = "sys/devices/system/cpu"
#: What stands where the system does not tell something.
NOT_TOLD = "not told: "


def read(root: Path, path: str) -> str:
    """The file's text, stripped; empty where it cannot be read. ``root`` is ``/``, or a test's copy of it."""
    try:
        return (root / path).read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def number(root: Path, path: str) -> int | None:
    """The whole number in the file; None where there is none."""
    try:
        return int(read(root, path))
    except ValueError:
        return None


def each(root: Path, pattern: str) -> dict[str, int]:
    """The numbers in all files that match, by the file's path below ``root``, sorted."""
    found: Iterable[Path] = sorted(root.glob(pattern))
    numbers = ((str(path.relative_to(root)), number(root, str(path.relative_to(root)))) for path in found)
    return {path: value for path, value in numbers if value is not None}
