"""The side of the layer study that runs kernels, made for a process of its own (:mod:`orpheus_core.process`).

A layer's kernels are timed as they would run in the network: the activations were written a moment ago, the weights
were last touched one inference ago. So before each timed call as many bytes are read as the rest of the network
touches, and then the layer's activations, as :mod:`orpheus_core.selection.measure` does for tuning.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.plugin import Backend, Problem, Step
from orpheus_core.selection.candidates import Candidate, candidates, in_format
from orpheus_core.selection.conversion import Place, measure_conversion
from orpheus_core.selection.invoke import bind_run, keywords, load, prepare, runtime_of, workspace_of
from orpheus_core.selection.measure import COLD_BYTES
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.reorder import from_layout, to_layout
from orpheus_core.session.threads import apply_threads, settings_of
from orpheus_core.types import CPU, Array, TensorType
from orpheus_experiments.layer.exact import apart

__all__ = ["Ask", "KernelFact", "Worker"]

#: Below this time of a call, a turn begins with one that does not count: another has had the caches.
_SHORT = 0.05


@dataclass(frozen=True)
class Ask:
    """One layer as it crosses to the worker: plain problem, operands (None where constant or omitted), exact results.

    ``others``: bytes that the rest of the network touches between two calls.
    """

    problem: Problem
    inputs: tuple[Array | None, ...]
    exact: tuple[Any, ...] | None
    others: int


@dataclass(frozen=True)
class KernelFact:
    """What preparing a kernel and running it once showed.

    ``packed_bytes``: what the prepared layer keeps, as Python's allocators saw it. ``weight_bytes``: that and the
    constants it still reads. ``errors``: of each output, largest and mean absolute; None without exact results.
    """

    prepare_seconds: float
    workspace: int
    packed_bytes: int
    weight_bytes: int
    errors: tuple[tuple[float, float], ...] | None


class Worker:
    """Runs candidates of one layer at a time; a candidate is known by its place among all that accept the layer."""

    def __init__(self, note: Callable[[str], None], backends: Sequence[Backend], threads: int) -> None:
        self.note = note
        self.backends = tuple(backends)
        apply_threads(settings_of(self.backends, threads))
        self.options = SelectionOptions(backends=self.backends, threads=threads)
        self.rest = np.zeros(0, np.float32)

    def take(self, ask: Ask) -> tuple[str, ...]:
        """Make this layer the one that is asked about; the labels of its candidates."""
        self.ask = ask
        self.found, _ = candidates(ask.problem, self.backends)
        self.calls: dict[int, _Call] = {}
        size = min(max(ask.others, 0), COLD_BYTES) // 4
        if self.rest.size != size:
            self.rest = np.zeros(size, np.float32)
        return tuple(c.label for c in self.found)

    def prepare(self, index: int) -> KernelFact:
        """Prepare a candidate, run it once, and compare with the exact results."""
        candidate = self.found[index]
        self.note(f"preparing {candidate.label}")
        start = time.perf_counter()
        call = _bind(self.ask, candidate)
        seconds = time.perf_counter() - start
        self.note(f"the first run of {candidate.label}")
        with np.errstate(all="ignore"):
            call.step()
            call.synchronize()
        self.calls[index] = call
        errors = None if self.ask.exact is None else _errors(call, self.ask.exact)
        held = _held(self.ask.problem, candidate)
        constants = self.ask.problem.constants
        rest = sum(a.nbytes for i, a in constants.items() if i not in call.packed)
        return KernelFact(seconds, call.workspace, held, held + rest, errors)

    def turn(self, index: int, runs: int, seconds: float) -> list[float]:
        """Seconds of at least ``runs`` calls that together last ``seconds``."""
        call, clock = self.calls[index], time.perf_counter
        self.note(f"timing {self.found[index].label}")
        samples: list[float] = []
        begun = clock()
        lead_in = call.typical < _SHORT
        with np.errstate(all="ignore"):
            while len(samples) < runs or clock() - begun < seconds:
                self.rest.sum()
                for array in call.warm:
                    array.sum()
                call.synchronize()
                start = clock()
                call.step()
                call.synchronize()
                end = clock()
                if lead_in:
                    lead_in = False
                    continue
                samples.append(end - start)
        call.typical = min(samples)
        return samples

    def convert(self, type_: TensorType, source: Place, target: Place) -> float | None:
        """Measured seconds to have a value at another place as well; None when nothing here can do it."""
        self.note(f"converting {type_} from {source[0]} to {target[0]}")
        return measure_conversion(type_, source, target, self.options)


@dataclass
class _Call:
    step: Step
    synchronize: Callable[[], None]
    outputs: list[Any]
    results: Callable[[], list[Array | None]]
    warm: tuple[Array, ...]
    workspace: int
    packed: tuple[int, ...]
    typical: float = 0.0


def _bind(ask: Ask, candidate: Candidate) -> _Call:
    """The candidate bound to the layer's real operands, in its own layouts and on its device."""
    placed = in_format(ask.problem, candidate)
    runtime = runtime_of(candidate.backend)
    on_host = candidate.backend.device == CPU

    def there(host: Array) -> Any:
        if on_host:
            return host
        target = runtime.empty(host.shape, host.dtype)
        runtime.upload(host, target)
        return target

    inputs: list[Any] = []
    warm: list[Array] = []
    for index, type_ in enumerate(placed.inputs):
        array = placed.constants.get(index, ask.inputs[index] if index < len(ask.inputs) else None)
        if array is None or not isinstance(type_, TensorType):
            inputs.append(None)
            continue
        # A copy, aligned as the arena is: what came through a pipe lies anywhere.
        host = _aligned(to_layout(array, type_.layout))
        if index not in placed.constants and on_host and host.dtype.kind in "biuf":
            warm.append(host)
        inputs.append(there(host))
    outputs: list[Any] = [None if t is None else there(_empty(t)) for t in placed.outputs]
    warm += [a for a in outputs if isinstance(a, np.ndarray) and a.dtype.kind in "biuf"]

    def results() -> list[Array | None]:
        return [
            None if a is None or not isinstance(t, TensorType) else _plain(a, t, runtime, on_host)
            for a, t in zip(outputs, placed.outputs)
        ]

    workspace, packed = 0, ()
    if candidate.kernel.prepare is None:
        words = keywords(candidate, placed)
        step = bind_run(load(candidate), inputs, outputs, words, writes_out=candidate.kernel.writes_out)
    else:
        prepared = prepare(candidate, placed)
        packed = tuple(getattr(prepared, "packed", ()))
        for index in packed:
            inputs[index] = None
        workspace = int(getattr(prepared, "workspace", 0))
        step = prepared.bind(inputs, outputs, workspace_of(runtime, prepared))
    return _Call(step, runtime.synchronize, outputs, results, tuple(warm), workspace, packed)


