"""Einsum's equation, read before ONNX's inference sees it: that does not return on some malformed ones."""

from __future__ import annotations

import re

from orpheus_core.graph import Node
from orpheus_core.importer.validate.facts import rank, shape

_TERM = re.compile(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*")

_LONGEST = 4096


def einsum(node: Node) -> str | None:
    """Einsum."""
    written = node.attributes["equation"]
    if not isinstance(written, str):
        return "its equation is not text"
    if len(written) > _LONGEST:
        return f"its equation has {len(written)} characters"
    equation = written.replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(node.inputs):
        return f"equation {_short(written)} has {len(terms)} terms for {len(node.inputs)} inputs"
    for term in (*terms, right):
        if not _TERM.fullmatch(term):
            return f"equation {_short(written)}: term {_short(term)} may hold letters and one ellipsis"
    for index, term in enumerate(terms):
        dims = rank(node, index)
        letters = len(term.replace("...", ""))
        if dims is not None and (letters > dims or ("..." not in term and letters != dims)):
            return (
                f"equation {_short(written)}: term {_short(term)} does not fit input {index} of rank {dims}"
            )
    if arrow:
        named = right.replace("...", "")
        if len(set(named)) != len(named):
            return f"equation {_short(written)}: the result names a dimension twice"
        unknown = sorted(set(named) - set(left))
        if unknown or ("..." in right and "..." not in left):
            return f"equation {_short(written)}: the result names what no input has: {', '.join(unknown) or '...'}"
    return _sizes(node, terms, written)


def _sizes(node: Node, terms: list[str], written: str) -> str | None:
    sizes: dict[str, int] = {}
    for index, term in enumerate(terms):
        dims = shape(node, index)
        if dims is None:
            continue
        head, _, tail = term.partition("...")
        pairs = [*zip(head, dims), *zip(reversed(tail), reversed(dims))]
        for letter, dim in pairs:
            # A dimension of one broadcasts.
            if isinstance(dim, int) and dim != 1 and sizes.setdefault(letter, dim) != dim:
                return f"equation {_short(written)}: {letter!r} is {sizes[letter]} and {dim}"
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
