"""Subject: one kernel of a backend, run on an instance under observation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orpheus_conformance.bodies import callables
from orpheus_conformance.case import Case, CaseError, Operand
from orpheus_conformance.delegation import watched
from orpheus_conformance.instance import Instance
from orpheus_conformance.memory import DeviceGuarded, Guarded, garbage
from orpheus_conformance.overlap import between_lines, side_by_side
from orpheus_core.errors import KernelError
from orpheus_core.graph import Graph
from orpheus_core.plugin import Backend, Format, Kernel, Prepared, Problem, Step
from orpheus_core.selection.candidates import Candidate, candidates, in_format, kernel_id
from orpheus_core.selection.invoke import bind_run, function_of, keywords, load, prepare, runtime_of
from orpheus_core.selection.refusal import Refusal, RefusalCode
from orpheus_core.selection.reorder import from_layout, to_layout
from orpheus_core.session.threads import apply_threads, settings_of
from orpheus_core.types import CPU, Array, TensorType


@dataclass(frozen=True, eq=False)
class Subject:
    """A kernel before the judge. ``solo`` is its backend with this kernel only, so that nothing else can answer."""

    backend: Backend
    kernel: Kernel

    @property
    def id(self) -> str:
        """``backend:Op/kernel``."""
        return kernel_id(self.backend, self.kernel)

    def answer(self, problem: Problem) -> tuple[list[Candidate], Refusal | None]:
        """The kernel's candidates for a problem, one per format that fits, or its refusal."""
        solo = replace(self.backend, kernels=(self.kernel,))
        found, refused = candidates(problem, (solo,))
        mine = [replace(c, backend=self.backend) for c in found if c.kernel is self.kernel]
        return mine, refused[0] if refused and not mine else None

    def supports(self, problem: Problem, candidate: Candidate) -> Any:
        """What the kernel's own ``supports`` says of a problem it was taken to accept."""
        reference = self.kernel.supports
        return None if reference is None else function_of(reference)(in_format(problem, candidate))


def subjects(backend: Backend) -> tuple[Subject, ...]:
    """Every kernel of a backend."""
    return tuple(Subject(backend, kernel) for kernel in backend.kernels)


def find_subject(backend: Backend, kernel: str) -> Subject:
    """The kernel of that id; CaseError when the backend has none such (any more)."""
    for subject in subjects(backend):
        if subject.id == kernel:
            return subject
    raise CaseError(f"backend {backend.name} has no kernel {kernel!r}; see: orpheus backends")


def is_broken(refusal: Refusal) -> bool:
    """Whether a refusal is no answer but a failure of the kernel's own rules."""
    return refusal.code is RefusalCode.BROKEN or not refusal.text.strip()


@dataclass(frozen=True)
class Observed:
    """What a run gave: outputs as logical host arrays (None where not wanted), and what it did that it may not."""

    outputs: tuple[Any, ...]
    violations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manner:
    """How operands are given to a kernel.

    ``gap``: inputs strided (short form on the host only); ``offset``: inputs start so many elements past 64 bytes;
    ``inplace``: the (output, input) pair that shares memory; ``calls``: the number of calls of the same step;
    ``split``: the batch is computed in two parts (:attr:`.space.Space.batch`); ``together``: another call overlaps.
    """

    gap: bool = False
    offset: int = 0
    inplace: tuple[int, int] | None = None
    calls: int = 1
    split: bool = False
    together: bool = False

    @classmethod
    def of(cls, variant: Mapping[str, Any]) -> Manner:
        """From a case's ``variant``; CaseError for one that is not understood."""
        try:
            return cls(**variant)
        except TypeError as error:
            raise CaseError(f"not a case: variant {dict(variant)!r}: {error}") from error


def observe(
    subject: Subject, candidate: Candidate, instance: Instance, manner: Manner | None = None
) -> Observed:
    """Run a kernel once (or ``manner.calls`` times) and check what surrounds its outputs.

    Raises whatever the kernel raises.
    """
    return _Run(subject, candidate, instance, manner or Manner()).go()


