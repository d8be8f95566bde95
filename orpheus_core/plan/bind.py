"""Binding: an operation and a context's memory become a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from orpheus_core.device_array import DeviceArray
from orpheus_core.errors import KernelError
from orpheus_core.plan.operands import Kind, Operand, Operation, Storage
from orpheus_core.plugin import Prepared, Runtime, Step
from orpheus_core.selection.invoke import bind_run, keywords, load, store
from orpheus_core.selection.reorder import convert
from orpheus_core.types import CPU, Device, TensorType


@dataclass(frozen=True)
class Frame:
    """The memory of one context.

    ``slots`` holds every operand, fixed ones for good, at its place in ``index``; ``arenas`` the block of each
    device and ``runtimes`` who manages it. ``at_home`` are operands that lie in memory of the caller's; ``fed`` are
    the inputs of a run that lie on a device, ``wanted`` the results that are to stay on theirs (True: and to go to the
    host), ``kept`` those that did.
    """

    slots: list[Any]
    index: Mapping[Operand, int]
    arenas: Mapping[Device, Any]
    runtimes: Mapping[Device, Runtime]
    at_home: frozenset[Operand] = frozenset()
    fed: dict[Operand, DeviceArray] = field(default_factory=dict)
    wanted: dict[Operand, bool] = field(default_factory=dict)
    kept: dict[Operand, DeviceArray] = field(default_factory=dict)


def bind_operation(operation: Operation, frame: Frame, graphs: Mapping[str, Callable[..., Any]]) -> Step:
    """The step of one operation; ``graphs`` are its subgraphs as callables, by attribute name."""
    if operation.kind is Kind.KERNEL:
        return _bind_kernel(operation, frame, graphs)
    (source,), (target,) = operation.inputs, operation.outputs
    assert source is not None and target is not None
    if operation.kind is Kind.REORDER:
        return _bind_reorder(source, target, frame)
    return _bind_move(source, target, frame)


def _bind_kernel(operation: Operation, frame: Frame, graphs: Mapping[str, Callable[..., Any]]) -> Step:
    slots, index = frame.slots, frame.index
    candidate, problem = operation.candidate, operation.problem
    assert candidate is not None and problem is not None
    if operation.late is not None:
        late, runtime = operation.late, frame.runtimes[candidate.backend.device]
        return _bind_dynamic(operation, frame, lambda *inputs: late(inputs, runtime), {})
    if candidate.kernel.prepare is not None:
        prepared: Prepared = operation.prepared  # type: ignore[assignment]
        packed = frozenset(getattr(prepared, "packed", ()))
        inputs = [
            None if o is None or i in packed else slots[index[o]] for i, o in enumerate(operation.inputs)
        ]
        outputs = [None if o is None else slots[index[o]] for o in operation.outputs]
        space = None if operation.workspace is None else slots[index[operation.workspace]]
        try:
            return prepared.bind(inputs, outputs, space)
        except Exception as error:
            raise KernelError(
                f"kernel {candidate.id}: bind failed: {type(error).__name__}: {error}"
            ) from error
    function = load(candidate)
    words = keywords(candidate, problem, dict(graphs))
    operands = (*operation.reads, *operation.writes)
    writes_out = candidate.kernel.writes_out
    if not any(o.storage is Storage.SLOT for o in operands):
        inputs = [None if o is None else slots[index[o]] for o in operation.inputs]
        outputs = [None if o is None else slots[index[o]] for o in operation.outputs]
        return bind_run(function, inputs, outputs, words, writes_out=writes_out)
    if writes_out:
        fixed = [o if o is not None and o.storage is Storage.ARENA else None for o in operation.outputs]
        words["out"] = tuple(None if o is None else slots[index[o]] for o in fixed)
    return _bind_dynamic(operation, frame, function, words)


def _bind_dynamic(
    operation: Operation, frame: Frame, function: Callable[..., Any], words: dict[str, Any]
) -> Step:
    """A step some of whose operands are made anew in each run."""
    slots, index, arena = frame.slots, frame.index, frame.arenas.get(CPU)
    fetch = _fetcher([None if o is None else index[o] for o in operation.inputs], slots)
    targets = [
        None if o is None else (index[o], o.storage is Storage.ARENA, _dtype_of(o)) for o in operation.outputs
    ]
    dead = tuple(operation.dead_slots)

    def step() -> None:
        result = function(*fetch(), **words)
        results = result if type(result) is tuple else (result,)
        if len(results) < len(targets):
            raise ValueError(f"returned {len(results)} outputs, the node has {len(targets)}")
        for target, got in zip(targets, results):
            if target is None:
                continue
            slot, fixed, dtype = target
            if not fixed:
                slots[slot] = own(got, dtype, arena)
            elif got is not slots[slot]:
                store(slots[slot], got)
        for slot in dead:
            slots[slot] = None

    return step


def _dtype_of(operand: Operand) -> np.dtype[Any] | None:
    """The element type a dynamic result must have, where it is known."""
    type_ = operand.type
    return type_.dtype.numpy if isinstance(type_, TensorType) else None


def own(value: Any, dtype: np.dtype[Any] | None, arena: Any) -> Any:
    """A result that will outlive this step: tensors as arrays, none of it inside the arena, which is used again."""
    if isinstance(value, np.ndarray) or (dtype is not None and value is not None and np.isscalar(value)):
        if not isinstance(value, np.ndarray):
            value = np.asarray(value, dtype)
        if (
            dtype is not None
            and value.dtype != dtype
            and not (dtype.kind == "O" and value.dtype.kind in "UST")
        ):
            raise ValueError(f"returned element type {value.dtype}, planned {dtype}")
        if arena is not None and value.base is not None and np.may_share_memory(value, arena):
            return value.copy()
        return value
    if isinstance(value, list):
        return [own(v, None, arena) for v in value]
    if isinstance(value, dict):
        return {k: own(v, None, arena) for k, v in value.items()}
    return value


def _fetcher(places: Sequence[int | None], slots: list[Any]) -> Callable[[], tuple[Any, ...]]:
    """A function that reads ``slots`` at ``places``; None stays None."""
    if any(p is None for p in places) or not places:
        return lambda: tuple(None if p is None else slots[p] for p in places)
    if len(places) == 1:
        only = places[0]
        return lambda: (slots[only],)  # type: ignore[index]
    get = itemgetter(*places)
    return lambda: get(slots)


def _bind_reorder(source: Operand, target: Operand, frame: Frame) -> Step:
    slots, index = frame.slots, frame.index
    kind, goal = source.type, target.type
    assert isinstance(kind, TensorType) and isinstance(goal, TensorType) and kind.static_shape is not None
    shape = kind.static_shape
    a, b = slots[index[source]], slots[index[target]]
    return lambda: convert(a, kind.layout, b, goal.layout, shape)


def _bind_move(source: Operand, target: Operand, frame: Frame) -> Step:
    slots, index = frame.slots, frame.index
    kind, goal = source.type, target.type
    assert isinstance(kind, TensorType) and isinstance(goal, TensorType)
    a, b = index[source], index[target]
    to_host = goal.device == CPU
    device = kind.device if to_host else goal.device
    runtime = frame.runtimes[device]
    if (source if to_host else target) in frame.at_home:
        return lambda: None
    fixed = target.storage is Storage.ARENA
    fed, wanted, origin = frame.fed, frame.wanted, source.root()[0]

    def download() -> None:
        left = slots[a]
        if target in wanted:
            frame.kept[target] = _left_there(left, kind, runtime)
            if not wanted[target]:
                return
        if not fixed:
            slots[b] = np.empty(left.shape, kind.dtype.numpy)
        runtime.download(left, slots[b])

    def upload() -> None:
        left = slots[a]
        if not fixed:
            slots[b] = runtime.empty(left.shape, kind.dtype.numpy)
        given = fed.get(origin)
        if given is not None and given.device == device:
            slots[b][...] = given.view(runtime, left.shape)
        else:
            runtime.upload(left, slots[b])

    return download if to_host else upload


def _left_there(value: Any, type_: TensorType, runtime: Any) -> DeviceArray:
    """A copy on its device, begun in the stream of the run, which ends before the run does."""
    dtype = type_.dtype.numpy
    block = runtime.shared(int(np.prod(value.shape, dtype=np.int64)) * dtype.itemsize)
    made = DeviceArray(tuple(value.shape), dtype, type_.device, block, runtime)
    made.view(runtime)[...] = value
    return made
