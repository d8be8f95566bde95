"""TfIdfVectorizer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from orpheus_core.types import Array


def tfidf_vectorizer(
    data: Array,
    *,
    mode: str,
    min_gram_length: int,
    max_gram_length: int,
    max_skip_count: int,
    ngram_counts: Sequence[int],
    ngram_indexes: Sequence[int],
    pool_strings: Sequence[str] | None = None,
    pool_int64s: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
) -> Array:
    """ONNX TfIdfVectorizer: for each row of [C] or [N, C], the counts of the pool's n-grams, float32.

    An n-gram's items lie 1 to ``max_skip_count + 1`` places apart, the same distance throughout. TF gives the
    counts, IDF the weights of those present, TFIDF the products. Raises ValueError for an unknown mode or a pool
    that is cut badly.
    """
    if mode not in ("TF", "IDF", "TFIDF"):
        raise ValueError(f"TfIdfVectorizer: mode {mode!r} is not one of TF, IDF, TFIDF")
    if data.ndim not in (1, 2):
        raise ValueError(f"TfIdfVectorizer: needs shape [C] or [N, C], has {data.shape}")
    grams = _pool(pool_strings if pool_strings is not None else pool_int64s or (), ngram_counts)
    if len(grams) > len(ngram_indexes) or any(i < 0 for i in ngram_indexes):
        raise ValueError(f"TfIdfVectorizer: {len(grams)} n-grams, {len(ngram_indexes)} indexes of 0 or more")
    if weights is not None and len(weights) < len(grams):
        raise ValueError(f"TfIdfVectorizer: {len(weights)} weights for {len(grams)} n-grams")
    rows = data.reshape(1, -1) if data.ndim == 1 else data
    result = np.zeros((len(rows), max(ngram_indexes, default=-1) + 1), np.float32)
    for counts, row in zip(result, rows.tolist()):
        for place, count in _count(row, grams, min_gram_length, max_gram_length, max_skip_count).items():
            weight = 1.0 if weights is None else weights[place]
            counts[ngram_indexes[place]] += {"TF": count, "IDF": weight, "TFIDF": count * weight}[mode]
    return result[0] if data.ndim == 1 else result


def _pool(pool: Sequence[Hashable], starts: Sequence[int]) -> dict[tuple[Hashable, ...], int]:
    """Each n-gram of the pool with its number; the n-grams of length i + 1 start at ``starts[i]``."""
    found: dict[tuple[Hashable, ...], int] = {}
    number = 0
    for length, (start, end) in enumerate(zip(starts, [*starts[1:], len(pool)]), 1):
        if not 0 <= start <= end <= len(pool) or (end - start) % length:
            raise ValueError(f"TfIdfVectorizer: ngram_counts {list(starts)} do not cut a pool of {len(pool)}")
        for place in range(start, end, length):
            found.setdefault(tuple(pool[place : place + length]), number)
            number += 1
    return found


def _count(
    row: list[Hashable], grams: dict[tuple[Hashable, ...], int], shortest: int, longest: int, skips: int
) -> dict[int, int]:
    """How often each n-gram of the pool (by number) stands in a row."""
    counts: dict[int, int] = {}
    longest = min(longest, max(map(len, grams), default=0), len(row))
    for length in range(max(shortest, 1), longest + 1):
        # Single items have no distance: counted once. Distances beyond the row reach nothing.
        strides = range(1, 1 + (1 if length == 1 else min(skips + 1, len(row))))
        for stride in strides:
            for start in range(len(row) - stride * (length - 1)):
                place = grams.get(tuple(row[start : start + stride * (length - 1) + 1 : stride]))
                if place is not None:
                    counts[place] = counts.get(place, 0) + 1
    return counts
