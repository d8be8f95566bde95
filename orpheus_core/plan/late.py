"""Kernels of the full form on shapes that are known only during a run: prepared per shape, kept, bound at each call."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from threading import Lock
from typing import Any, TypeAlias

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer import infer_types
from orpheus_core.plugin import Prepared, Problem, Runtime
from orpheus_core.selection.candidates import Candidate, in_format
from orpheus_core.selection.invoke import keywords, load, prepare, workspace_of
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.selector import choices_for
from orpheus_core.types import CPU, DType, TensorType

_log = logging.getLogger("orpheus")
_Run: TypeAlias = Callable[[Sequence[Any], Runtime], tuple[Any, ...]]
#: Shapes kept per layer; the one first met goes first.
MAX_SHAPES = 16


class LateDispatch:
    """One layer whose shapes are open: chooses and prepares a kernel for each set of shapes it meets."""

    def __init__(self, node: Node, promised: Candidate, options: SelectionOptions) -> None:
        self.node = node
        self.promised = promised
        self.options = options
        #: The kernel of the latest call.
        self.latest = promised.id
        self._known: OrderedDict[Any, tuple[str, _Run]] = OrderedDict()

    def __call__(self, inputs: Sequence[Any], runtime: Runtime) -> tuple[Any, ...]:
        """The outputs, newly allocated by ``runtime``: the stream in which the inputs were computed."""
        key = tuple(None if a is None else a.shape for a in inputs)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._specialise(inputs)
            while len(self._known) > MAX_SHAPES:
                self._known.popitem(last=False)
        self.latest, run = found
        return run(inputs, runtime)

    def _specialise(self, inputs: Sequence[Any]) -> tuple[str, _Run]:
        node = self._typed(inputs)
        device = self.promised.backend.device
        choices = choices_for(node, self.options)
        fits = [
            s
            for s in choices.scored
            if s.candidate.backend.device == device and not s.candidate.late and s.candidate.format.is_plain
        ]
        if not fits:
            reasons = "; ".join(map(str, choices.refusals)) or "no kernel accepts these shapes"
            shapes = [None if a is None else list(a.shape) for a in inputs]
            raise KernelError(f"no kernel runs it at shapes {shapes}: {reasons}")
        chosen = min(fits, key=lambda s: (s.seconds, s.candidate.label)).candidate
        if chosen.backend.name != self.promised.backend.name:
            told = logging.WARNING if self.options.fallback == "warn" else logging.INFO
            _log.log(told, "%s at run time: %s instead of %s", node.op_id, chosen.id, self.promised.id)
        problem = in_format(choices.problem, chosen)
        if chosen.kernel.run is not None:
            return chosen.id, _short_form(chosen, problem, len(node.outputs))
        return chosen.id, _full_form(chosen, problem, prepare(chosen, problem))

    def _typed(self, inputs: Sequence[Any]) -> Node:
        """The node on fresh values that have the shapes of this call."""
        values: list[Value | None] = []
        for value, array in zip(self.node.inputs, inputs):
            if value is None or value.const is not None:
                values.append(value)
                continue
            dtype = value.type.dtype if isinstance(value.type, TensorType) else DType.from_numpy(array.dtype)
            values.append(Value(value.name, TensorType(dtype, tuple(array.shape))))
        outputs = tuple(None if v is None else Value(v.name) for v in self.node.outputs)
        node = self.node.replace(inputs=tuple(values), outputs=outputs)
        given = tuple(v for v in values if v is not None and v.const is None)
        infer_types(Graph(given, tuple(v for v in outputs if v is not None), (node,)))
        return node


def _short_form(chosen: Candidate, problem: Problem, count: int) -> _Run:
    function, words = load(chosen), keywords(chosen, problem)
    if chosen.kernel.writes_out:
        words["out"] = (None,) * count

    def run(inputs: Sequence[Any], runtime: Runtime) -> tuple[Any, ...]:
        result = function(*inputs, **words)
        return result if type(result) is tuple else (result,)

    return run


def _full_form(chosen: Candidate, problem: Problem, prepared: Prepared) -> _Run:
    packed = frozenset(getattr(prepared, "packed", ()))
    types = problem.outputs
    lock = nullcontext() if chosen.kernel.overlap else Lock()

    def run(inputs: Sequence[Any], runtime: Runtime) -> tuple[Any, ...]:
        outputs = []
        for type_ in types:
            assert type_ is None or (isinstance(type_, TensorType) and type_.static_shape is not None)
            outputs.append(
                None if type_ is None else runtime.empty(type_.static_shape or (), type_.dtype.numpy)
            )
        given = [
            None
            if i in packed
            else np.ascontiguousarray(a)
            if chosen.backend.device == CPU and np.ndim(a)  # which would give a scalar an axis
            else a
            for i, a in enumerate(inputs)
        ]
        with lock:
            prepared.bind(given, outputs, workspace_of(runtime, prepared))()
        return tuple(outputs)

    return run
