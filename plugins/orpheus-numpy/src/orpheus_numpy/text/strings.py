"""StringNormalizer, StringConcat, StringSplit, RegexFullMatch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.text.re2 import compile_re2

_CASES: dict[str, Callable[[str], str]] = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}


def string_normalizer(
    data: Array,
    *,
    stopwords: Sequence[str] = (),
    is_case_sensitive: int = 0,
    case_change_action: str = "NONE",
    locale: str | None = None,
) -> Array:
    """ONNX StringNormalizer: the strings of [C] or [1, C] without the stop words, in lower or upper case.

    One empty string is left when all are dropped. Case follows Unicode; ``locale`` is not consulted.
    """
    if data.ndim not in (1, 2) or (data.ndim == 2 and data.shape[0] != 1):
        raise ValueError(f"StringNormalizer: needs shape [C] or [1, C], has {data.shape}")
    if case_change_action not in _CASES:
        raise ValueError(
            f"StringNormalizer: case_change_action {case_change_action!r} is not one of {', '.join(_CASES)}"
        )
    fold = str if is_case_sensitive else str.lower
    stopped = {fold(word) for word in stopwords}
    change = _CASES[case_change_action]
    kept = [change(text) for text in data.reshape(-1) if fold(text) not in stopped]
    result = np.array(kept or [""], dtype=object)
    return result if data.ndim == 1 else result[None]


def string_concat(first: Array, second: Array) -> Array:
    """ONNX StringConcat: elementwise concatenation with broadcasting."""
    return np.array(np.add(first, second), dtype=object)


def string_split(
    data: Array, *, delimiter: str | None = None, maxsplit: int | None = None
) -> tuple[Array, Array]:
    """ONNX StringSplit: substrings on a new last axis, padded with empty strings, and how many there are (int64).

    Without a delimiter, runs of white space separate and those at the ends are dropped.
    """
    limit = -1 if maxsplit is None else maxsplit
    parts = [text.split(delimiter or None, limit) for text in data.reshape(-1)]
    result = np.full((len(parts), max(map(len, parts), default=0)), "", dtype=object)
    for row, found in zip(result, parts):
        row[: len(found)] = found
    counts = np.array([len(found) for found in parts], np.int64)
    return result.reshape(*data.shape, result.shape[1]), counts.reshape(data.shape)


def regex_full_match(data: Array, *, pattern: str = "") -> Array:
    """ONNX RegexFullMatch: whether each whole string matches the RE2 ``pattern``; ValueError for a bad pattern."""
    matcher = compile_re2(pattern)
    found = [matcher.fullmatch(text) is not None for text in data.reshape(-1)]
    return np.array(found, bool).reshape(data.shape)