class _Run:
    def __init__(self, subject: Subject, candidate: Candidate, instance: Instance, manner: Manner) -> None:
        self.subject, self.candidate, self.manner = subject, candidate, manner
        self.instance = instance
        self.problem = in_format(instance.problem, candidate)
        self.on_host = subject.backend.device == CPU
        self.runtime = runtime_of(subject.backend)
        self.violations: list[str] = []
        self.seed = instance.case.seed
        self.guards: dict[str, Guarded | DeviceGuarded] = {}

    def go(self) -> Observed:
        apply_threads(settings_of((self.subject.backend,), self.problem.threads))
        hosts = [self._input(i) for i in range(len(self.instance.arrays))]
        before = [_copy(h) for h in hosts]
        targets = [self._output(i, hosts) for i in range(len(self.problem.outputs))]
        inputs = hosts if self.on_host else [self._upload(f"input {i}", h) for i, h in enumerate(hosts)]
        outputs = targets if self.on_host else [self._upload(f"output {i}", t) for i, t in enumerate(targets)]
        load(self.candidate)  # what a kernel's module does when it is imported is not delegation
        with np.errstate(all="ignore"), self._watched():
            results = self._call(inputs, outputs)
        if not self.on_host:
            self.runtime.synchronize()
            self._download(inputs, hosts)
            self._download(outputs, targets)
            results = [
                t if t is not None else self._fetch(i, r) for i, (t, r) in enumerate(zip(targets, results))
            ]
        shared = self.manner.inplace[1] if self.manner.inplace else None
        for index, (host, old) in enumerate(zip(hosts, before)):
            if index != shared and not _same(host, old):
                self.violations.append(f"input {index} was changed")
        for name, guard in self.guards.items():
            breach = guard.breach()
            if breach:
                self.violations.append(f"{name}: {breach}")
        return Observed(tuple(self._logical(i, r) for i, r in enumerate(results)), tuple(self.violations))

    # Operands.

    def _input(self, index: int) -> Any:
        value = self.instance.arrays[index]
        type_ = self.problem.inputs[index]
        if not isinstance(value, np.ndarray) or not isinstance(type_, TensorType) or value.dtype.kind == "O":
            return value
        physical = to_layout(value, type_.layout)
        gap = self.manner.gap and self.subject.kernel.run is not None and self.on_host
        offset = self.manner.offset * physical.dtype.itemsize
        guard = Guarded(physical.shape, physical.dtype, offset=offset, gap=gap)
        guard.array[...] = physical
        self.guards[f"input {index}"] = guard
        return guard.array

    def _output(self, index: int, hosts: list[Any]) -> Any:
        type_ = self.problem.outputs[index]
        if not isinstance(type_, TensorType) or type_.static_shape is None or type_.dtype.numpy.kind == "O":
            return None
        if self.manner.inplace is not None and self.manner.inplace[0] == index:
            return hosts[self.manner.inplace[1]]
        shape = type_.layout.physical_shape(type_.static_shape)
        guard = Guarded(shape, type_.dtype.numpy)
        guard.fill(garbage(type_.dtype.numpy, self.seed))
        self.guards[f"output {index}"] = guard
        return guard.array

    def _upload(self, name: str, host: Any) -> Any:
        if not isinstance(host, np.ndarray):
            return host
        target: Any
        if host.nbytes:
            guard = DeviceGuarded(self.runtime, host.shape, host.dtype)
            self.guards[f"{name} on the device"], target = guard, guard.array
        else:
            target = self.runtime.empty(host.shape, host.dtype)
        self.runtime.upload(np.ascontiguousarray(host), target)
        return target

    def _download(self, sources: list[Any], hosts: list[Any]) -> None:
        for source, host in zip(sources, hosts):
            if isinstance(host, np.ndarray) and host.dtype.kind != "O":
                copy = np.empty(host.shape, host.dtype)
                self.runtime.download(source, copy)
                host[...] = copy

    def _fetch(self, index: int, result: Any) -> Any:
        """An output that the kernel made on the device, on the host."""
        type_ = self.problem.outputs[index]
        if result is None or not isinstance(type_, TensorType):
            return result
        host = np.empty(result.shape, type_.dtype.numpy)
        self.runtime.download(result, host)
        return host

    # Calls.

    def _call(self, inputs: list[Any], outputs: list[Any]) -> list[Any]:
        known = all(o is not None for o, t in zip(outputs, self.problem.outputs) if t is not None)
        prepared = prepare(self.candidate, self.problem) if self.subject.kernel.prepare is not None else None
        if prepared is None and not known:
            return self._call_open(inputs, outputs)
        step = self._step(prepared, inputs, outputs)
        if self.manner.together:
            self._together(step, prepared, inputs, outputs)
            return outputs
        first: list[Any] | None = None
        for _ in range(self.manner.calls):
            step()
            if first is None:
                first = [_copy(o) if self.on_host else None for o in outputs]
        if self.manner.calls > 1 and self.on_host and first is not None:
            for index, (old, new) in enumerate(zip(first, outputs)):
                if not _same(old, new):
                    self.violations.append(f"output {index} differs between two runs on the same inputs")
        return outputs

    def _call_open(self, inputs: list[Any], outputs: list[Any]) -> list[Any]:
        """Outputs whose shape depends on data: the kernel makes them."""
        words = keywords(self.candidate, self.problem, callables(self.problem.attributes))
        if self.subject.kernel.writes_out:
            words["out"] = tuple(outputs)
        result = load(self.candidate)(*inputs, **words)
        results = list(result) if type(result) is tuple else [result]
        if len(results) < len(self.problem.outputs):
            raise ValueError(f"returned {len(results)} outputs, the node has {len(self.problem.outputs)}")
        results = [np.asarray(r) if isinstance(r, np.generic) else r for r in results]
        return [r if t is not None else None for r, t in zip(results, self.problem.outputs)]

    def _together(self, step: Step, prepared: Prepared | None, inputs: list[Any], outputs: list[Any]) -> None:
        """The call, and another on other data that overlaps it; both must give what they give alone."""
        others = [self._rolled(i, value) for i, value in enumerate(inputs)]
        targets = [_copy(o) for o in outputs]
        second = self._step(prepared, others, targets, "the other call's workspace")
        step()
        second()
        alone = [_copy(o) for o in (*outputs, *targets)]
        for overlapped in (between_lines, side_by_side):
            overlapped(step, second)
            if not all(map(_same, alone, (*outputs, *targets))):
                self.violations.append("a call differs when another runs at the same time")
                return

    def _rolled(self, index: int, value: Any) -> Any:
        """Other data for the same layer: elements in another order, where any order would do."""
        operand = self.instance.case.inputs[index]
        free = isinstance(operand, Operand) and operand.data is None and not operand.constant
        return np.roll(value, 1) if free and isinstance(value, np.ndarray) else _copy(value)

    def _watched(self) -> AbstractContextManager[None]:
        if any(isinstance(v, Graph) for v in self.problem.attributes.values()):
            return nullcontext()  # subgraphs are run by the judge
        return watched(self.subject.backend.name, self.violations.append)

    def _step(
        self, prepared: Prepared | None, inputs: list[Any], outputs: list[Any], workspace: str = "workspace"
    ) -> Step:
        if prepared is None:
            words = keywords(self.candidate, self.problem, callables(self.problem.attributes))
            writes = self.subject.kernel.writes_out
            return bind_run(load(self.candidate), inputs, outputs, words, writes_out=writes)
        given = list(inputs)
        for index in getattr(prepared, "packed", ()):
            if index not in self.problem.constants:
                raise KernelError(f"packed names input {index}, which is no constant")
            given[index] = None
        size = getattr(prepared, "workspace", 0)
        space: Any = None
        if size and self.on_host:
            guard = Guarded((size,), np.uint8)
            guard.fill(garbage(np.dtype(np.uint8), self.seed))
            self.guards[workspace] = guard
            space = guard.array
        elif size:
            block = DeviceGuarded(self.runtime, (size,), np.uint8)
            block.fill(garbage(np.dtype(np.uint8), self.seed))
            self.guards[workspace] = block
            space = block.array
        return prepared.bind(given, outputs, space)

    # Results.

    def _logical(self, index: int, result: Any) -> Any:
        type_ = self.problem.outputs[index]
        if (
            not isinstance(result, np.ndarray)
            or not isinstance(type_, TensorType)
            or type_.layout.name == "plain"
        ):
            return result
        assert type_.static_shape is not None
        plain = from_layout(result, type_.layout, type_.static_shape)
        if type_.layout.block > 1 and not _same(to_layout(plain, type_.layout), result):
            self.violations.append(f"output {index}: the padding of layout {type_.layout} is not zero")
        return plain


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and a.dtype != object:
        return a.shape == b.shape and np.array_equal(_bytes(a), _bytes(b))
    if isinstance(a, np.ndarray):
        return bool(a.tolist() == b.tolist())
    if isinstance(a, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b))
    return True


def _bytes(array: Array) -> Array:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8)


def format_of(case: Case) -> Format:
    """The format that a case names."""
    return Format(case.inputs_layout, case.outputs_layout)
