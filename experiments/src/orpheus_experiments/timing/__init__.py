"""Timing calls: until steady, then in turns."""

from __future__ import annotations
