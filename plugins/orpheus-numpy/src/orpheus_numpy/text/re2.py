r"""RE2's regular-expression syntax in terms of Python's ``re``.

The two differ in what ``\d``, ``\w``, ``\s`` and ``\b`` mean (ASCII in RE2), in ``$``, in ``\z``, ``\Q...\E``,
``\x{...}``, ``\pN`` and ``[[:name:]]``, in flags set in mid-pattern, and in what RE2 refuses because a
finite automaton cannot do it. Source: the syntax page of the RE2 project.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

#: Inclusive code-point ranges.
_Ranges = tuple[tuple[int, int], ...]


def _ranges(*texts: str) -> _Ranges:
    return tuple((ord(t[0]), ord(t[-1])) for t in texts)


_DIGIT = _ranges("09")
_SPACE = _ranges("\t\n", "\f\r", " ")
_WORD = _ranges("09", "AZ", "_", "az")
_POSIX: dict[str, _Ranges] = {
    "alnum": _ranges("09", "AZ", "az"), "alpha": _ranges("AZ", "az"), "ascii": ((0, 127),),
    "blank": _ranges("\t", " "), "cntrl": ((0, 31), (127, 127)), "digit": _DIGIT, "graph": _ranges("!~"),
    "lower": _ranges("az"), "print": _ranges(" ~"), "punct": _ranges("!/", ":@", "[`", "{~"),
    "space": _ranges("\t\r", " "), "upper": _ranges("AZ"), "word": _WORD, "xdigit": _ranges("09", "AF", "af"),
}  # fmt: skip
_PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_REPEAT = re.compile(r"[*+?]|\{(\d+)(?:(,)(\d*))?\}")
_MOST_REPEATS = 1000


def _complement(ranges: _Ranges) -> _Ranges:
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= sys.maxunicode:
        found.append((start, sys.maxunicode))
    return tuple(found)


@cache
def _categories() -> dict[str, _Ranges]:
    """The code points of each general category of Unicode ("Lu") and of each group of categories ("L")."""
    found: dict[str, list[tuple[int, int]]] = {}
    for code in range(sys.maxunicode + 1):
        minor = unicodedata.category(chr(code))
        for name in (minor, minor[0]):
            ranges = found.setdefault(name, [])
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1] = (ranges[-1][0], code)
            else:
                ranges.append((code, code))
    return {name: tuple(ranges) for name, ranges in found.items()}


def _class_text(ranges: _Ranges, negated: bool = False) -> str:
    if not ranges:
        return r"(?s:.)" if negated else r"(?!)"
    body = "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in ranges)
    return f"[{'^' if negated else ''}{body}]"


@cache
def compile_re2(pattern: str) -> re.Pattern[str]:
    """The compiled pattern, for ``fullmatch``; ValueError, naming the place, for what RE2 does not accept."""
    try:
        return re.compile(_Translator(pattern).translate())
    except re.error as error:
        raise ValueError(f"RegexFullMatch: pattern {pattern!r}: {error}") from None
    except RecursionError:
        raise ValueError("RegexFullMatch: the pattern is nested too deeply") from None


class _Translator:
    """One pass over a pattern; ``at`` is the place that is read next."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        # For each open group: flag groups opened inside it, and whether "m" was on outside it.
        self.groups: list[tuple[list[str], bool]] = [([], False)]
        self.multiline = False

    def fail(self, why: str) -> ValueError:
        return ValueError(f"RegexFullMatch: pattern {self.pattern!r}, at {self.at}: {why}")

    def translate(self) -> str:
        while self.at < len(self.pattern):
            char = self.pattern[self.at]
            if char == "\\":
                self.out.append(self.escape())
            elif char == "[":
                self.out.append(self.bracket())
            elif char == "(":
                self.open()
            elif char == ")":
                self.close()
            elif char == "|":
                flags = self.groups[-1][0]
                self.out.append(")" * len(flags) + "|" + "".join(flags))
                self.at += 1
            elif _REPEAT.match(self.pattern, self.at):
                self.repeat()
            else:
                self.at += 1
                self.out.append(
                    {".": ".", "^": "^", "$": "$" if self.multiline else r"\Z"}.get(char) or re.escape(char)
                )
        if len(self.groups) != 1:
            raise self.fail("missing )")
        return "".join(self.out) + ")" * len(self.groups[0][0])

    def repeat(self) -> None:
        match = _REPEAT.match(self.pattern, self.at)
        assert match is not None
        if any(n and int(n) > _MOST_REPEATS for n in (match[1], match[3])):
            raise self.fail(f"a repetition may not exceed {_MOST_REPEATS}")
        self.at = match.end()
        text = match[0]
        if self.pattern.startswith("?", self.at):
            self.at, text = self.at + 1, text + "?"
        if _REPEAT.match(self.pattern, self.at):
            raise self.fail("a repetition cannot follow a repetition")
        self.out.append(text)

    def open(self) -> None:
        rest = self.pattern[self.at :]
        if not rest.startswith("(?"):
            self.at += 1
            self.out.append("(")
        elif name := re.match(r"\(\?P?<(\w+)>", rest):
            self.at += name.end()
            self.out.append(f"(?P<{name[1]}>")
        elif flags := re.match(r"\(\?([imsU]*)(-[imsU]+)?([:)])", rest):
            self.at += flags.end()
            # Greed (U) does not change whether a whole string matches.
            on, off = flags[1].replace("U", ""), (flags[2] or "").replace("U", "").strip("-")
            text = f"(?{on}{'-' + off if off else ''}:"
            before = self.multiline
            self.multiline = (before or "m" in on) and "m" not in off
            if flags[3] == ")":
                self.groups[-1][0].append(text)
                self.out.append(text)
            else:
                self.out.append(text)
                self.groups.append(([], before))
            return
        else:
            raise self.fail(f"RE2 has no {rest[:4]!r}")
        self.groups.append(([], self.multiline))

    def close(self) -> None:
        if len(self.groups) == 1:
            raise self.fail("missing (")
        flags, self.multiline = self.groups.pop()
        self.out.append(")" * (len(flags) + 1))
        self.at += 1

    def escape(self) -> str:
        """An escape outside brackets."""
        char = self.pattern[self.at + 1 : self.at + 2]
        if char == "Q":
            end = self.pattern.find(r"\E", self.at)
            end = len(self.pattern) if end < 0 else end
            text, self.at = self.pattern[self.at + 2 : end], end + 2
            return re.escape(text)
        plain = {"A": r"\A", "z": r"\Z", "b": r"(?a:\b)", "B": r"(?a:\B)"}.get(char)
        if plain is not None:
            self.at += 2
            return plain
        ranges = self.named_class()
        return re.escape(self.character()) if ranges is None else _class_text(ranges)

    def named_class(self) -> _Ranges | None:
        r"""The code points of ``\d \D \w \W \s \S \pN \p{Name}`` at this place, or None for another escape."""
        char = self.pattern[self.at + 1 : self.at + 2]
        if char.lower() in _PERL and char:
            self.at += 2
            ranges = _PERL[char.lower()]
            return ranges if char.islower() else _complement(ranges)
        match = re.compile(r"\\([pP])(?:\{(\^?)(\w+)\}|(\w))").match(self.pattern, self.at)
        if match is None:
            return None
        name = match[3] or match[4]
        found = _categories().get(name)
        if found is None:
            raise self.fail(f"Unicode class {name!r} is not a general category; scripts are not supported")
        self.at = match.end()
        return _complement(found) if (match[1] == "P") != bool(match[2]) else found

    def character(self) -> str:
        """The one character that an escape stands for."""
        match = re.compile(
            r"\\(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2})|(.))", re.S
        ).match(self.pattern, self.at)
        if match is None:
            raise self.fail("incomplete escape")
        code = (
            int(match[1] or match[2], 16) if match[1] or match[2] else int(match[3], 8) if match[3] else None
        )
        if code is not None and code > sys.maxunicode:
            raise self.fail("character code out of range")
        char = match[4] or ""
        if code is None and not (char in _CONTROL or (char.isascii() and not char.isalnum() and char != "_")):
            raise self.fail(f"RE2 has no escape {match[0]!r}")
        self.at = match.end()
        return chr(code) if code is not None else _CONTROL.get(char, char)

    def bracket(self) -> str:
        """A bracket expression."""
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self.pattern.startswith("]", self.at):
            if self.at >= len(self.pattern):
                raise self.fail("missing ]")
            first = False
            named = self.bracket_class()
            if named is not None:
                ranges.extend(named)
                continue
            low = high = self.bracket_character()
            if self.pattern.startswith("-", self.at) and not self.pattern.startswith("-]", self.at):
                self.at += 1
                high = self.bracket_character()
            if high < low:
                raise self.fail(f"range {low}-{high} is reversed")
            ranges.append((ord(low), ord(high)))
        self.at += 1
        return _class_text(tuple(ranges), negated)

    def bracket_class(self) -> _Ranges | None:
        posix = re.compile(r"\[:(\^?)(\w+):\]").match(self.pattern, self.at)
        if posix is not None:
            if posix[2] not in _POSIX:
                raise self.fail(f"there is no class {posix[0]!r}")
            self.at = posix.end()
            return _complement(_POSIX[posix[2]]) if posix[1] else _POSIX[posix[2]]
        return self.named_class() if self.pattern.startswith("\\", self.at) else None

    def bracket_character(self) -> str:
        if self.pattern.startswith("\\", self.at):
            return self.character()
        if self.at >= len(self.pattern):
            raise self.fail("missing ]")
        self.at += 1
        return self.pattern[self.at - 1]
