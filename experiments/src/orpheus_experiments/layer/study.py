"""Every implementation of one layer, measured in place: what ``orpheus layer`` shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend
from orpheus_core.selection.candidates import Candidate, candidates
from orpheus_core.selection.measure import can_measure
from orpheus_core.selection.refusal import Refusal
from orpheus_core.session import InferenceSession
from orpheus_core.types import TensorType
from orpheus_experiments.layer.rows import KernelRow, Limits, Measured, rows_of
from orpheus_experiments.layer.scene import Scene
from orpheus_experiments.layer.stand import Stand, Timing
from orpheus_experiments.layer.work import Work, name_of, work_of

__all__ = ["SCHEMA", "LayerStudy", "plain", "study_at", "study_layer"]

#: Of the JSON: raised when a field goes or changes its meaning.
SCHEMA = 1


@dataclass(frozen=True)
class LayerStudy:
    """All rows of one layer, fastest in place first, then what gave no time; and every refusal.

    ``reference``: empty, or why there are no exact results to hold the kernels against. ``note``: what a time alone
    does not show.
    """

    node: str
    op: str
    types: tuple[str, ...]
    attributes: Mapping[str, str]
    work: Work
    is_memory_bound: bool
    limits: Limits
    chosen: str
    why: str
    rows: tuple[KernelRow, ...]
    refused: tuple[Refusal, ...]
    reference: str = ""
    note: str = ""
    cold_bytes: int = 0

    @property
    def best(self) -> KernelRow | None:
        """The fastest right kernel in place."""
        right = [r for r in self.rows if r.status == "ok" and r.in_place is not None]
        return min(right, key=lambda r: r.in_place or math.inf, default=None)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data: seconds, bytes, FLOP/s."""
        return {
            "schema": SCHEMA,
            "node": self.node,
            "op": self.op,
            "types": list(self.types),
            "attributes": dict(self.attributes),
            "macs": self.work.macs,
            "nbytes": self.work.nbytes,
            "is_memory_bound": self.is_memory_bound,
            "peak": asdict(self.limits.peak),
            "bandwidth": asdict(self.limits.bandwidth),
            "chosen": self.chosen,
            "why": self.why,
            "reference": self.reference,
            "note": self.note,
            "cold_bytes": self.cold_bytes,
            "kernels": [plain(asdict(r)) for r in self.rows],
            "refused": [{"kernel": r.kernel, "code": r.code.value, "text": r.text} for r in self.refused],
        }


def plain(value: Any) -> Any:
    """Data as JSON has it: what is not a finite number as text."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def study_layer(
    session: InferenceSession,
    node: str,
    feeds: Mapping[str, Any],
    *,
    kernels: Collection[str] = (),
    timing: Timing | None = None,
    timeout: float = 60.0,
    isolate: bool = False,
    cold_bytes: int | None = None,
    backends: Sequence[Backend] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> LayerStudy:
    """Measure every kernel of the session's backends that accepts ``node``, on the values that ``feeds`` lead to.

    ``kernels`` limits it to those named (``backend:Op/kernel``, or the kernel's own name). ``cold_bytes`` are read
    between two calls, by default as many as the rest of the network touches. ``backends`` may have kernels that the
    session was made without. Raises UsageError for a node or a kernel
    that is not there, and for a node that cannot run alone (open shapes, control flow).
    """
    scene = Scene(session, feeds, backends)
    index = scene.find(node)
    with Stand(scene.backends, session.threads, timeout=timeout, isolate=isolate) as stand:
        limits = Limits.of(session)
        study, _ = study_at(
            scene, index, stand, limits, kernels=kernels, timing=timing, cold_bytes=cold_bytes, say=say
        )
        return study


def study_at(
    scene: Scene,
    index: int,
    stand: Stand,
    limits: Limits,
    *,
    kernels: Collection[str] = (),
    timing: Timing | None = None,
    cold_bytes: int | None = None,
    values: Mapping[Any, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[LayerStudy, Measured]:
    """One node of a scene; see :func:`study_layer`. ``values`` of its inputs, where they are known already.

    What was measured comes with it, for the layers that are alike.
    """
    node, decision = scene.graph.nodes[index], scene.decisions[index]
    name = name_of(node)
    if not can_measure(decision.problem):
        raise UsageError(
            f"node {name!r} ({node.op_id}) cannot run alone: it holds control flow, or a shape is open;"
            ' give --shape "NAME:[...]"'
        )
    found, refused = candidates(decision.problem, scene.backends)
    chosen = _asked(found, kernels)
    say(f"{name}: computing its inputs, and what it gives in float64 ...")
    if values is None:
        values = scene.values([v for v in node.inputs if v is not None])
    ask, exact = scene.ask(index, values, others=cold_bytes)
    labels, owners = [c.label for c in found], [c.backend.name for c in found]
    outcomes = stand.measure(
        ask, labels, owners, chosen, timing or Timing(), lambda text: say(f"{name}: {text}")
    )
    measured = Measured(tuple(found), outcomes, exact, with_view=not kernels)
    work = work_of(node)
    study = LayerStudy(
        name, node.op_id, tuple(_types(node)), _attributes(node), work,
        work.is_bound_by_memory(limits.peak.flops, limits.bandwidth.rate), limits,
        decision.candidate.label, decision.why, rows_of(scene, index, stand, limits, measured), tuple(refused),
        exact if isinstance(exact, str) else "", scene.chained(index), ask.others,
    )  # fmt: skip
    return study, measured


def _asked(found: Sequence[Candidate], kernels: Collection[str]) -> list[int]:
    """Places of the kernels that are to be measured; UsageError for a name that none of them has."""
    every = [i for i, c in enumerate(found) if c.backend.name != "core"]
    if not kernels:
        return every
    names = {i: {found[i].id, found[i].label, found[i].kernel.name} for i in every}
    known = sorted({found[i].id for i in every})
    for kernel in kernels:
        if not any(kernel in n for n in names.values()):
            raise UsageError(
                f"no kernel {kernel!r} accepts this layer; those that do: {', '.join(known) or 'none'}"
            )
    return [i for i in every if names[i] & set(kernels)]


def _types(node: Any) -> list[str]:
    inputs = [
        "-" if v is None else str(v.type) + (" const" if v.const is not None else "") for v in node.inputs
    ]
    return [*inputs, *(f"-> {v.type}" for v in node.results if isinstance(v.type, TensorType))]


def _attributes(node: Any) -> dict[str, str]:
    return {
        k: str(v) for k, v in node.attributes.items() if v not in ("", (), None) and not hasattr(v, "nodes")
    }
