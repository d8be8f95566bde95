"""What samples say: medians, intervals, and whether two engines differ by more than the machine's own noise."""

from __future__ import annotations
