"""``orpheus bench``: models on backends and other engines, measured in turns, compared with their noise."""

from __future__ import annotations
