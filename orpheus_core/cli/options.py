"""Arguments that several verbs share, and how their text is read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import get_args

from orpheus_core.errors import UsageError
from orpheus_core.selection.options import Fallback, Memory, Policy

_SHAPE = re.compile(r"(?P<name>.+):\[(?P<dims>\s*(\d+\s*(,\s*\d+\s*)*)?)\]")


def add_model(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """``MODEL``, or ``MODEL...``."""
    if several:
        parser.add_argument("models", metavar="MODEL", nargs="+", help="ONNX files")
    else:
        parser.add_argument("model", metavar="MODEL", help="an ONNX file")


def add_session(parser: argparse.ArgumentParser) -> None:
    """What a session is made with: ``-b``, ``--shape``, ``--threads``, ``--pin`` and the policies."""
    parser.add_argument(
        "-b",
        "--backends",
        metavar="LIST",
        help="backends in order of preference (default: all that are ready)",
    )
    add_shape(parser)
    add_threads(parser)
    parser.add_argument(
        "--pin",
        action="append",
        default=[],
        metavar="KEY=KERNEL",
        help='force a kernel: KEY is a node name, an operator or "*"; KERNEL is like numpy:Conv/direct',
    )
    parser.add_argument(
        "--policy",
        choices=get_args(Policy),
        help="order: the first backend that accepts a node gets it; cost: the cheapest kernel of all that are named "
        "(default: order)",
    )
    parser.add_argument(
        "--fallback",
        choices=get_args(Fallback),
        help="when a node would run on a backend that -b does not name: warn (default), error, or allow",
    )
    parser.add_argument(
        "--memory",
        choices=get_args(Memory),
        help="low: no kernel whose packed weights outgrow the weights (default: normal)",
    )
    parser.add_argument(
        "--error-factor",
        type=share,
        metavar="F",
        help="no kernel that declares more than F times a direct sum's error, unless pinned (default: 16)",
    )


def add_shape(parser: argparse.ArgumentParser) -> None:
    """``--shape``, once for each input."""
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar='"NAME:[1,3,224,224]"',
        help="shape of a dynamic input",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """``--threads``."""
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads to use (default: all available)"
    )


def add_feeds(parser: argparse.ArgumentParser) -> None:
    """What a model is run on: ``-i`` and ``--seed``."""
    parser.add_argument(
        "-i", "--input", action="append", default=[], metavar="NAME=FILE.npy", help="an input from a file"
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="seed of the random inputs (default: %(default)s)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def positive(text: str) -> int:
    """A whole number above zero, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above zero")
    return number


def whole(text: str) -> int:
    """A whole number, not negative, for argparse."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from zero up")
    return number


def share(text: str) -> float:
    """A number from zero up, for argparse."""
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number from zero up")
    return number


def seconds(text: str) -> float:
    """A time in seconds, not negative, for argparse."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a time in seconds")
    return number


def names(text: str | None) -> list[str] | None:
    """``a,b,c`` as a list; None stays None. UsageError for an empty or repeated name."""
    if text is None:
        return None
    found = [part.strip() for part in text.split(",")]
    if "" in found:
        raise UsageError(f"-b {text}: an empty name in the list")
    twice = sorted({n for n in found if found.count(n) > 1})
    if twice:
        raise UsageError(f"-b {text}: {', '.join(twice)} is named twice")
    return found


def shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """``x:[1,3,224,224]`` as ``{"x": (1, 3, 224, 224)}``; UsageError for any other form."""
    found = {}
    for text in texts:
        match = _SHAPE.fullmatch(text.strip())
        if match is None:
            raise UsageError(f'--shape {text}: must look like "name:[1,3,224,224]"')
        dims = match["dims"].strip()
        found[match["name"].strip()] = tuple(int(d) for d in dims.split(",")) if dims else ()
    return found


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``key=value`` texts as a dictionary; UsageError for any other form or a key given twice."""
    found: dict[str, str] = {}
    for text in texts:
        # A node's name may hold a "=", a kernel's id or a path hardly ever.
        key, equals, value = text.rpartition("=") if option == "--pin" else text.partition("=")
        if not (equals and key and value):
            raise UsageError(f"{option} {text}: must look like key=value")
        if key in found:
            raise UsageError(f"{option}: {key} is given twice")
        found[key] = value
    return found
