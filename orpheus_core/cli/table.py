"""Plain-text tables: aligned columns, numbers to the right, widths as a terminal shows them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

# A number, perhaps with the unit that big() and size() give it.
_NUMBER = re.compile(r"[+-]?(\d[\d.,]*(e[+-]?\d+)?|inf|nan)( ?(%|x|[kMGT]|B|[KMG]iB))?")


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal: two for wide East Asian characters, none for combining marks."""
    return sum(
        0 if unicodedata.combining(c) or unicodedata.category(c) in ("Cf", "Mn", "Me")
        else 2 if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )  # fmt: skip


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The rows under their headers, two spaces between columns.

    A column is aligned to the right when each of its cells is a number, empty, or a dash. None and missing
    cells are empty; the last column is not padded.
    """
    cells = [[_text(row[i]) if i < len(row) else "" for i in range(len(headers))] for row in rows]
    right = [
        any(row[i] for row in cells) and all(_is_number(row[i]) for row in cells) for i in range(len(headers))
    ]
    widths = [max(map(width, (header, *(row[i] for row in cells)))) for i, header in enumerate(headers)]
    lines = []
    for row in (list(headers), *cells):
        padded = [
            " " * (size - width(cell)) + cell if to_right else cell + " " * (size - width(cell))
            for cell, size, to_right in zip(row, widths, right)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _text(cell: object) -> str:
    return "" if cell is None else " ".join(str(cell).split())


def _is_number(text: str) -> bool:
    return text in ("", "-") or _NUMBER.fullmatch(text) is not None


def quantity(value: float | None, digits: int = 4) -> str:
    """A number with about ``digits`` significant digits and no exponent; a dash when None."""
    if value is None:
        return "-"
    magnitude = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return f"{value:.{min(max(0, digits - 1 - magnitude), 9)}f}"


def big(count: float | None) -> str:
    """A large count with its unit: 11.69 M, 1.814 G; a dash when None."""
    if count is None:
        return "-"
    for unit, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(count) >= unit:
            return f"{count / unit:.4g}{suffix}"
    return f"{count:.4g}"


def size(nbytes: float | None) -> str:
    """Bytes with a binary unit: 44.6 MiB; a dash when None."""
    if nbytes is None:
        return "-"
    for unit, suffix in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.1f} {suffix}"
    return f"{nbytes:.0f} B"
