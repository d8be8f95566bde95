"""Where things are kept from one process to the next; imports nothing heavy, so that probing backends may use it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """``$ORPHEUS_CACHE``, or ``orpheus`` in the user's cache folder; it may not exist yet."""
    chosen = os.environ.get("ORPHEUS_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # a user without a home, as in some containers
            base = tempfile.gettempdir()
    return Path(base) / "orpheus"
