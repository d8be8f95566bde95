"""Rules of kernels, each of which is one object however many kernels have it: it is then judged once for all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from orpheus_core.plugin import Rule

__all__ = ["rule"]


@lru_cache(maxsize=None, typed=True)
def rule(field: str, op: str, value: Any) -> Rule:
    """As :class:`Rule` says; ``value`` has a hash."""
    return Rule(field, op, value)
