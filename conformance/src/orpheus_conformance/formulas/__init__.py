"""Independent formulas: what an operator's page says, written out, for where ``onnx.reference`` is wrong or silent.

Each is a function of an instance that returns a value per formal output, and says when it stands in for
``onnx.reference``, and why: these are the named exceptions of that oracle. They share no code with any backend.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from orpheus_conformance.case import Case
from orpheus_conformance.instance import Instance

Compute: TypeAlias = Callable[[Instance], tuple[Any, ...]]


def always(case: Case) -> bool:
    """Every case of the operator."""
    return True


@dataclass(frozen=True)
class Formula:
    """``compute`` stands in for ``onnx.reference`` in the cases that ``when`` names, because of ``why``."""

    compute: Compute
    when: Callable[[Case], bool]
    why: str


_FORMULAS: dict[tuple[str, str], list[Formula]] = {}


def formula(
    *ops: str, why: str, when: Callable[[Case], bool] = always, domain: str = ""
) -> Callable[[Compute], Compute]:
    """Register the decorated function as the formula of operators; see :class:`Formula`."""

    def register(compute: Compute) -> Compute:
        for op in ops:
            _FORMULAS.setdefault((domain, op), []).append(Formula(compute, when, why))
        return compute

    return register


@cache
def _load() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def formulas() -> dict[tuple[str, str], list[Formula]]:
    """Every formula, by (domain, operator)."""
    _load()
    return _FORMULAS


def find_formula(case: Case) -> Formula | None:
    """The formula that judges a case in the place of ``onnx.reference``, or None."""
    known = formulas().get((case.domain, case.op), ())
    return next((f for f in known if f.when(case)), None)
