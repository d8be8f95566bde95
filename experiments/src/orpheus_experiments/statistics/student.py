"""Quantiles of Student's t, for intervals from the few processes that a trial has."""

from __future__ import annotations

import math
from statistics import NormalDist

__all__ = ["cumulative", "quantile"]


def quantile(probability: float, freedom: int) -> float:
    """The value that a t variable of ``freedom`` degrees stays below with ``probability``; ValueError beyond (0, 1).

    Found by bisection on the cumulative distribution, to full double precision.
    """
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"no quantile {probability} of {freedom} degrees of freedom")
    if probability < 0.5:
        return -quantile(1 - probability, freedom)
    low, high = 0.0, max(1.0, NormalDist().inv_cdf(probability))
    while cumulative(high, freedom) < probability:
        high *= 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if cumulative(middle, freedom) < probability else (low, middle)
    return high


def cumulative(value: float, freedom: int) -> float:
    """P(T <= value), by the finite sums for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(value, math.sqrt(freedom))
    cosine = math.cos(angle) ** 2
    odd = freedom % 2
    term = total = (math.cos(angle) if odd else 1.0) if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom, 2):
        term *= cosine * (k - 1) / k
        total += term
    part = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return 0.5 + part / 2
