"""IO binding: inputs read from, and outputs written to, memory of the caller's, without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orpheus_core.errors import InputError, UsageError
from orpheus_core.plan.context import Context
from orpheus_core.plan.executable import Ready
from orpheus_core.plan.operands import Operand, Storage
from orpheus_core.session.feeds import as_array, check_value
from orpheus_core.types import CPU, TensorType

if TYPE_CHECKING:
    from orpheus_core.session.session import InferenceSession


class IOBinding:
    """What to read and where to write, kept from run to run. Not for several threads at once.

    A bound array is used in place when it is C-contiguous, its shape was fixed by the plan, and, for an output, no
    other bound array shares its memory; otherwise it is copied from or to, which :meth:`in_place` tells.
    """

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._context: tuple[Ready, Context, frozenset[str]] | None = None
        self._results: dict[str, Any] = {}

    def bind_input(self, name: str, value: Any) -> None:
        """Read input ``name`` from ``value``: a numpy array or anything with ``__dlpack__``. It is read at each run."""
        values = {v.name: v for v in self._session.input_values}
        if name not in values:
            raise InputError(f"the model has no input {name!r}; it has {', '.join(map(repr, values))}")
        if isinstance(values[name].type, TensorType):
            value = as_array(name, value)
        check_value(name, values[name].type, value, {})
        if self._inputs.get(name) is not value:
            self._inputs[name], self._context = value, None

    def bind_output(self, name: str, value: Any = None) -> None:
        """Write output ``name`` into ``value`` (array or DLPack object, of the output's type); None: allocate."""
        names = [v.name for v in self._session.output_values]
        if name not in names:
            raise InputError(f"the model has no output {name!r}; it has {', '.join(map(repr, names))}")
        array = None if value is None else as_array(name, value)
        if array is not None and not array.flags.writeable:
            raise InputError(f"output {name!r} is bound to an array that cannot be written to")
        self._outputs[name], self._context = array, None

    def clear_binding_inputs(self) -> None:
        """Forget all inputs."""
        self._inputs, self._context = {}, None

    def clear_binding_outputs(self) -> None:
        """Forget all outputs."""
        self._outputs, self._context = {}, None

    def in_place(self) -> frozenset[str]:
        """Names of bound inputs and outputs that the last run used without a copy."""
        return self._context[2] if self._context is not None else frozenset()

    def get_outputs(self) -> list[Any]:
        """Outputs of the last run, in the order they were bound; all outputs when none was."""
        if not self._results:
            raise UsageError("no run has been made with this binding yet")
        return list(self._results.values())

    copy_outputs_to_cpu = get_outputs

    def run(self) -> None:
        """What ``InferenceSession.run_with_iobinding`` does."""
        inputs = self._session.ordered(self._inputs)
        ready = self._session.executable.ready(inputs)
        try:
            self._run(ready, inputs)
        except MemoryError as error:
            raise ready.out_of_memory(error) from None

    def _run(self, ready: Ready, inputs: list[Any]) -> None:
        if self._context is None or self._context[0] is not ready:
            self._context = (ready, *self._bind(ready))
        context = self._context[1]
        with ready.lock, np.errstate(all="ignore"):
            context.run(inputs)
        wanted = self._outputs or dict.fromkeys(v.name for v in self._session.output_values)
        position = {v.name: i for i, v in enumerate(self._session.output_values)}
        taken = None
        for name, array in wanted.items():
            if array is not None and name in self._context[2]:
                self._results[name] = array
                continue
            taken = context.take_outputs(inputs) if taken is None else taken
            got = taken[position[name]]
            if array is not None:
                _fits(name, array, got)
                np.copyto(array, got)
            self._results[name] = got if array is None else array

    def _bind(self, ready: Ready) -> tuple[Context, frozenset[str]]:
        plan = ready.plan
        homes: dict[Operand, Any] = {}
        taken: set[Operand] = set()
        names: set[str] = set()
        operands = [*zip(self._session.input_values, plan.program.inputs, [True] * len(plan.program.inputs))]
        operands += [
            *zip(self._session.output_values, plan.program.outputs, [False] * len(plan.program.outputs))
        ]
        for value, operand, is_input in operands:
            array = (self._inputs if is_input else self._outputs).get(value.name)
            if array is None or operand.storage is not Storage.ARENA:
                continue
            owner, offset = operand.root()
            type_ = operand.type
            assert isinstance(type_, TensorType)
            if not is_input:
                one = np.empty((), type_.dtype.numpy)
                _fits(value.name, array, np.broadcast_to(one, type_.static_shape or ()))
            fits = offset == 0 and owner.nbytes == operand.nbytes and owner not in taken
            if not is_input and any(np.may_share_memory(array, other) for other in homes.values()):
                fits = False  # it would be written while the other is still read
            aligned = array.ctypes.data % max(array.dtype.alignment, 1) == 0 and array.dtype.isnative
            if fits and aligned and array.flags.c_contiguous and type_.device == CPU and array.size:
                homes[operand] = array
                taken.add(owner)
                names.add(value.name)
        return Context(plan, homes), frozenset(names)


def _fits(name: str, array: Any, got: Any) -> None:
    if not isinstance(got, np.ndarray) or array.shape != got.shape or array.dtype != got.dtype:
        found = f"{got.dtype}{list(got.shape)}" if isinstance(got, np.ndarray) else type(got).__name__
        raise InputError(
            f"output {name!r} is bound to an array of {array.dtype}{list(array.shape)}, the model gives {found}"
        )
