"""Bounded: ordinary values, each result within the bound derived for the operator.

Positive data, as after a ReLU, is drawn too: its sums do not cancel, so serial accumulation shows its growth. So is
data far from zero: what overflows or cancels where it need not shows there.
"""

from __future__ import annotations

from orpheus_conformance.tiers.base import Tier

BOUNDED = Tier("bounded", "ordinary values within the derived bound", ("normal", "positive", "far"))
