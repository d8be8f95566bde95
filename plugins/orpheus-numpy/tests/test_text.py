"""String operators, and RE2's syntax where it differs from Python's."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orpheus_numpy.text.re2 import compile_re2
from orpheus_numpy.text.strings import regex_full_match, string_concat, string_normalizer, string_split
from orpheus_numpy.text.tfidf import tfidf_vectorizer

FEW = settings(max_examples=40, deadline=None)
WORDS = st.lists(st.sampled_from(["a", "B", "cd", "", "é", "CD"]), min_size=1, max_size=5)


def strings(*values):
    return np.array(values, dtype=object)


@FEW
@given(WORDS, WORDS, st.booleans(), st.sampled_from(["NONE", "LOWER", "UPPER"]))
def test_string_normalizer(words, stop, sensitive, case):
    kept = (
        [w for w in words if w not in stop]
        if sensitive
        else [w for w in words if w.lower() not in map(str.lower, stop)]
    )
    kept = [getattr(w, case.lower())() if case != "NONE" else w for w in kept] or [""]
    arguments = {"stopwords": stop, "is_case_sensitive": int(sensitive), "case_change_action": case}
    assert string_normalizer(strings(*words), **arguments).tolist() == kept
    assert string_normalizer(strings(*words)[None], **arguments).tolist() == [kept]


def test_string_normalizer_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"has \(2, 1\)"):
        string_normalizer(strings("a", "b")[:, None])


def test_string_concat_broadcasts():
    found = string_concat(strings("a", "b")[:, None], strings("x", "y", ""))
    assert found.tolist() == [["ax", "ay", "a"], ["bx", "by", "b"]]
    assert string_concat(np.array("a", object), np.array("b", object)).shape == ()


@FEW
@given(
    st.lists(st.text("a, ", max_size=8), max_size=4),
    st.sampled_from([None, "", ",", "aa"]),
    st.sampled_from([None, 0, 1, 2]),
)
def test_string_split(texts, delimiter, most):
    parts, counts = string_split(strings(*texts), delimiter=delimiter, maxsplit=most)
    assert parts.shape == (len(texts), max(counts, default=0))
    for text, row, count in zip(texts, parts, counts):
        found, filling = row[:count].tolist(), row[count:].tolist()
        assert set(filling) <= {""}
        if delimiter:
            assert delimiter.join(found) == text
            assert count == 1 + min(text.count(delimiter), 9 if most is None else most)
        elif most is None:
            assert found == [w for w in text.split(" ") if w]


MATCHES = [
    (r"\d+", "12", "1٢"),
    (r"\w\W\w", "a.b", "aéb2"),
    (r"[\D]", "é", "7"),
    (r"a\sb", "a\tb", "a\vb"),
    (r"(?i)ab|c", "C", "x"),
    (r"x(?i)a|b", "xA", "XA"),
    (r"x(?i)a|b", "B", "xB"),
    (r"(?i:a)b", "Ab", "AB"),
    (r"[[:alpha:]_]+", "ab_", "é"),
    (r"[[:^digit:]]", "a", "1"),
    (r"\Qa.b\E+", "a.bb", "axb"),
    (r"\x{1F600}\x41", "😀A", "A"),
    (r"\pL\p{Nd}\PN", "é5-", "55-"),
    (r"\p{^Lu}", "a", "A"),
    (r"a{,2}", "a{,2}", "aa"),
    (r"a{2,3}?b*", "aab", "ab"),
    (r"[]a]+", "]a", "b"),
    (r"[^]a]", "b", "]"),
    (r"[a\-z]", "-", "b"),
    (r"(?P<n>a)(?<m>b)", "ab", "ba"),
    (r"^a\z", "a", "a\n"),
    (r"a.c", "a-c", "a\nc"),
    (r"(?s)a.c", "a\nc", "ac"),
    (r"(?m)a$\n^b", "a\nb", "a\n\nb"),
    (r"a$\n", "$^", "a\n"),
    (r"(?U)a+", "aaa", "b"),
    (r"\bab\b", "ab", "a b"),
    (r"\141\07", "a\a", "ab"),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), MATCHES)
def test_re2_syntax(pattern, yes, no):
    found = regex_full_match(strings(yes, no)[None], pattern=pattern)
    assert found.dtype == np.bool_
    # One pattern of the list can match nothing: $ does not stand before a line break.
    assert found.tolist() == [[pattern != r"a$\n", False]]


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?<!a)b",
        r"(a)\1",
        "a++",
        "a**",
        "(",
        ")",
        "[a",
        r"a\y",
        r"\p{Greek}",
        "a{1001}",
        "[b-a]",
        "[[:x:]]",
        "\\",
    ],
)
def test_re2_refuses(pattern):
    with pytest.raises(ValueError, match="RegexFullMatch: pattern"):
        compile_re2(pattern)


def test_re2_refuses_endless_nesting():
    with pytest.raises(ValueError, match="nested too deeply"):
        compile_re2("(" * 5000 + "a" + ")" * 5000)


@FEW
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.sampled_from(["TF", "IDF", "TFIDF"]),
)
def test_tfidf_counts_by_definition(rows, shortest, skips, mode):
    pool, weights = [(0,), (2,), (0, 1), (3, 3), (1, 0)], [0.5, 2.0, 3.0, 1.0, 0.25]
    places = [4, 0, 2, 1, 5]
    expected = np.zeros((len(rows), 6))
    for out, row in zip(expected, rows):
        counts = Counter((a,) for a in row if shortest == 1)
        for gap in range(1, skips + 2):
            counts.update(zip(row, row[gap:]))
        for gram, weight, place in zip(pool, weights, places):
            count = counts[gram]
            out[place] = {"TF": count, "IDF": weight * (count > 0), "TFIDF": weight * count}[mode]
    arguments = {
        "mode": mode,
        "min_gram_length": shortest,
        "max_gram_length": 2,
        "max_skip_count": skips,
        "ngram_counts": (0, 2),
        "ngram_indexes": places,
        "weights": weights,
    }
    flat = [item for gram in pool for item in gram]
    found = tfidf_vectorizer(np.array(rows), pool_int64s=flat, **arguments)
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    texts = np.array(rows).astype(str).astype(object)
    found = tfidf_vectorizer(texts[0], pool_strings=[str(v) for v in flat], **arguments)
    np.testing.assert_array_equal(found, expected[0].astype(np.float32))
    with pytest.raises(ValueError, match="do not cut a pool"):
        tfidf_vectorizer(np.array(rows), pool_int64s=flat[:-1], **arguments)