def _aligned(array: Array) -> Array:
    block = np.empty(array.nbytes + 64, np.uint8)
    start = -block.ctypes.data % 64
    view: Array = block[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _empty(type_: Any) -> Array:
    if not isinstance(type_, TensorType) or type_.static_shape is None:
        raise KernelError(f"{type_} has no fixed size, so the layer cannot run alone")
    return _aligned(np.zeros(type_.layout.physical_shape(type_.static_shape), type_.dtype.numpy))


def _plain(array: Any, type_: TensorType, runtime: Any, on_host: bool) -> Array:
    assert type_.static_shape is not None
    if not on_host:
        host = np.empty(array.shape, type_.dtype.numpy)
        runtime.download(array, host)
        array = host
    return np.array(from_layout(array, type_.layout, type_.static_shape))


def _errors(call: _Call, exact: Sequence[Any]) -> tuple[tuple[float, float], ...]:
    found = []
    for got, wanted in zip((r for r in call.results() if r is not None), exact):
        largest = apart(got, wanted)
        mean = largest
        if np.isfinite(largest) and got.size and got.dtype.kind not in "OUST":
            gaps = np.abs(got.astype(np.float64) - np.asarray(wanted, np.float64))
            mean = (
                float(np.nanmean(np.where(np.isfinite(gaps), gaps, np.nan)))
                if np.isfinite(gaps).any()
                else 0.0
            )
        found.append((largest, mean))
    return tuple(found)


def _held(problem: Problem, candidate: Candidate) -> int:
    """Bytes that a prepared layer keeps, by preparing it once more while allocations are counted."""
    if candidate.kernel.prepare is None:
        return 0
    placed = in_format(problem, candidate)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        prepared = prepare(candidate, placed)
        after, _ = tracemalloc.get_traced_memory()
        del prepared
    finally:
        tracemalloc.stop()
    return max(0, after - before)
