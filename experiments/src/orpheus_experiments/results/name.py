"""What a record's file is called: the trial's digest, and the board where it is a fleet's."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["BOARD", "Name"]

#: What a board's label may be, so that it can be part of a file's name everywhere.
BOARD = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
_STEM = re.compile(rf"(?P<key>[0-9a-f]{{16}})(\.(?P<board>{BOARD}))?")


class Name(NamedTuple):
    """A trial by its ``key``, on the ``board`` of a fleet that bears this label, or here."""

    key: str
    board: str | None = None

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.key}.{self.board}.json" if self.board else f"{self.key}.json"

    @classmethod
    def of_file(cls, name: str) -> Name | None:
        """What a file holds, by its name; None where it is no record's."""
        found = _STEM.fullmatch(name.removesuffix(".json")) if name.endswith(".json") else None
        return None if found is None else cls(found["key"], found["board"])
