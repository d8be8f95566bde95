"""A context: memory of its own and a flat list of steps bound to it. One run at a time uses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import length_hint
from typing import TYPE_CHECKING, Any

import numpy as np

from orpheus_core.device_array import DeviceArray
from orpheus_core.errors import DeviceError, InputError, KernelError, OrpheusError
from orpheus_core.plan.bind import Frame, bind_operation
from orpheus_core.plan.operands import Kind, Operand, Operation, Storage
from orpheus_core.plan.subgraph import callable_of
from orpheus_core.plan.transfers import device_of, is_whole
from orpheus_core.plugin import Runtime, Step, resolve
from orpheus_core.selection.invoke import stream_of
from orpheus_core.types import CPU, Device, TensorType

if TYPE_CHECKING:
    from orpheus_core.plan.plan import Plan


#: No outputs that are to stay on a device.
NOTHING: Mapping[int, Device] = {}


@dataclass(frozen=True)
class StepTime:
    """One step of a profiled run: the operation, when it began and how long it took, in seconds.

    ``device_seconds``: how long its device worked on it, None where it is the host's or cannot tell.
    """

    operation: Operation
    start: float
    seconds: float
    device_seconds: float | None = None


class Context:
    """Arrays of every operand, and steps that read and write them.

    ``homes`` puts operands into memory of the caller's (io binding): operand to array, a DeviceArray where the operand
    is a device's.
    """

    def __init__(self, plan: Plan, homes: Mapping[Operand, Any] | None = None) -> None:
        self.plan = plan
        self.frame = _frame(plan, homes or {})
        self.slots = self.frame.slots
        index = self.frame.index
        self.inputs = tuple(index[o] for o in plan.program.inputs)
        self.fixed_inputs = tuple(o.storage is Storage.ARENA for o in plan.program.inputs)
        self.outputs = tuple(index[o] for o in plan.program.outputs)
        self.operations = plan.program.operations
        self.single_steps = [self._bind(op) for op in self.operations]
        self.steps, self.spans = _seal(self.operations, self.single_steps)
        self._synchronize = tuple(r.synchronize for d, r in self.frame.runtimes.items() if d != CPU)
        self._volatile = tuple(index[o] for o in plan.operands if o.storage is Storage.SLOT)

    def _bind(self, operation: Operation) -> Step:
        graphs: dict[str, Callable[..., Any]] = {}
        executables = self.plan.executables.get(operation, {})
        for name, (executable, captures) in executables.items():
            graphs[name] = callable_of(executable, self.slots, [self.frame.index[o] for o in captures])
        try:
            return bind_operation(operation, self.frame, graphs)
        except OrpheusError as error:
            raise KernelError(f"{place(operation)}: {error}") from error

    def run(self, inputs: Sequence[Any], keep: Mapping[int, Device] = NOTHING) -> None:
        """Take the inputs in and do every step; outputs are then in their slots, those of ``keep`` on their devices."""
        self.take(inputs, keep)
        self.compute()

    def take(self, inputs: Sequence[Any], keep: Mapping[int, Device] = NOTHING) -> None:
        """Put the inputs where the steps read them, and note which outputs are to stay on devices."""
        slots, frame = self.slots, self.frame
        if frame.fed:
            frame.fed.clear()
        if keep or frame.wanted:
            self._keep(keep)
        for slot, fixed, value in zip(self.inputs, self.fixed_inputs, inputs):
            if not fixed:
                slots[slot] = value
            elif type(value) is DeviceArray:
                self._take_there(slot, value)
            elif value is not slots[slot]:
                np.copyto(slots[slot], value)

    def _take_there(self, slot: int, value: DeviceArray) -> None:
        """An input that lies on a device: for the moves to read, and for the host where others read it."""
        operand, runtime = self.plan.operands[slot], self.frame.runtimes[value.device]
        value.follow(runtime)
        self.frame.fed[operand] = value
        if not self.plan.transfers.uploads[operand].only_to(value.device):
            runtime.download(value.view(runtime), self.slots[slot])

    def _keep(self, keep: Mapping[int, Device]) -> None:
        frame, transfers = self.frame, self.plan.transfers
        frame.wanted.clear()
        frame.kept.clear()
        outputs = self.plan.program.outputs
        for position, device in keep.items():
            owner = outputs[position].root()[0]
            found = transfers.downloads.get(owner)
            if (
                found is not None
                and device_of(found.move.inputs[0]) == device
                and is_whole(outputs[position])
            ):
                others = (o for i, o in enumerate(outputs) if keep.get(i) != device)
                frame.wanted[owner] = found.on_host or any(o.root()[0] is owner for o in others)

    def compute(self) -> None:
        """Do every step on the inputs that are in place."""
        # An iterator tells how far the loop came when a step raises, at no cost while none does.
        progress = iter(self.steps)
        try:
            for step in progress:
                step()
            for synchronize in self._synchronize:
                synchronize()
        except MemoryError:
            raise  # which the executable tells as what it is
        except Exception as error:
            position = len(self.steps) - length_hint(progress) - 1
            raise self._failure(position, error) from error

    def synchronize(self) -> None:
        """Return when everything that this context began on a device has ended."""
        for synchronize in self._synchronize:
            synchronize()

    def profile(self) -> list[StepTime]:
        """Do every step alone, timed. Sealed segments run unsealed, devices are waited for after each step."""
        times = []
        for operation, step in zip(self.operations, self.single_steps):
            meter, on_device = self._meter(operation), None
            start = time.perf_counter()
            try:
                if meter is None:
                    step()
                else:
                    on_device = meter(step)
                self.synchronize()
            except MemoryError:
                raise
            except Exception as error:
                raise self._failure_of([operation], error) from error
            times.append(StepTime(operation, start, time.perf_counter() - start, on_device))
        return times

    def _meter(self, operation: Operation) -> Callable[[Step], float] | None:
        """What times a step of a device kernel on the device; None on the host, and where the device has no clock."""
        if operation.candidate is None or operation.late is not None:
            return None
        return getattr(self.frame.runtimes[operation.candidate.backend.device], "seconds", None)

    def take_outputs(self, inputs: Sequence[Any] = (), keep: Mapping[int, Device] = NOTHING) -> list[Any]:
        """The outputs as objects that stay valid when the context runs again; those of ``keep`` on their devices.

        Arrays share nothing with ``inputs`` nor with each other; elements of sequences may.
        """
        given = {id(v) for v in inputs}
        kept: list[Any] = []
        shown: set[Operand] = set()
        for position, (slot, operand) in enumerate(zip(self.outputs, self.plan.program.outputs)):
            if position in keep:
                kept.append(self._left_there(slot, operand, keep[position], shown))
                continue
            kept.append(_keep(self.slots[slot], operand, given))
            given.add(id(kept[-1]))
        return kept

    def _left_there(self, slot: int, operand: Operand, device: Device, shown: set[Operand]) -> Any:
        """An output that stayed on its device, or is brought there because it was computed elsewhere."""
        runtime: Any = self.plan.runtimes[device]  # which nobody else's run is under way in
        owner, type_ = operand.root()[0], operand.type
        there = self.frame.kept.get(owner)
        if there is not None:
            there = there.copied(runtime) if owner in shown else there  # it is listed twice
            shown.add(owner)
            shape = type_.static_shape if isinstance(type_, TensorType) else None
            return replace(there, shape=there.shape if shape is None else shape, runtime=runtime)
        value = self.slots[slot]
        if not isinstance(value, np.ndarray) or value.dtype == object:
            found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise InputError(
                f"output {operand.name!r} is {found}; only tensors of numbers can be left on {device}"
            )
        made = DeviceArray(value.shape, value.dtype, device, runtime.shared(value.nbytes), runtime)
        runtime.upload(value, made.view(runtime))
        runtime.synchronize()
        return made

    def release(self) -> None:
        """Let go of what the last run made, so that a resting context holds no large objects."""
        for slot in self._volatile:
            self.slots[slot] = None
        self.frame.fed.clear()
        self.frame.kept.clear()

    def _failure(self, position: int, error: Exception) -> OrpheusError:
        first, last = self.spans[max(position, 0)] if self.spans else (0, 0)
        return self._failure_of(self.operations[first:last], error)

    def _failure_of(self, operations: Sequence[Operation], error: Exception) -> OrpheusError:
        if isinstance(error, KernelError) and not isinstance(error, DeviceError):
            return error
        where = place(operations[0]) if operations else "plan"
        if len(operations) > 1:
            where = f"between {where} and {place(operations[-1])}"
        if isinstance(error, DeviceError):
            return type(error)(f"{where}: {error}")
        return KernelError(f"{where}: {type(error).__name__}: {error}")


def place(operation: Operation) -> str:
    """``node 'conv1' (Conv, numpy:Conv/im2col)``, for messages."""
    node = operation.node
    name = node.name or next((v.name for v in node.results), "")
    return f"node {name!r} ({node.op_id}, {operation.kernel_id})"


def _frame(plan: Plan, homes: Mapping[Operand, Any]) -> Frame:
    operands = plan.operands
    runtimes = {device: stream_of(runtime) for device, runtime in plan.runtimes.items()}
    arenas = {device: _arena(plan, device, runtimes) for device in plan.arenas}
    owned: dict[Operand, Any] = {}
    for operand, array in homes.items():
        there = isinstance(array, DeviceArray)
        owned[operand.root()[0]] = array.block if there else array.reshape(-1).view(np.uint8)
    slots: list[Any] = [None] * len(operands)
    for position, operand in enumerate(operands):
        if isinstance(homes.get(operand), np.ndarray):
            slots[position] = homes[operand]
        elif operand in plan.packed:
            continue
        elif operand.storage is Storage.CONSTANT:
            slots[position] = plan.constant(operand)
        elif operand.storage is Storage.ARENA:
            type_ = operand.type
            assert isinstance(type_, TensorType) and type_.static_shape is not None
            owner, offset = operand.root()
            block = owned.get(owner)
            if block is None:
                block, offset = arenas[type_.device], offset + plan.offsets[owner]
            shape = type_.layout.physical_shape(type_.static_shape)
            slots[position] = runtimes[type_.device].view(block, offset, shape, type_.dtype.numpy)
    return Frame(slots, plan.index, arenas, runtimes, frozenset(homes))


def _arena(plan: Plan, device: Device, runtimes: Mapping[Device, Runtime]) -> Any:
    """The block of one device. The host's is the devices' to choose where it only takes what is moved to and fro."""
    nbytes = plan.arenas[device].nbytes
    if device == CPU and not any(_is_on_host(o) for o in plan.program.operations):
        for runtime in runtimes.values():
            make = getattr(runtime, "host", None)
            if make is not None:
                return make(nbytes)
    return runtimes[device].arena(nbytes)


def _is_on_host(operation: Operation) -> bool:
    candidate = operation.candidate
    return operation.kind is Kind.REORDER or (candidate is not None and candidate.backend.device == CPU)


def _seal(operations: Sequence[Operation], steps: Sequence[Step]) -> tuple[list[Step], list[tuple[int, int]]]:
    """Steps with neighbours of one sealing backend joined, and the range of operations each step covers."""
    joined: list[Step] = []
    spans: list[tuple[int, int]] = []

    def owner(position: int) -> object:
        candidate = operations[position].candidate
        sealing = (
            candidate is not None
            and candidate.backend.seal
            and candidate.kernel.prepare
            and operations[position].late is None
        )
        return candidate.backend.name if candidate is not None and sealing else position

    for _, group in groupby(range(len(operations)), key=owner):
        members = list(group)
        first, last = members[0], members[-1] + 1
        candidate = operations[first].candidate
        if isinstance(owner(first), str) and candidate is not None and candidate.backend.seal:
            joined.append(
                resolve(candidate.backend.seal)(_chained(operations[first:last], steps[first:last]))
            )
        else:
            joined.append(steps[first])
        spans.append((first, last))
    return joined, spans


def _chained(operations: Sequence[Operation], steps: Sequence[Step]) -> list[Step]:
    """The steps, with those of each chain made one by its backend."""
    found: list[Step] = []
    for position, operation in enumerate(operations):
        chain = operation.chain
        if chain is None:
            found.append(steps[position])
        elif operation is chain.operations[0]:
            found.append(chain.join(steps[position : position + len(chain.operations)]))
    return found


def _keep(value: Any, operand: Operand, given: set[int]) -> Any:
    if isinstance(value, np.ndarray):
        own = operand.storage is Storage.SLOT and value.base is None and id(value) not in given
        return value if own else value.copy()
    if isinstance(value, list):
        return list(value)
    return value
