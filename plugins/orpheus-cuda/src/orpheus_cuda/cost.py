"""Models of time: they order this backend's kernels until times are measured; only their order matters."""

from __future__ import annotations

from math import prod

from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_cuda.window import shape_of

_CALL = 2e-6
_BANDWIDTH = 2e12


def traffic(problem: Problem) -> float:
    """Every operand read or written once."""
    types = (t for t in (*problem.inputs, *problem.outputs) if isinstance(t, TensorType))
    return _CALL + sum(t.nbytes or 0 for t in types) / _BANDWIDTH
