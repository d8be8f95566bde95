"""Models of time: they order this backend's kernels until times are measured; only their order matters."""

from __future__ import annotations

from math import prod

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_opencl.limits import elements

_CALL = 3e-6
_BANDWIDTH = 8e9
_TILED = 100e9
_PLAIN = 2e9


def traffic(problem: Problem) -> float:
    """Every operand read or written once."""
    return _CALL + 4 * elements(problem) / _BANDWIDTH


def _sums(problem: Problem) -> float:
    taps = prod(shape_of(problem.inputs[1])[1:])
    return 2.0 * taps * prod(shape_of(problem.outputs[0]))


def direct(problem: Problem) -> float:
    """By operations, or by traffic."""
    return max(_sums(problem) / _TILED, traffic(problem))


def plain(problem: Problem) -> float:
    """By operations, one at a time."""
    return _sums(problem) / _PLAIN + traffic(problem)
