"""Operators on strings."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Operand
from orpheus_conformance.draw import DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import EXACT, MOVEMENT

_WORDS = ("abc", "", "a", "B b", "naïve", "ÀÉ", "日本", " x  y ", "a,b,,c", "a\nb", "\U0001f600")
#: Patterns that RE2 and the usual engines read alike.
_PATTERNS = (
    "abc", "a.*", "", "[a-c]+", "(a|B b)*", r"\d+", "a{1,3}", "日.", r"[^a]*", "^abc$", r"\S+@\S+", "(?i)ABC", "a?b?c?",
    r"\w+",
)  # fmt: skip
_TEXTS = ("abc", "", "a", "aaa", "B b", "日本", "12", "me@home", "ABC", "bc", "a b")


def words(d: Draw, name: str, shape: tuple[int, ...], options: tuple[str, ...] = _WORDS) -> Operand:
    """Strings drawn from the options."""
    count = 1
    for n in shape:
        count *= n
    return Operand(
        "string", shape, "normal", tuple(d.choose(options) for _ in range(count)), d.constant(name)
    )


@space("StringNormalizer", MOVEMENT)
def string_normalizer(d: Draw) -> Layer:
    """Stop words in any case; every word dropped; [C] and [1, C]."""
    count = d.choose((2, 1, 3, 5))
    shape = d.choose(((count,), (1, count)))
    attributes: dict[str, Any] = {
        "case_change_action": d.attribute("case_change_action", ("NONE", "LOWER", "UPPER", OMIT)),
        "is_case_sensitive": d.attribute("is_case_sensitive", (0, 1, OMIT)),
        "stopwords": d.choose((OMIT, d.subset(("abc", "ABC", "a", "b B", "naïve", "日本"), 1))),
    }
    return Layer((words(d, "X", shape, (*_WORDS[:1], *_WORDS[2:6], "ABC", "日本")),), attributes)


@space("StringConcat", MOVEMENT)
def string_concat(d: Draw) -> Layer:
    """Strings that broadcast against each other."""
    shape = d.shape("X", (1, 2, 0, 3), (1, 2, 3, 0))
    other = d.broadcastable(shape)
    first, second = (shape, other) if d.flag() else (other, shape)
    return Layer((words(d, "X", first), words(d, "Y", second)))


@space("StringSplit", MOVEMENT)
def string_split(d: Draw) -> Layer:
    """White space in runs, or a delimiter of one character or more; a greatest number of splits."""
    shape = d.shape("X", (1, 2, 0), (1, 2, 3, 0))
    attributes = {
        "delimiter": d.attribute("delimiter", (OMIT, ",", " ", "", "b,", ",,")),
        "maxsplit": d.attribute("maxsplit", (OMIT, 1, 2, 0)),
    }
    return Layer((words(d, "X", shape),), attributes, (True, True))


@space("RegexFullMatch", EXACT)
def regex_full_match(d: Draw) -> Layer:
    """Classes, repeats, alternatives, anchors, flags."""
    shape = d.shape("X", (1, 2, 0, 3), (*DIMS[:4], 0))
    return Layer((words(d, "X", shape, _TEXTS),), {"pattern": d.attribute("pattern", _PATTERNS)})


@space("TfIdfVectorizer", EXACT, since=9)
def tfidf_vectorizer(d: Draw) -> Layer:
    """N-grams of one to three items with skips, of strings and integers; rows with and without any."""
    kind = d.dtype("T")
    strings = kind == "string"
    items: tuple[Any, ...] = ("a", "b", "日本", "") if strings else (2, 3, 5, 7)
    shape = (d.choose((5, 1, 3)),) if d.flag() else (d.choose((2, 1, 3)), d.choose((5, 1, 3)))
    longest = d.choose((1, 2, 3))
    shortest = d.integer(1, longest)
    pool: list[Any] = []
    counts, number = [], 0
    for length in range(1, longest + 1):
        counts.append(len(pool))
        seen: set[tuple[Any, ...]] = set()
        for _ in range(d.choose((2, 1, 3, 0)) if length < longest else d.choose((2, 1, 3))):
            gram = tuple(d.choose(items) for _ in range(length))
            if gram not in seen:
                seen.add(gram)
                pool += gram
                number += 1
    mode = d.attribute("mode", ("TF", "IDF", "TFIDF"))
    # The page gives weights to n-grams, and runtimes to outputs: the same where the indexes are in order.
    weights = d.choose((OMIT, tuple(d.choose((1.0, 0.5, 2.0, 3.0)) for _ in range(number))))
    attributes: dict[str, Any] = {
        "mode": mode,
        "min_gram_length": shortest,
        "max_gram_length": longest,
        "max_skip_count": d.choose((0, 1, 2, 5)),
        "ngram_counts": tuple(counts),
        "ngram_indexes": d.shuffled(range(number)) if weights is OMIT else tuple(range(number)),
        ("pool_strings" if strings else "pool_int64s"): tuple(pool),
        "weights": weights,
    }
    size = shape[0] * (shape[1] if len(shape) > 1 else 1)
    data = tuple(d.choose(items) for _ in range(size))
    return Layer((Operand(kind, shape, "normal", data, d.constant("X")),), attributes)
