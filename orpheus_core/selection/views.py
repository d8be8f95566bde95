"""Operators that only rename memory: the plan computes them by pointing at their input, on any device.

They belong to a pseudo-backend named ``core``, so that reports show where no kernel runs at all.
"""

from __future__ import annotations

from functools import cache

from orpheus_core.plugin import API, Backend, Kernel, Problem
from orpheus_core.types import Device, DType, TensorType

_OPS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
VIEWS: dict[str, Kernel] = {
    op: Kernel(op=op, name="view", run=f"{__name__}:never_called", cost=f"{__name__}:nothing") for op in _OPS
}


@cache
def view_backend(device: Device) -> Backend:
    """The pseudo-backend that owns views on one device."""
    return Backend(name="core", api=API, kernels=tuple(VIEWS.values()), device=device)


def is_view(problem: Problem) -> bool:
    """Whether the layer can be a view: row-major tensor in and out, both of a size known before the run."""
    if problem.domain or problem.op not in VIEWS or len(problem.outputs) != 1:
        return False
    types = (problem.inputs[0], problem.outputs[0])
    return all(isinstance(t, TensorType) and t.is_static and t.dtype is not DType.STRING for t in types)


def nothing(problem: Problem) -> float:
    """The cost of a view."""
    del problem
    return 0.0


def never_called(*_: object, **__: object) -> object:
    """Stands in for a function where none is needed."""
    raise AssertionError("a view has no kernel")
