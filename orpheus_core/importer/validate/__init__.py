"""Checks of single operators that neither their schemas nor ONNX's type inference make.

They run before type inference, which for some malformed nodes would crash or not return.
"""

from __future__ import annotations

from orpheus_core.graph import Node


def check(node: Node, place: str) -> None:
    """Raise ModelError naming ``place`` when the node breaks a rule of its operator's page."""
