"""One side of a bisection in a process of its own: it runs the model and keeps what its operations give.

A session's side runs its own plan, fused operations, layouts and all, one operation after the other, and copies what
each has just written. Nothing is added to the graph, so nothing that is fused comes apart. (Backends may join
operations into chains or seal them into one call; here they run one by one, as in a profile. The plain run's outputs
are returned, too, so that a difference which only the joined run has is seen.)

An engine's side gives the engine the model with more outputs: the values that the other side's operations give. What
it had fused across such a value comes apart; nothing else does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from orpheus_core.errors import ModelError
from orpheus_core.peers import PREFIX, Peer, peer, source
from orpheus_core.plan.context import Context
from orpheus_core.plan.operands import Kind, Operand
from orpheus_core.selection.reorder import from_layout
from orpheus_core.session import InferenceSession
from orpheus_core.session.threads import apply_threads, settings_of
from orpheus_core.types import CPU, Array, TensorType
from orpheus_experiments.layer.exact import apart
from orpheus_experiments.layer.work import name_of

__all__ = ["Captured", "EngineSide", "SessionSide", "Setting", "StepFact", "reference_to"]


@dataclass(frozen=True)
class Setting:
    """What a side is made with; plain data. ``backend`` is a backend's name or ``peer:engine``."""

    model: str
    backend: str
    pins: Mapping[str, str]
    threads: int
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def is_engine(self) -> bool:
        """Whether a whole engine runs the model."""
        return self.backend.startswith(PREFIX)


@dataclass(frozen=True)
class StepFact:
    """One executed operation: its node, operator, kernel and the error factor that the kernel declares."""

    node: str
    op: str
    kernel: str
    factor: float
    chain: tuple[str, ...] = ()


@dataclass(frozen=True)
class Captured:
    """Values by name as arrays in ONNX's layout; who made each; outputs of the plain run; and a line on what ran."""

    values: Mapping[str, Any]
    makers: Mapping[str, StepFact]
    outputs: Sequence[Any]
    summary: str


def reference_to(setting: Setting) -> str:
    """The class of a setting's side, for :class:`orpheus_core.process.Child`."""
    return f"{__name__}:{'EngineSide' if setting.is_engine else 'SessionSide'}"


class SessionSide:
    """A backend, with others as fallback, as a session chooses."""

    def __init__(self, note: Callable[[str], None], setting: Setting) -> None:
        self.note = note
        note("loading")
        self.session = InferenceSession(
            setting.model, providers=[setting.backend], threads=setting.threads, pin=dict(setting.pins) or None,
            shapes=dict(setting.shapes) or None,
        )  # fmt: skip

    def capture(self, feeds: Mapping[str, Any], wanted: Sequence[str] | None = None) -> Captured:
        """What every operation gives (``wanted``: only values of these names), and the plain run's outputs."""
        self.note("the plain run")
        session = self.session
        outputs = session.run(None, feeds)
        inputs = session.ordered(feeds)
        apply_threads(settings_of(session.options.backends, session.threads))
        values: dict[str, Any] = {}
        makers: dict[str, StepFact] = {}
        plain = set(wanted) if wanted is not None else None
        with np.errstate(all="ignore"), session.executable.ready(inputs).context() as context:
            context.take(inputs)
            own = {v for n in context.plan.graph.nodes for v in n.results}
            names = {v.name for v in own}
            for operation, step in zip(context.operations, context.single_steps):
                is_node = operation.node in _nodes(context)
                self.note(f"node {name_of(operation.node)!r}, {operation.kernel_id}")
                step()
                context.synchronize()
                if not is_node or operation.kind is not Kind.KERNEL:
                    continue
                candidate = operation.candidate
                factor = candidate.kernel.accuracy.factor if candidate is not None else 1.0
                chain = operation.chain
                together = () if chain is None else tuple(name_of(o.node) for o in chain.operations)
                fact = StepFact(
                    name_of(operation.node), operation.node.op_id, operation.kernel_id, factor, together
                )
                for operand in operation.writes:
                    if operand.name in names and (plain is None or operand.name in plain):
                        values[operand.name] = _copied(context, operand)
                        makers[operand.name] = fact
        return Captured(values, makers, outputs, session.explain().summary)


