"""IO binding: inputs read from, and outputs written to, memory of the caller's, without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from orpheus_core.device_array import DeviceArray
from orpheus_core.errors import InputError, UsageError
from orpheus_core.plan.context import Context
from orpheus_core.plan.executable import Ready
from orpheus_core.plan.operands import Operand, Storage
from orpheus_core.selection.invoke import alignment_of
from orpheus_core.session.feeds import as_array, check_value
from orpheus_core.types import CPU, Device, TensorType

if TYPE_CHECKING:
    from orpheus_core.session.session import InferenceSession


@dataclass(frozen=True)
class _Bound:
    """A context of what is bound now, and the names of what it uses as it lies.

    ``wanted`` are the outputs to give, by name: their place in the model, and where they go to. ``keep``: the places of
    those that stay on a device, but in no memory of the caller's.
    """

    ready: Ready
    context: Context
    inputs: frozenset[str]
    outputs: frozenset[str]
    wanted: Mapping[str, tuple[int, Any]]
    keep: Mapping[int, Device]


class IOBinding:
    """What to read and where to write, kept from run to run. Not for several threads at once.

    A bound array, on the host or on a device of the session's, is used in place when it is C-contiguous, its shape was
    fixed by the plan, and, for an output, no other bound array shares its memory; otherwise it is copied from or to,
    which :meth:`in_place` tells.
    """

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._bound: _Bound | None = None
        self._results: dict[str, Any] = {}

    def bind_input(self, name: str, value: Any) -> None:
        """Read input ``name`` from ``value``: a numpy array or anything with ``__dlpack__``. It is read at each run."""
        values = {v.name: v for v in self._session.input_values}
        if name not in values:
            raise InputError(f"the model has no input {name!r}; it has {', '.join(map(repr, values))}")
        if isinstance(values[name].type, TensorType):
            value = as_array(name, value, self._session.devices.borrow)
        check_value(name, values[name].type, value, {}, self._session.devices.borrow)
        if not _is_same(self._inputs.get(name), value):
            self._bound = None
        self._inputs[name] = value

    def bind_output(self, name: str, value: Any = None, *, device: Union[str, Device, None] = None) -> None:
        """Write output ``name`` into ``value`` (array or DLPack object, of the output's type).

        None allocates at each run, on ``device`` ("cuda:0") if that is given, else on the host.
        """
        names = [v.name for v in self._session.output_values]
        if name not in names:
            raise InputError(f"the model has no output {name!r}; it has {', '.join(map(repr, names))}")
        if value is not None and device is not None:
            raise UsageError(f"output {name!r}: give a tensor to write to, or device=, not both")
        place = None if device is None else self._session.devices.named(device)
        array = None if value is None else as_array(name, value, self._session.devices.borrow)
        if array is not None and (
            array.read_only if isinstance(array, DeviceArray) else not array.flags.writeable
        ):
            raise InputError(f"output {name!r} is bound to an array that cannot be written to")
        self._outputs[name], self._bound = array if place in (None, CPU) else place, None

    def clear_binding_inputs(self) -> None:
        """Forget all inputs."""
        self._inputs, self._bound = {}, None

    def clear_binding_outputs(self) -> None:
        """Forget all outputs."""
        self._outputs, self._bound = {}, None

    def in_place(self) -> frozenset[str]:
        """Names of bound inputs and outputs that the last run used without a copy."""
        return self._bound.inputs | self._bound.outputs if self._bound is not None else frozenset()

    def get_outputs(self) -> list[Any]:
        """Outputs of the last run, in the order they were bound; all outputs when none was."""
        if not self._results:
            raise UsageError("no run has been made with this binding yet")
        found = self._results.values()
        return [v.source if isinstance(v, DeviceArray) and v.source is not None else v for v in found]

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The same, as numpy arrays."""
        self.get_outputs()
        return [v.numpy() if isinstance(v, DeviceArray) else v for v in self._results.values()]

    def run(self) -> None:
        """What ``InferenceSession.run_with_iobinding`` does."""
        inputs = self._session.ordered(self._inputs)
        ready = self._session.executable.ready(inputs)
        try:
            self._run(ready, inputs)
        except MemoryError as error:
            raise ready.out_of_memory(error) from None

    def _run(self, ready: Ready, inputs: list[Any]) -> None:
        bound = self._bound
        if bound is None or bound.ready is not ready:
            bound = self._bound = self._bind(ready)
        context, homed, keep = bound.context, bound.outputs, bound.keep
        for name in homed:
            array = bound.wanted[name][1]
            if isinstance(array, DeviceArray):
                array.follow(context.frame.runtimes[array.device])  # which may still read it
        with ready.lock, np.errstate(all="ignore"):
            context.run(inputs, keep)
        taken = None
        for name, (position, array) in bound.wanted.items():
            if name in homed:
                self._results[name] = array
                continue
            taken = context.take_outputs(inputs, keep) if taken is None else taken
            got = taken[position]
            if isinstance(array, (np.ndarray, DeviceArray)):
                _fits(name, array, got)
                _store(array, got, context)
                got = array
            self._results[name] = got

    def _bind(self, ready: Ready) -> _Bound:
        """A context that uses inputs and outputs as they lie where it may."""
        plan = ready.plan
        homes: dict[Operand, Any] = {}
        taken: set[Operand] = set()
        inputs: set[str] = set()
        outputs: set[str] = set()
        operands = [*zip(self._session.input_values, plan.program.inputs, [True] * len(plan.program.inputs))]
        operands += [
            *zip(self._session.output_values, plan.program.outputs, [False] * len(plan.program.outputs))
        ]
        for value, operand, is_input in operands:
            array = (self._inputs if is_input else self._outputs).get(value.name)
            if array is None or isinstance(array, Device) or operand.storage is not Storage.ARENA:
                continue
            if not is_input:
                type_ = operand.type
                assert isinstance(type_, TensorType)
                one = np.empty((), type_.dtype.numpy)
                _fits(value.name, array, np.broadcast_to(one, type_.static_shape or ()))
            home = operand
            if isinstance(array, DeviceArray):
                find = plan.transfers.alone if is_input else plan.transfers.origin
                there = find(operand, array.device)
                if there is None or there.storage is not Storage.ARENA:
                    continue
                home = there
            owner, offset = home.root()
            fits = offset == 0 and owner.nbytes == home.nbytes and owner not in taken
            if not is_input and any(_overlap(array, other) for other in homes.values()):
                fits = False  # it would be written while the other is still read
            if fits and _lies_well(array, home):
                homes[home] = array
                taken.add(owner)
                (inputs if is_input else outputs).add(value.name)
        asked = self._outputs or dict.fromkeys(v.name for v in self._session.output_values)
        position = {v.name: i for i, v in enumerate(self._session.output_values)}
        wanted = {name: (position[name], array) for name, array in asked.items()}
        keep = {at: d for n, (at, v) in wanted.items() if n not in outputs and (d := _device(v)) is not None}
        return _Bound(ready, Context(plan, homes), frozenset(inputs), frozenset(outputs), wanted, keep)


def _lies_well(array: Any, home: Operand) -> bool:
    """Whether kernels may read or write it as it lies."""
    type_ = home.type
    assert isinstance(type_, TensorType)
    if isinstance(array, DeviceArray):
        return array.nbytes > 0 and array.pointer % alignment_of(array.runtime) == 0
    aligned = array.ctypes.data % max(array.dtype.alignment, 1) == 0 and array.dtype.isnative
    return bool(aligned and array.flags.c_contiguous and type_.device == CPU and array.size)


def _overlap(a: Any, b: Any) -> bool:
    if isinstance(a, DeviceArray):
        return a.overlaps(b)
    return not isinstance(b, DeviceArray) and bool(np.may_share_memory(a, b))


def _is_same(old: Any, new: Any) -> bool:
    """Whether a context that reads the one reads the other."""
    if isinstance(old, DeviceArray) and isinstance(new, DeviceArray):
        return old.pointer == new.pointer and (old.shape, old.dtype, old.device) == (
            new.shape, new.dtype, new.device)  # fmt: skip
    return old is new


def _device(bound: Any) -> Device | None:
    """Where an output is to stay, None for the host."""
    if isinstance(bound, DeviceArray):
        return bound.device
    return bound if isinstance(bound, Device) else None


def _store(target: Any, got: Any, context: Context) -> None:
    if not isinstance(target, DeviceArray):
        np.copyto(target, got)
        return
    runtime = context.frame.runtimes[target.device]
    target.follow(runtime)
    target.view(runtime)[...] = got.view(runtime)
    runtime.synchronize()


def _fits(name: str, array: Any, got: Any) -> None:
    if not isinstance(got, (np.ndarray, DeviceArray)) or array.shape != got.shape or array.dtype != got.dtype:
        is_tensor = isinstance(got, (np.ndarray, DeviceArray))
        found = f"{got.dtype}{list(got.shape)}" if is_tensor else type(got).__name__
        raise InputError(
            f"output {name!r} is bound to an array of {array.dtype}{list(array.shape)}, the model gives {found}"
        )
