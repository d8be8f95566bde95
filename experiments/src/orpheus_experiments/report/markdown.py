"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orpheus_experiments.report.tables import Table

__all__ = ["escape", "to_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def to_markdown(title: str, summary: str, tables: Sequence[Table]) -> str:
    """Title, a sentence, and the tables."""
    parts = [f"# {escape(title)}", escape(summary)]
    for table in tables:
        parts.append(f"## {escape(table.title)}")
        if table.text:
            parts.append(escape(table.text))
        head = "| " + " | ".join(escape(h) for h in table.headers) + " |"
        rule = "|" + "|".join("--:" if n else "---" for n in table.numeric) + "|"
        body = ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in table.rows]
        parts.append("\n".join([head, rule, *body]))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