class EngineSide:
    """A whole engine, whose model is given more outputs."""

    def __init__(self, note: Callable[[str], None], setting: Setting) -> None:
        self.note = note
        self.setting = setting
        self.spec = peer(setting.backend[len(PREFIX) :])

    def capture(self, feeds: Mapping[str, Any], wanted: Sequence[str] | None = None) -> Captured:
        """The values called ``wanted`` that the model has, and the outputs of the model as it is."""
        self.note("the model as it is")
        plain, summary = self._run(Path(self.setting.model), feeds)
        self.note("the model with more outputs")
        with tempfile.TemporaryDirectory(prefix="orpheus-bisect-") as folder:
            path = Path(folder) / "observed.onnx"
            names = observed(self.setting.model, wanted or (), path)
            got, _ = self._run(path, feeds)
        values = dict(zip(names, got))
        fact = StepFact("", "", summary, ENGINE_FACTOR)
        return Captured(values, dict.fromkeys(values, fact), plain, summary)

    def cures(self, feeds: Mapping[str, Any], wanted: Sequence[str], limits: Sequence[float]) -> list[str]:
        """The values that, looked at one by one, make the model's outputs those that it has with all looked at.

        What the engine fuses across such a value makes the difference. ``limits`` are the largest differences of the
        outputs that are none.
        """
        found = []
        with tempfile.TemporaryDirectory(prefix="orpheus-bisect-") as folder:
            path = Path(folder) / "observed.onnx"
            observed(self.setting.model, wanted, path)
            right = self._run(path, feeds)[0][: len(limits)]
            for name in wanted:
                self.note(f"the model with {name!r} as an output")
                if len(observed(self.setting.model, [name], path)) == len(limits):
                    continue  # the model has no such value
                got = self._run(path, feeds)[0]
                if all(apart(g, r) <= limit for g, r, limit in zip(got, right, limits)):
                    found.append(name)
        return found

    def _run(self, path: Path, feeds: Mapping[str, Any]) -> tuple[list[Any], str]:
        with tempfile.TemporaryDirectory(prefix="orpheus-bisect-") as folder:
            made = source(self.spec, path, Path(folder), dict(self.setting.shapes))
            loaded = Peer(self.spec, made, self.setting.threads)
            return [np.array(x) for x in loaded.bind(feeds)()], loaded.summary


#: What an engine may be off by, in the error of a direct sum: it does not tell which algorithm it uses, and some use
#: Winograd's with large tiles.
ENGINE_FACTOR = 32.0


def observed(model: str, wanted: Sequence[str], path: Path) -> list[str]:
    """Write the model with ``wanted`` values as further outputs; the names of all outputs, in order.

    Names that the model does not have are left out.
    """
    proto = onnx.load(model)
    outputs = [v.name for v in proto.graph.output]
    types = {v.name: v for v in onnx.shape_inference.infer_shapes(proto).graph.value_info}
    made = {name for node in proto.graph.node for name in node.output if name}
    for name in wanted:
        if name in made and name not in outputs:
            known = types.get(name)
            if known is None or not known.type.WhichOneof("value"):
                raise ModelError(f"the type of {name!r} cannot be inferred, so no engine can be asked for it")
            proto.graph.output.add().CopyFrom(known)
            outputs.append(name)
    onnx.save(proto, path)
    return outputs


def _nodes(context: Context) -> set[Any]:
    return set(context.plan.graph.nodes)


def _copied(context: Context, operand: Operand) -> Any:
    """The value of an operand as an array of its own, in ONNX's layout and on the host."""
    value = context.slots[context.frame.index[operand]]
    type_ = operand.type
    if not isinstance(type_, TensorType):
        return list(value) if isinstance(value, list) else value
    if type_.device != CPU:
        host = np.empty(value.shape, type_.dtype.numpy)
        context.frame.runtimes[type_.device].download(value, host)
        value = host
    shape = type_.static_shape
    if shape is None:
        return np.array(value)
    plain: Array = np.array(from_layout(value, type_.layout, shape))
    return plain
