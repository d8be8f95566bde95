"""Orpheus against other engines on whole networks: a process each, in turns, all others stopped."""

from __future__ import annotations
