"""An executable: a graph with a plan for every input shape it has lately met."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np

from orpheus_core.device_array import DeviceArray
from orpheus_core.errors import LimitError
from orpheus_core.graph import Graph
from orpheus_core.importer import infer_types
from orpheus_core.plan.context import NOTHING, Context
from orpheus_core.plan.plan import Plan, make_plan
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.selector import select
from orpheus_core.types import Device, TensorType, ValueType, type_of_array

#: Plans kept per executable; the least recently used goes first.
MAX_PLANS = 16
Simplify: TypeAlias = Callable[[Graph], Graph]


class Ready:
    """A plan with the contexts that rest between runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.resting: list[Context] = []
        self.lock = threading.Lock() if plan.lock_needed else nullcontext()

    @contextmanager
    def context(self) -> Iterator[Context]:
        """A context that nobody else uses until the block ends. LimitError when memory ends before."""
        try:
            try:
                context = self.resting.pop()
            except IndexError:
                context = Context(self.plan)
            with self.lock:
                yield context
            context.release()
            self.resting.append(context)
        except MemoryError as error:
            raise self.out_of_memory(error) from None

    def out_of_memory(self, error: MemoryError) -> LimitError:
        """What a run that ended so is to raise."""
        needed = self.plan.arena_bytes / 2**20
        text = f"out of memory in a run, whose intermediate tensors take {needed:.0f} MiB: {error}"
        return LimitError(text.rstrip(": "))


class Executable:
    """Runs one graph. Safe to call from several threads at once.

    A graph whose input types leave something open is specialised to the shapes it meets: inferred, simplified and
    planned anew, and kept. Captured values of a subgraph follow its own inputs. ``is_checked`` says that callers check
    every input against the graph's types; otherwise (subgraphs, whose inputs kernels make) all are looked at.
    ``report`` is told of every plan that is made, those of subgraphs included.
    """

    def __init__(
        self,
        graph: Graph,
        options: SelectionOptions,
        simplify: Simplify,
        *,
        report: Callable[[Plan], None] = lambda plan: None,
        is_checked: bool = True,
    ) -> None:
        self.graph = graph.replace(inputs=(*graph.inputs, *graph.captures))
        self.options = options
        self.simplify = simplify
        self.report = report
        self._open = tuple(
            i for i, v in enumerate(self.graph.inputs) if not (is_checked and _is_settled(v.type))
        )
        self._plans: OrderedDict[Any, Ready] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def is_static(self) -> bool:
        """Whether one plan serves every call."""
        return not self._open

    def run(self, inputs: Sequence[Any], keep: Mapping[int, Device] = NOTHING) -> list[Any]:
        """Outputs for inputs (arrays, lists, None) in the order of the graph's inputs, captures last.

        ``keep``: positions of outputs that are to stay on a device, as :class:`DeviceArray`.
        Element types and ranks are the caller's duty; they were checked at the model's border. LimitError when there
        is not enough memory.
        """
        with np.errstate(all="ignore"), self.ready(inputs).context() as context:
            context.run(inputs, keep)
            return context.take_outputs(inputs, keep)

    def ready(self, inputs: Sequence[Any] = ()) -> Ready:
        """The plan for inputs of these shapes, made now if need be."""
        if not self._open:
            ready = self._plans.get(())
            if ready is not None:
                return ready
        key = tuple(_key(inputs[i]) for i in self._open)
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
            else:
                self._plans[key] = Ready(self._plan(inputs))
                while len(self._plans) > MAX_PLANS:
                    self._plans.popitem(last=False)
            return self._plans[key]

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans that are kept, the latest last."""
        with self._lock:
            return tuple(r.plan for r in self._plans.values())

    def _plan(self, inputs: Sequence[Any]) -> Plan:
        try:
            return self._planned(inputs)
        except MemoryError as error:
            raise LimitError(
                f"out of memory while kernels were chosen and placed: {error}".rstrip(": ")
            ) from None

    def _planned(self, inputs: Sequence[Any]) -> Plan:
        graph = self.graph
        if self._open:
            types = [_actual(v.type, x) for v, x in zip(graph.inputs, inputs)]
            if types != [v.type for v in graph.inputs]:
                graph = self.simplify(retype(graph, types))
        graph, selection = select(graph, self.options)
        plan = make_plan(graph, selection, self.options, self._compile)
        self.report(plan)
        return plan

    def _compile(self, graph: Graph) -> Executable:
        return Executable(graph, self.options, self.simplify, report=self.report, is_checked=False)


def retype(graph: Graph, types: Sequence[ValueType]) -> Graph:
    """A copy of the graph whose inputs have these types, all other types inferred anew."""
    copy, _ = graph.fresh()
    for value, type_ in zip(copy.inputs, types):
        value.type = type_
    return infer_types(copy)


def _is_settled(type_: ValueType) -> bool:
    return isinstance(type_, TensorType) and type_.is_static


def _actual(declared: ValueType, value: Any) -> ValueType:
    return type_of_array(value) if isinstance(value, (np.ndarray, DeviceArray)) else declared


def _key(value: Any) -> Any:
    return (value.shape, value.dtype) if isinstance(value, (np.ndarray, DeviceArray)) else type(value)
