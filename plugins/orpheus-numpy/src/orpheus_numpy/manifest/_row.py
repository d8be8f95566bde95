"""A terse way to write one row of the manifest."""

from __future__ import annotations

from typing import Any

from orpheus_core.plugin import Kernel


def reference(op: str, ref: str, *, domain: str = "", **more: Any) -> Kernel:
    """The reference kernel of ``op``: ``ref`` names its function as ``"module:attribute"`` below this package."""
    return Kernel(op=op, name="reference", run=f"orpheus_numpy.{ref}", domain=domain, **more)
