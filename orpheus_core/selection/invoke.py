"""Turning a candidate and arrays into a step: the one place that knows how the forms of a kernel are called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from threading import Lock
from typing import Any

import numpy as np

from orpheus_core import memory
from orpheus_core.errors import KernelError
from orpheus_core.graph import Graph
from orpheus_core.plugin import Backend, Prepared, Problem, Runtime, Step, resolve
from orpheus_core.selection.candidates import Candidate
from orpheus_core.types import CPU, Array

# Told before and after each preparation, so that whoever listens knows which kernel a process died of.
_log = logging.getLogger("orpheus.prepare")


class HostRuntime:
    """Memory of the host, as numpy arrays."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """A new array."""
        return np.empty(shape, dtype)

    def arena(self, nbytes: int) -> Array:
        """A new block of bytes, aligned."""
        return memory.block(nbytes)

    def view(self, arena: Any, offset: int, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array inside a block."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        if count == 0:
            return np.empty(shape, dtype)
        view: Array = arena[offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)
        return view

    def upload(self, source: Array, target: Any) -> None:
        """Copy."""
        np.copyto(target, source)

    def download(self, source: Any, target: Array) -> None:
        """Copy."""
        np.copyto(target, source)

    def synchronize(self) -> None:
        """Nothing is ever under way."""


HOST = HostRuntime()
_runtimes: dict[tuple[str, str, int], Runtime] = {}
_making = Lock()


def runtime_of(backend: Backend) -> Runtime:
    """The runtime of a backend's device; raises KernelError when a foreign device comes without one."""
    if backend.device == CPU or (backend.runtime is None and backend.device.kind == "cpu"):
        return HOST
    if backend.runtime is None:
        raise KernelError(f"backend {backend.name} computes on {backend.device} but names no runtime=")
    key = (backend.runtime, backend.device.kind, backend.device.index)
    with _making:
        if key not in _runtimes:
            _runtimes[key] = resolve(backend.runtime)(backend.device)
        return _runtimes[key]


def alignment_of(runtime: Runtime) -> int:
    """Bytes: where in an arena of this runtime an array may begin."""
    return max(memory.ALIGNMENT, int(getattr(runtime, "alignment", memory.ALIGNMENT)))


def workspace_of(runtime: Runtime, prepared: object) -> Any | None:
    """New memory for a step of a layer as ``bind`` takes it: an array of bytes, None where the layer wants none."""
    nbytes = int(getattr(prepared, "workspace", 0))
    return runtime.view(runtime.arena(nbytes), 0, (nbytes,), np.uint8) if nbytes else None


def stream_of(runtime: Runtime) -> Runtime:
    """A runtime of the same device for one context; the runtime itself where it has no streams."""
    make = getattr(runtime, "stream", None)
    stream: Runtime = runtime if make is None else make()
    return stream


@cache
def function_of(reference: str) -> Callable[..., Any]:
    """The function a reference names, resolved once."""
    found: Callable[..., Any] = resolve(reference)
    return found


def load(candidate: Candidate) -> Callable[..., Any]:
    """The kernel's code; KernelError when its reference does not resolve."""
    reference = candidate.kernel.run or candidate.kernel.prepare or ""
    try:
        return function_of(reference)
    except Exception as error:
        raise KernelError(
            f"kernel {candidate.id}: cannot load {reference!r}: {type(error).__name__}: {error}"
        ) from error


def prepare(candidate: Candidate, problem: Problem) -> Prepared:
    """The full form's layer object. ``problem`` carries the candidate's layouts and device."""
    factory = load(candidate)
    _log.debug("preparing %s", candidate.id)
    try:
        prepared: Prepared = factory(problem)
    except Exception as error:
        raise KernelError(
            f"kernel {candidate.id}: prepare failed: {type(error).__name__}: {error}"
        ) from error
    _log.debug("prepared %s", candidate.id)
    return prepared


def keywords(
    candidate: Candidate, problem: Problem, graphs: dict[str, Callable[..., Any]] | None = None
) -> dict[str, Any]:
    """The keyword arguments of the short form: attributes, subgraphs as callables, the problem if wanted."""
    words = {k: v for k, v in problem.attributes.items() if not isinstance(v, Graph)}
    words.update(graphs or {})
    if candidate.kernel.takes_problem:
        words["problem"] = problem
    return words


def bind_run(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    words: dict[str, Any],
    *,
    writes_out: bool,
) -> Step:
    """A step of the short form whose operands all stay in place."""
    if writes_out and isinstance(function, np.ufunc) and len(outputs) == function.nout == 1 and not words:
        # A ufunc fills what it is given, so nothing is left to check: the step is the call itself.
        return partial(function, *inputs, outputs[0])
    if writes_out:
        words = {**words, "out": tuple(outputs)}
    if len(outputs) == 1 and outputs[0] is not None:
        single: Step = _single_maker(len(inputs), tuple(words))(
            function, store, outputs[0], *inputs, *words.values()
        )
        return single
    inputs = tuple(inputs)

    def step() -> None:
        result = function(*inputs, **words)
        results = result if type(result) is tuple else (result,)
        for target, got in zip(outputs, results):
            if target is not None and got is not target:
                store(target, got)
        if len(results) < len(outputs):
            raise ValueError(f"returned {len(results)} outputs, the node has {len(outputs)}")

    return step


@cache
def _single_maker(count: int, names: tuple[str, ...]) -> Callable[..., Step]:
    """A maker of steps that call with ``count`` inputs and keywords ``names`` and see to one output.

    The call is spelled out in generated code: unpacking a tuple and a dictionary at each step would cost more than
    the rest of the executor. Keyword names are attribute names of operator schemas.
    """
    if not all(name.isidentifier() for name in names):
        raise ValueError(f"attribute names {names} cannot be keywords")
    inputs = [f"i{n}" for n in range(count)]
    values = [f"k{n}" for n in range(len(names))]
    call = ", ".join((*inputs, *(f"{name}={value}" for name, value in zip(names, values))))
    source = f"""
def make(function, store, target, {", ".join((*inputs, *values))}):
    def step():
        result = function({call})
        if result is not target:
            store(target, result[0] if type(result) is tuple else result)
    return step
"""
    scope: dict[str, Any] = {}
    exec(source, scope)
    made: Callable[..., Step] = scope["make"]
    return made


def store(target: Any, result: Any) -> None:
    """Copy a kernel's result into its planned place, which fixes element type and shape."""
    if not isinstance(target, np.ndarray):
        if getattr(result, "shape", None) != target.shape:
            raise ValueError(f"returned shape {getattr(result, 'shape', None)}, planned {target.shape}")
        target[...] = result
        return
    if not isinstance(result, np.ndarray):
        result = np.asarray(result)
    if result.dtype != target.dtype or result.shape != target.shape:
        raise ValueError(
            f"returned {result.dtype}{list(result.shape)}, planned {target.dtype}{list(target.shape)}"
        )
    np.copyto(target, result)
