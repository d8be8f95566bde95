"""How far results are from the truth: float64 evaluation, errors, agreement of classes."""

from __future__ import annotations
