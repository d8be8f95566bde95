"""InferenceSession: read, simplify, select, plan once; then run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Union

import numpy as np
import onnx

from orpheus_core import discovery
from orpheus_core.errors import InputError, UsageError
from orpheus_core.graph import Value
from orpheus_core.importer import Model, bind_shapes, infer_types, load
from orpheus_core.plan.context import NOTHING
from orpheus_core.plan.evaluate import KernelEvaluator
from orpheus_core.plan.executable import Executable
from orpheus_core.plan.plan import Plan
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.check import check_operators, check_pins
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.selector import select
from orpheus_core.session.binding import IOBinding
from orpheus_core.session.collection import paused_collection
from orpheus_core.session.devices import Devices
from orpheus_core.session.duties import PlanNotes, Simplifier
from orpheus_core.session.explanation import Explanation, PlanRow, plan_rows
from orpheus_core.session.feeds import check_feeds, signature
from orpheus_core.session.options import SessionOptions
from orpheus_core.session.profile import Profile, save_chrome_trace
from orpheus_core.session.providers import find_backends
from orpheus_core.session.threads import apply_threads, check_threads
from orpheus_core.types import CPU, Device, TensorType, ValueType

_ORT_NAMES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class NodeArg:
    """A graph input or output: its name, type as ONNX Runtime writes it, and shape (numbers, symbols, None)."""

    name: str
    type: str
    shape: list[Union[int, str, None]]


@dataclass(frozen=True)
class Stats:
    """Load time in seconds; bytes of weights as kernels hold them, of the arena, and the least any arena could have.

    Arena figures are those of the latest plan, 0 while there is none (input shapes open, nothing run yet).
    """

    load_seconds: float
    weight_bytes: int
    arena_bytes: int
    arena_lower_bound: int
    plans: int


class InferenceSession:
    """A model ready to run on the backends of one's choice. ``run`` may be called from several threads at once.

    ``providers`` names backends in order of preference; None takes every ready one. ``threads``: None means
    min(affinity, cgroup quota). Keyword settings override those of ``sess_options`` (see :class:`SessionOptions`).
    Raises typed errors (:mod:`orpheus_core.errors`): ModelError for the model, BackendError for a backend that
    was asked for and is not ready, UnsupportedModelError when an operator has no kernel anywhere, SelectionError
    for pins that cannot hold.
    """

    @paused_collection()
    def __init__(
        self,
        path_or_bytes: Union[str, os.PathLike[str], bytes, onnx.ModelProto, Model],
        sess_options: SessionOptions | None = None,
        providers: Sequence[Union[str, tuple[str, Any]]] | None = None,
        *,
        threads: int | None = None,
        pin: Mapping[str, str] | None = None,
        policy: str | None = None,
        fallback: str | None = None,
        memory: str | None = None,
        error_factor: float | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        enable_passes: Sequence[str] | None = None,
        disable_passes: Sequence[str] | None = None,
    ) -> None:
        start = time.perf_counter()
        settings = replace(sess_options) if sess_options is not None else SessionOptions()
        given: dict[str, Any] = {"pin": pin, "policy": policy, "fallback": fallback, "memory": memory,
                 "error_factor": error_factor, "shapes": shapes,
                 "enable_passes": enable_passes, "disable_passes": disable_passes}  # fmt: skip
        settings = replace(settings, **{k: v for k, v in given.items() if v is not None})
        self.settings = settings
        self.threads = check_threads(
            threads if threads is not None else settings.intra_op_num_threads or None
        )
        backends, named = find_backends(providers, settings.fallback)
        self.options = SelectionOptions(
            backends=backends,
            named=named,
            policy=settings.policy,  # type: ignore[arg-type]
            fallback=settings.fallback,  # type: ignore[arg-type]
            pins=dict(settings.pin),
            cache=None if settings.measurements == "" else MeasurementCache(settings.measurements),
            threads=self.threads,
            memory=settings.memory,  # type: ignore[arg-type]
            error_factor=settings.error_factor,
        )
        self.devices = Devices(backends)
        self._notes = PlanNotes(self.options)
        apply_threads(self._notes.settings)
        self.model = (
            path_or_bytes if isinstance(path_or_bytes, Model) else load(path_or_bytes, limits=settings.limits)
        )
        names = {None, *(b.name for b in backends)}
        extra = tuple(c.item for c in discovery.passes() if c.item.backend in names)
        self._simplify = Simplifier(settings, extra, KernelEvaluator(self.options))
        whole = self.model.graph
        self.input_values = whole.inputs
        self._defaults = dict(whole.defaults)
        self._required = tuple(v for v in whole.inputs if v not in self._defaults)
        graph = whole
        if self._defaults:
            # Weights that are inputs too (shapes among them) are constants from here on, so more types follow.
            graph = infer_types(whole.bake_defaults().fresh()[0])
        if settings.shapes:
            graph = bind_shapes(graph, settings.shapes)
            fixed = {v.name: v for v in graph.inputs}
            self.input_values = tuple(fixed.get(v.name, v) for v in whole.inputs)
            self._required = tuple(v for v in self.input_values if v.name in fixed)
        self.output_values = graph.outputs
        self.graph = self._simplify(graph)
        check_operators(self.graph, self.options)
        check_pins(self.graph, self.options)
        self.executable = Executable(self.graph, self.options, self._simplify, report=self._notes)
        self._overriding: Executable | None = None
        self._profiles: list[Profile] = []
        if self.executable.is_static:
            self.executable.ready()
        self._load_seconds = time.perf_counter() - start

    # What the model takes and gives.

    def get_inputs(self) -> list[NodeArg]:
        """Inputs that must be fed, in order."""
        return [node_arg(v) for v in self._required]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Inputs that have a default and may be fed."""
        return [node_arg(v) for v in self._defaults]

    def get_outputs(self) -> list[NodeArg]:
        """Outputs, in order."""
        return [node_arg(v) for v in self.output_values]

    def get_providers(self) -> list[str]:
        """Backends in order of preference, fallbacks last."""
        return [b.name for b in self.options.backends]

    # Running.

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        *,
        device: Union[str, Device, None] = None,
    ) -> list[Any]:
        """Outputs for feeds: numpy arrays, or anything with ``__dlpack__`` on the host or on a device of the session's
        (on a device it is copied within it); lists for sequences.

        ``output_names`` None returns all outputs. ``device`` ("cuda:0") leaves them there, as :class:`DeviceArray`,
        which speaks DLPack. Other libraries' work on the feeds is waited for, and all of its own has ended. Raises
        InputError, naming what was expected, and KernelError naming the node and the kernel that failed.
        """
        executable, inputs = self._prepare(input_feed)
        wanted = self._positions(output_names)
        keep: Mapping[int, Device] = NOTHING
        if device is not None and (place := self.devices.named(device)) != CPU:
            keep = dict.fromkeys(range(len(self.output_values)) if wanted is None else wanted, place)
        if self.settings.enable_profiling:
            profile, outputs = self._profiled(executable, inputs, keep)
            self._profiles.append(profile)
        else:
            outputs = executable.run(inputs, keep)
        return outputs if wanted is None else [outputs[i] for i in wanted]

    def bind(
        self, input_feed: Mapping[str, Any], *, device: Union[str, Device, None] = None
    ) -> Callable[[], list[Any]]:
        """One inference on these feeds as a call that gives all outputs, as new objects each time; ``device`` as in
        :meth:`run`.

        For feeds that stay where they are, as in a loop over a camera's buffer or in a measurement: they are checked
        now, and read at each call, in place where :class:`IOBinding` can. Not for several threads at once. Raises
        InputError as :meth:`run` does.
        """
        feeds = dict(input_feed)
        if any(v.name in feeds for v in self._defaults):
            return partial(
                self.run, None, feeds, device=device
            )  # a plan of its own, as its constants are others
        self.ordered(feeds)
        binding = self.io_binding()
        for name, value in feeds.items():
            binding.bind_input(name, value)
        if device is not None:
            for value in self.output_values:
                binding.bind_output(value.name, device=device)

        def call() -> list[Any]:
            self.run_with_iobinding(binding)
            return binding.get_outputs()

        return call

    def io_binding(self) -> IOBinding:
        """A new binding of inputs and outputs to memory of the caller's."""
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding) -> None:
        """Run on what is bound."""
        apply_threads(self._notes.settings)
        iobinding.run()

    def ordered(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Feeds in the order of the executable's inputs; InputError when one is missing."""
        checked = check_feeds(self.input_values, self._defaults, feeds, self.devices.borrow)
        by_name = {v.name: x for v, x in checked.items()}
        if any(v.name in by_name for v in self._defaults):
            raise UsageError("an input with a default cannot be bound; feed it with run()")
        return [by_name[v.name] for v in self._required]

    # Insight.

    def kernel_plan(self) -> list[PlanRow]:
        """Which kernel runs each node, in running order, with operand types; of the latest plan.

        While input shapes are open and nothing has run, UsageError says so.
        """
        return plan_rows(self.latest_plan())

    def explain(self) -> Explanation:
        """Why each kernel was chosen and what was refused for which reason.

        While input shapes are open and nothing has run, the choice is made on the open shapes and marked as not final.
        """
        plans = self.executable.plans
        if plans:
            return Explanation.of(plans[-1].selection)
        _, selection = select(self.graph, replace(self.options, fallback="allow"))
        return Explanation.of(selection, is_final=False)

    def profile(self, input_feed: Mapping[str, Any], *, warmup: int = 1) -> Profile:
        """The time of every step of one run, after ``warmup`` runs. Timing every step slows the whole."""
        executable, inputs = self._prepare(input_feed)
        for _ in range(warmup):
            executable.run(inputs)
        return self._profiled(executable, inputs)[0]

    def end_profiling(self) -> str:
        """Write the trace of every run since creation (``enable_profiling``) and return the file's name."""
        path = f"{self.settings.profile_file_prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
        save_chrome_trace(self._profiles, path)
        self._profiles = []
        return path

    @property
    def stats(self) -> Stats:
        """Load time and memory."""
        plans = self.executable.plans
        latest = plans[-1] if plans else None
        weights = sum(v.const.nbytes for v in self.graph.constants if v.const is not None)
        return Stats(
            self._load_seconds,
            latest.weight_bytes if latest else weights,
            latest.arena_bytes if latest else 0,
            latest.arena_lower_bound if latest else 0,
            len(plans),
        )

    def latest_plan(self) -> Plan:
        """The plan of the latest input shapes; UsageError while there is none."""
        plans = self.executable.plans
        if not plans:
            raise UsageError(
                f"input shapes are open ({signature(self._required)}), so there is no plan before the first run;"
                " run once, or fix them with shapes="
            )
        return plans[-1]

    @property
    def lead(self) -> str | None:
        """The backend that computes most of the network; the libraries of others have one thread beside it."""
        return self._notes.lead

    # Inside.

    def _prepare(self, feeds: Mapping[str, Any]) -> tuple[Executable, list[Any]]:
        checked = check_feeds(self.input_values, self._defaults, feeds, self.devices.borrow)
        apply_threads(self._notes.settings)
        if self._defaults and any(v in checked for v in self._defaults):
            if self._overriding is None:
                # Defaults are folded into the main plan; a run that replaces one needs a graph that reads it.
                opened = self._simplify(self.model.graph.replace(defaults={}))
                self._overriding = Executable(opened, self.options, self._simplify, report=self._notes)
            return self._overriding, [checked.get(v, self._defaults.get(v)) for v in self.input_values]
        return self.executable, [checked[v] for v in self._required]

    def _profiled(
        self, executable: Executable, inputs: Sequence[Any], keep: Mapping[int, Device] = NOTHING
    ) -> tuple[Profile, list[Any]]:
        with np.errstate(all="ignore"), executable.ready(inputs).context() as context:
            context.take(inputs, keep)
            return Profile.of(context.profile()), context.take_outputs(inputs, keep)

    def _positions(self, names: Sequence[str] | None) -> list[int] | None:
        if not names:
            return None
        known = {v.name: i for i, v in enumerate(self.output_values)}
        unknown = [n for n in names if n not in known]
        if unknown:
            raise InputError(
                f"the model has no output {unknown[0]!r}; it has {signature(self.output_values)}"
            )
        return [known[n] for n in names]


def node_arg(value: Value) -> NodeArg:
    """A graph's input or output as ONNX Runtime describes it."""
    shape = value.type.shape if isinstance(value.type, TensorType) else None
    return NodeArg(value.name, _ort_type(value.type), list(shape or ()))


def _ort_type(type_: ValueType) -> str:
    if isinstance(type_, TensorType):
        return f"tensor({_ORT_NAMES.get(type_.dtype.value, type_.dtype.value)})"
    return str(type_)
