"""Orpheus against other engines on whole networks: one process each, turns in shuffled order, everything else stopped."""

from __future__ import annotations
