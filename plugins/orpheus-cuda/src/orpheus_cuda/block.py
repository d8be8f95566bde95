"""A block of a device's memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Block:
    """Memory on a device, for as long as ``owner`` lives."""

    pointer: int
    nbytes: int
    owner: Any
