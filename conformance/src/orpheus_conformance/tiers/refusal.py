"""Refusal: layers that the operator allows, whatever the kernel declares.

What the kernel refuses it must refuse with a reason, and that counts as refused; what it accepts must be right.
"""

from __future__ import annotations

from orpheus_conformance.tiers.base import Tier

REFUSAL = Tier(
    "refusal", "anything the operator allows: refused with a reason, or right", ("normal",), steered=False
)
