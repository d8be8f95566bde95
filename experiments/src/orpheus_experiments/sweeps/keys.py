"""Keys and words of a plan file: one that is unknown is named with its nearest."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from orpheus_core.errors import UsageError

__all__ = ["known_keys", "nearest", "several"]


def nearest(word: str, known: Collection[str]) -> str:
    """``; did you mean 'x'?``, or all that is known where nothing is near."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(sorted(known))}"


def known_keys(found: Any, where: str, known: Collection[str]) -> Mapping[str, Any]:
    """``found`` when it is a table with no key but the ``known``; else UsageError."""
    if not isinstance(found, Mapping):
        raise UsageError(f"{where} must be a table, is {found!r}")
    for key in found:
        if key not in known:
            raise UsageError(f"{where} has no key {key!r}{nearest(key, known)}")
    return found


def several(value: Any) -> list[Any]:
    """A list, or the one that stands alone."""
    return list(value) if isinstance(value, list) else [value]
