"""Witness: a copy of a backend whose every kernel notes that it runs, so that what ran is seen and not inferred.

Only the plugin interface is used: a kernel's reference leads here, and from here to the code it named. The copy has no
``seal``, which would be given steps that are not the backend's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from typing import Any

from orpheus_conformance.delegation import watched
from orpheus_core.plugin import Backend, Kernel, Step, resolve
from orpheus_core.selection.candidates import kernel_id

_numbers = count()
_stand_ins: dict[str, Callable[..., Any]] = {}


class Record:
    """What happened: kernel ids in the order they ran, and kernels that let other code do their work."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.faults: dict[str, None] = {}

    def clear(self) -> None:
        """Forget everything, in place."""
        self.ran.clear()
        self.faults.clear()


def witnessed(backend: Backend, record: Record, *, watch: bool) -> Backend:
    """The copy. With ``watch``, its kernels are also watched for delegation (:mod:`..delegation`)."""
    return replace(
        backend,
        seal=None,
        chain=None,
        concurrent=False,
        kernels=tuple(_noting(backend, k, record, watch) for k in backend.kernels),
    )


def __getattr__(name: str) -> Callable[..., Any]:
    try:
        return _stand_ins[name]
    except KeyError:
        raise AttributeError(name) from None


def _noting(backend: Backend, kernel: Kernel, record: Record, watch: bool) -> Kernel:
    name = f"kernel{next(_numbers)}"
    reference = kernel.run or kernel.prepare or ""
    here = _Here(kernel_id(backend, kernel), backend.name if watch else None, record)
    stand_in = _function(reference, here) if kernel.run is not None else _factory(reference, here)
    _stand_ins[name] = stand_in
    reference = f"{__name__}:{name}"
    return replace(kernel, run=reference) if kernel.run is not None else replace(kernel, prepare=reference)


class _Here:
    def __init__(self, kernel: str, backend: str | None, record: Record) -> None:
        self.kernel, self.backend, self.record = kernel, backend, record

    def watch(self) -> Any:
        if self.backend is None:
            return nullcontext()
        return watched(self.backend, lambda fault: self.record.faults.setdefault(f"{self.kernel} {fault}"))

    def note(self) -> None:
        self.record.ran.append(self.kernel)


def _function(reference: str, here: _Here) -> Callable[..., Any]:
    def run(*inputs: Any, **words: Any) -> Any:
        here.note()
        function = resolve(reference)
        # A subgraph, given as a callable, is run by a session, and by whatever kernels it takes.
        with nullcontext() if any(map(callable, words.values())) else here.watch():
            return function(*inputs, **words)

    return run


def _factory(reference: str, here: _Here) -> Callable[..., Any]:
    def prepare(problem: Any) -> _Noting:
        factory = resolve(reference)
        with here.watch():
            return _Noting(factory(problem), here)

    return prepare


class _Noting:
    """A prepared object that notes its steps."""

    def __init__(self, inner: Any, here: _Here) -> None:
        self._inner, self._here = inner, here
        self.workspace = getattr(inner, "workspace", 0)
        self.packed = getattr(inner, "packed", ())

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any) -> Step:
        """The inner step, noted."""
        step, here = self._inner.bind(inputs, outputs, workspace), self._here

        def noting() -> None:
            here.note()
            with here.watch():
                step()

        return noting
