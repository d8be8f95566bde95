"""What a mutant is, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mutants import plain
from orpheus_core.plugin import API, Backend, Kernel


@dataclass(frozen=True)
class Trial:
    """One backend to judge; ``manifest`` is the module that offers it, where that matters."""

    name: str
    doc: str
    backend: Backend
    manifest: str | None = field(default=None)


MUTANTS: dict[str, Trial] = {}
UNUSUAL: dict[str, Trial] = {}


def kernel_of(op: str, reference: str, **more: Any) -> Kernel:
    """A kernel named ``k``; float32 and float64 where the operator's constraint is T, unless told otherwise."""
    more.setdefault("dtypes", {"T": plain.FLOATS})
    form = "prepare" if more.pop("prepared", False) else "run"
    return Kernel(op=op, name="k", **{form: reference}, **more)


def _register(
    table: dict[str, Trial], op: str, manifest: str | None, more: dict[str, Any]
) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        name = function.__name__
        if name in table:
            raise ValueError(f"two trials are called {name}")
        kernel = kernel_of(op, f"{function.__module__}:{name}", **more)
        backend = Backend(name=f"toy_{name}", api=API, kernels=(kernel,))
        table[name] = Trial(name, " ".join((function.__doc__ or "").split()), backend, manifest)
        return function

    return register


def mutant(op: str, **more: Any) -> Callable[[Any], Any]:
    """The decorated function (or class, with ``prepared``) is the one kernel of a backend that must be caught."""
    return _register(MUTANTS, op, None, more)


def unusual(op: str, **more: Any) -> Callable[[Any], Any]:
    """The decorated function (or class, with ``prepared``) is the one kernel of a backend that must pass."""
    return _register(UNUSUAL, op, None, more)
