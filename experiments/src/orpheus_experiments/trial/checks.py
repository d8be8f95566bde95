"""Reading plain data strictly: every key known, every value of its type and in range, or a UsageError that says so."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from orpheus_core.errors import UsageError

__all__ = [
    "boolean", "choice", "keyed", "listed", "mapped", "number", "object_", "optional", "parsed", "pattern", "text",
    "whole",
]  # fmt: skip

T = TypeVar("T")
#: Reads one value; the string says where it is.
Check = Callable[[Any, str], T]


def parsed(document: str | bytes, what: str) -> Any:
    """The JSON in ``document``; UsageError where it is none, has a number that is not finite, or a key twice."""
    try:
        return json.loads(document, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not a number of JSON")


def object_(value: Any, where: str, known: Collection[str], needed: Iterable[str] = ()) -> Mapping[str, Any]:
    """An object with no key but the ``known``, and all that are ``needed``."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} must be an object, is {_shown(value)}")
    unknown = sorted(str(k) for k in value if k not in known)
    if unknown:
        raise UsageError(f"{where} has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
    missing = [k for k in needed if k not in value]
    if missing:
        raise UsageError(f"{where} lacks {missing[0]!r}")
    return value


def text(value: Any, where: str) -> str:
    """A string that is not empty and has no control character."""
    if not isinstance(value, str) or not value or any(ord(c) < 32 for c in value):
        raise UsageError(f"{where} must be a text, is {_shown(value)}")
    return value


def boolean(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise UsageError(f"{where} must be true or false, is {_shown(value)}")
    return value


def whole(least: int, most: int = 2**53) -> Check[int]:
    """A whole number in a range."""

    def check(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            upper = f" to {most}" if most < 2**53 else " up"
            raise UsageError(f"{where} must be a whole number from {least}{upper}, is {_shown(value)}")
        return value

    return check


def number(least: float, most: float = math.inf) -> Check[float]:
    """A finite number in a range."""

    def check(value: Any, where: str) -> float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not least <= value <= most:
            upper = f" to {most:g}" if most < math.inf else " up"
            raise UsageError(f"{where} must be a number from {least:g}{upper}, is {_shown(value)}")
        return float(value)

    return check


def choice(*words: str) -> Check[str]:
    """One of ``words``."""

    def check(value: Any, where: str) -> str:
        if value not in words:
            raise UsageError(f"{where} must be one of {', '.join(words)}, is {_shown(value)}")
        return str(value)

    return check


def pattern(expression: str, meaning: str) -> Check[str]:
    """A string that matches ``expression`` as a whole."""

    def check(value: Any, where: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(expression, value):
            raise UsageError(f"{where} must be {meaning}, is {_shown(value)}")
        return value

    return check


def optional(check: Check[T]) -> Check[T | None]:
    """The same, or null."""
    return lambda value, where: None if value is None else check(value, where)


def listed(check: Check[T], *, unique: bool = False, least: int = 0) -> Check[tuple[T, ...]]:
    """A list of them; ``unique`` when none may be there twice."""

    def check_all(value: Any, where: str) -> tuple[T, ...]:
        if not isinstance(value, (list, tuple)) or len(value) < least:
            raise UsageError(f"{where} must be a list of at least {least}, is {_shown(value)}")
        found = tuple(check(v, f"{where}[{i}]") for i, v in enumerate(value))
        if unique and len(set(found)) != len(found):
            raise UsageError(f"{where} has one twice: {_shown(value)}")
        return found

    return check_all


def mapped(check: Check[T]) -> Check[Mapping[str, T]]:
    """An object of them under any keys."""

    def check_all(value: Any, where: str) -> Mapping[str, T]:
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} must be an object, is {_shown(value)}")
        return {text(k, f"a key of {where}"): check(v, f"{where}[{k!r}]") for k, v in value.items()}

    return check_all


def keyed(
    value: Any, where: str, checks: Mapping[str, Check[Any]], needed: Iterable[str] = ()
) -> dict[str, Any]:
    """An object, every value read by the check of its key."""
    found = object_(value, where, checks, needed)
    return {key: checks[key](v, f"{where}.{key}") for key, v in found.items()}


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
