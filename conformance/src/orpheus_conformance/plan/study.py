"""The rows of the plan tier: random graphs, then the zoo's small networks, as long as its time lasts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx

from orpheus_conformance.engine import Job, Options, Row
from orpheus_conformance.plan.graphs import make_graph
from orpheus_conformance.plan.reference import Unjudged
from orpheus_conformance.plan.trial import PASSES, Bench, Outcome
from orpheus_conformance.subject import Subject
from orpheus_conformance.verdict import Judge
from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Graph
from orpheus_core.importer import to_onnx
from orpheus_core.plugin import Backend
from orpheus_core.types import Array, DType, TensorType

TIER = "plan"
#: Steps of the largest random graph.
STEPS = 16
#: The share of the time that random graphs may take when there are networks to come.
_SHARE = 0.5
#: Stands among the kernels that were met for runs that no other backend took part in.
_ALONE = ""
#: Seconds that must be left for a network to be begun; the small ones take about a second.
_LEAST = 0.5
#: The zoo's networks, those with few weights first: they take the least time.
_NETWORKS = (
    "wrn-40-2", "mobilenet-v2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50", "resnet-50-v2",
    "ssd-mobilenet-v2",
)  # fmt: skip


def jobs(
    backend: Backend, subjects: Sequence[Subject], options: Options, judges: Mapping[str, Judge] | None = None
) -> list[Job]:
    """One row of random graphs, and one a network of the zoo, or one that says why there is no zoo."""
    if not subjects:
        return []
    backend = replace(backend, kernels=tuple(s.kernel for s in subjects))
    seconds = options.plan_seconds
    left = _Time(min(15.0, 2 + 0.25 * len(subjects)) if seconds is None else seconds)
    found = [Job(backend.name, TIER, partial(_timed, _random, backend, options, left))]
    build, reason = _zoo()
    if build is None:
        return [*found, Job(f"{backend.name}:zoo", TIER, partial(_untested, f"{backend.name}:zoo", reason))]
    ops = {s.kernel.op for s in subjects}
    for name in _NETWORKS:
        row = f"{backend.name}:zoo/{name}"
        found.append(
            Job(row, TIER, partial(_timed, _network, backend, options, left, name=name, build=build, ops=ops))
        )
    return found


class _Time:
    """Seconds that are left of all."""

    def __init__(self, seconds: float) -> None:
        self.whole = self.left = seconds


def _timed(run: Callable[..., Row], backend: Backend, options: Options, left: _Time, **more: Any) -> Row:
    start = time.perf_counter()
    row = run(backend, options, left, **more)
    row.seconds = time.perf_counter() - start
    left.left -= row.seconds
    return row


def _untested(kernel: str, reason: str) -> Row:
    return Row(kernel, TIER, "untested", reason)


def _zoo() -> tuple[Callable[..., onnx.ModelProto] | None, str]:
    try:
        from orpheus_experiments.zoo import build
    except Exception as error:
        return (
            None,
            f"the zoo is not available (pip install orpheus-experiments): {type(error).__name__}: {error}",
        )
    return build, ""


# Random graphs.


def _random(backend: Backend, options: Options, left: _Time) -> Row:
    row, bench = Row(backend.name, TIER), Bench(backend)
    dtypes = _dtypes(backend)
    ops = [k.op for k in backend.kernels]
    if not dtypes or make_graph(0, STEPS, ops, DType.FLOAT32) is None:
        row.outcome, row.message = (
            "inapplicable",
            "no random graph is made of these operators and element types",
        )
        return row
    met: Counter[str] = Counter()
    deadline = time.perf_counter() + _SHARE * left.left
    for seed in _seeds(options):
        if time.perf_counter() > deadline:
            break
        rng = np.random.default_rng((seed, 1))
        dtype = dtypes[int(rng.integers(len(dtypes)))]
        steps = int(rng.integers(1, STEPS + 1))
        fault = _try(bench, seed, steps, ops, dtype, row, met)
        if fault:
            until = time.perf_counter() + options.shrink_seconds
            steps, fault = _smaller(bench, seed, steps, fault, ops, dtype, until)
            graph = make_graph(seed, steps, ops, dtype)
            row.outcome = "failed"
            row.message = f"{fault}; random graph {seed} of {steps} steps, {dtype}: {_brief(graph)}"
            return row
    if not row.executed:
        over = time.perf_counter() > deadline
        row.outcome = "untested"
        row.message = _over(left) if over else "no random graph led to one of the kernels"
    else:
        alone = met.pop(_ALONE, 0)
        row.message = (
            f"{len(met)} of {len(backend.kernels)} kernels met; {alone} of {row.passed} runs by it alone"
        )
    return row


def _seeds(options: Options) -> Iterator[int]:
    return iter(range(options.seed * 100_003, options.seed * 100_003 + options.examples))


def _dtypes(backend: Backend) -> list[DType]:
    """Float types to make graphs of: those that a kernel names, or float32 where none is left out."""
    named = {t for k in backend.kernels for types in k.dtypes.values() for t in types}
    if any(not k.dtypes for k in backend.kernels):
        named.add("float32")
    return [d for d in (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16) if d.value in named]


def _try(
    bench: Bench, seed: int, steps: int, ops: Sequence[str], dtype: DType, row: Row, met: Counter[str]
) -> str:
    """Judge one random graph with every pass and with none, counted in ``row``; gives what is wrong."""
    graph = make_graph(seed, steps, ops, dtype)
    if graph is None:
        row.invalid += 1
        return ""
    model, feeds = to_onnx(graph), _feeds(graph, seed)
    try:
        expected = bench.expect(model, feeds)
    except Unjudged as error:
        row.unjudged[str(error)] += 1
        return ""
    for words, passes in PASSES.items():
        outcome = _attempt(bench, model, feeds, expected, passes, together=seed % 4 == 0)
        if outcome.fault:
            row.executed += 1
            return f"with {words}: {outcome.fault}"
        met.update(outcome.ran)
        met[_ALONE] += bool(outcome.ran) and outcome.alone
        if outcome.ran:
            row.executed += 1
            row.passed += 1
            row.dtypes[dtype.value] += 1
            row.cells[dtype.value, "passed"] += 1
        else:
            row.invalid += 1
    return ""


def _attempt(bench: Bench, *given: Any, together: bool = False) -> Outcome:
    try:
        return bench.attempt(*given, together=together)
    except (
        OrpheusError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        OSError,
    ) as error:
        return Outcome(f"raised {type(error).__name__}: {' '.join(str(error).split())[:400]}")


def _smaller(
    bench: Bench, seed: int, steps: int, fault: str, ops: Sequence[str], dtype: DType, until: float
) -> tuple[int, str]:
    """The least steps that still fail, and how."""
    for fewer in range(1, steps):
        if time.perf_counter() > until:
            break
        found = _try(bench, seed, fewer, ops, dtype, Row("", TIER), Counter())
        if found:
            return fewer, found
    return steps, fault


def _feeds(graph: Graph, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng((seed, 2))
    feeds = {}
    for value in graph.inputs:
        assert isinstance(value.type, TensorType)
        shape = tuple(d if isinstance(d, int) else 1 for d in value.type.shape or ())
        feeds[value.name] = np.asarray(rng.normal(size=shape)).astype(value.type.dtype.numpy)
    return feeds


def _brief(graph: Graph | None) -> str:
    text = " ".join(str(graph).split())
    return text if len(text) <= 600 else text[:597] + "..."


def _over(left: _Time) -> str:
    return f"the plan tier's {left.whole:g} s were over"


# The zoo.


def _network(
    backend: Backend,
    options: Options,
    left: _Time,
    *,
    name: str,
    build: Callable[..., onnx.ModelProto],
    ops: set[str],
) -> Row:
    row = Row(f"{backend.name}:zoo/{name}", TIER)
    if left.left < _LEAST:
        row.outcome = "untested"
        row.message = _over(left)
        return row
    try:
        from orpheus_experiments.zoo import NETWORKS

        model = build(name, resolution=NETWORKS[name].smallest, seed=options.seed)
    except Exception as error:
        row.outcome, row.message = "untested", f"the zoo cannot build it: {type(error).__name__}: {error}"
        return row
    if not {n.op_type for n in model.graph.node} & _unfused(ops):
        row.outcome, row.message = "inapplicable", "none of its operators has a kernel here"
        return row
    return _judge_network(Bench(backend), model, row, options)


def _unfused(ops: set[str]) -> set[str]:
    """Operators of a network as it is written that may end in kernels of these: fused ones arise in the passes."""
    parts = {"FusedConv": "Conv", "FusedGemm": "Gemm", "FusedMatMul": "MatMul"}
    return ops | {parts[op] for op in ops if op in parts}


def _judge_network(bench: Bench, model: onnx.ModelProto, row: Row, options: Options) -> Row:
    info = model.graph.input[0].type.tensor_type
    shape = tuple(d.dim_value for d in info.shape.dim)
    rng = np.random.default_rng((options.seed, 3))
    feeds: Mapping[str, Array] = {model.graph.input[0].name: rng.normal(size=shape).astype(np.float32)}
    try:
        expected = bench.expect(model, feeds)
    except OrpheusError as error:
        row.outcome, row.message = "untested", f"not judged: {error}"
        row.unjudged[str(error)] += 1
        return row
    ran = 0
    for words, passes in PASSES.items():
        outcome = _attempt(bench, model, feeds, expected, passes)
        if outcome.fault:
            row.executed += 1
            row.outcome, row.message = "failed", f"with {words}: {outcome.fault}"
            return row
        if outcome.ran:
            ran = max(ran, len(outcome.ran))
            row.executed += 1
            row.passed += 1
            row.dtypes["float32"] += 1
    if not row.executed:
        row.outcome, row.message = "refused", "its kernels refuse every node of the network"
    else:
        row.message = f"{ran} steps ran on {bench.backend.name}"
    return row
