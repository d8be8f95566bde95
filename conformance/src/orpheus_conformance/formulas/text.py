"""Strings. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance


@formula("StringNormalizer", why="it strips accents, of which the page says nothing")
def string_normalizer(instance: Instance) -> tuple[Any, ...]:
    """Stop words go, then the case changes; one empty string stands for nothing at all."""
    given: Any = instance.node.attributes
    data = instance.arrays[0]
    stop = list(given.get("stopwords", ()))
    found = []
    for word in data.reshape(-1).tolist():
        same = word in stop if given["is_case_sensitive"] else word.lower() in [s.lower() for s in stop]
        if not same:
            action = given["case_change_action"]
            found.append(word.lower() if action == "LOWER" else word.upper() if action == "UPPER" else word)
    result = np.array(found or [""], object)
    return (result if data.ndim == 1 else result[None],)


@formula("TfIdfVectorizer", why="it fails for integers of some shapes, and for pools without strings")
def tfidf_vectorizer(instance: Instance) -> tuple[Any, ...]:
    """How often each n-gram of the pool stands in a row, its items any allowed distance apart."""
    given: Any = instance.node.attributes
    pool = list(given.get("pool_strings") or given.get("pool_int64s"))
    starts = [*given["ngram_counts"], len(pool)]
    grams = [
        tuple(pool[at : at + length])
        for length, (start, end) in enumerate(pairwise(starts), 1)
        for at in range(start, end, length)
    ]
    places = given["ngram_indexes"]
    weights = given.get("weights") or [1.0] * len(grams)
    data = instance.arrays[0]
    rows = data.reshape(-1, data.shape[-1])
    counts = np.zeros((len(rows), max(places) + 1))
    for row, items in enumerate(rows.tolist()):
        for gram, place in zip(grams, places):
            if given["min_gram_length"] <= len(gram) <= given["max_gram_length"]:
                counts[row, place] = sum(
                    tuple(items[at : at + len(gram) * apart : apart]) == gram
                    for apart in range(1, 2 if len(gram) == 1 else given["max_skip_count"] + 2)
                    for at in range(len(items) - (len(gram) - 1) * apart)
                )
    by_place = np.zeros(counts.shape[1])
    by_place[list(places)] = weights
    found = {"TF": counts, "IDF": (counts > 0) * by_place, "TFIDF": counts * by_place}[given["mode"]]
    return (found.astype(np.float32).reshape(*data.shape[:-1], -1),)
