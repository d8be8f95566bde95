"""The canonical signature of a layer: equal for equal work, whatever the names in the model.

It is the key under which measurements are kept, so everything that may change a kernel's time is in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from functools import cache
from typing import Any

import numpy as np

from orpheus_core.plugin import Backend, Problem
from orpheus_core.selection.candidates import Candidate, in_format
from orpheus_core.selection.invoke import runtime_of
from orpheus_core.types import TensorType, ValueType


def problem_signature(problem: Problem) -> str:
    """One line of JSON: operator, attributes, operand types with layouts, which inputs are constant, threads.

    Small integer constants (axes, repeats, sizes) are part of it by value, since they shape the work.
    """
    constants: dict[str, Any] = {}
    for index, array in sorted(problem.constants.items()):
        small = array.size <= 16 and array.dtype.kind in "iub"
        constants[str(index)] = array.tolist() if small else True
    facts = {
        "op": f"{problem.domain}:{problem.op}" if problem.domain else problem.op,
        "version": problem.version,
        "attributes": {k: _plain(v) for k, v in sorted(problem.attributes.items())},
        "inputs": [_type(t) for t in problem.inputs],
        "outputs": [_type(t) for t in problem.outputs],
        "constants": constants,
        "threads": problem.threads,
    }
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def measurement_key(problem: Problem, candidate: Candidate) -> str:
    """The key of one measurement: layer, kernel and its version, plugin build, machine."""
    facts = [
        problem_signature(in_format(problem, candidate)),
        candidate.label,
        f"v{candidate.kernel.version}",
        f"build {candidate.backend.version}",
        where(candidate.backend),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def where(backend: Backend) -> str:
    """The machine, and the device of a backend that has one of its own, with whose clock times are taken."""
    # The core's own views are of every device and have no runtime.
    runtime = None if backend.runtime is None else runtime_of(backend)
    identity = getattr(runtime, "identity", "")
    clock = "|its clock" if hasattr(runtime, "seconds") else ""
    return f"{machine()}|{identity}{clock}" if identity else machine()


@cache
def machine() -> str:
    """CPU model, its instruction-set flags, and settings that change which kernels a library picks."""
    model, flags = platform.machine(), ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            facts: dict[str, str] = {}
            for line in file:  # the last core's facts: all cores of a machine agree on these
                name, _, value = line.partition(":")
                facts[name.strip()] = value.strip()
        model = facts.get("model name", facts.get("CPU part", model))
        flags = hashlib.sha256(facts.get("flags", facts.get("Features", "")).encode()).hexdigest()[:8]
    except OSError:
        model = platform.processor() or model
    forced = ",".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k == "ORPHEUS_ISA")
    return f"{model}|{flags}|{platform.system()}|numpy {np.__version__}|{forced}"


def _type(type_: ValueType | None) -> str | None:
    if isinstance(type_, TensorType) and type_.shape is not None:
        # Names of symbolic dimensions do not matter, only that they are open.
        return str(type_.with_shape(tuple(d if isinstance(d, int) else None for d in type_.shape)))
    return None if type_ is None else str(type_)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(value.tobytes()).hexdigest()[:16]
        return f"{value.dtype}{list(value.shape)}:{digest}"
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, (int, float, str, bool)) or value is None:
        return value
    return str(value)
