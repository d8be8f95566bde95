"""The zoo's small networks through the executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from orpheus_conformance.engine import Row
from orpheus_conformance.plan.trial import PASSES, Bench, attempted, verdict_of
from orpheus_conformance.recipe import NetworkRecipe
from orpheus_conformance.verdict import INVALID, UNJUDGED, Verdict
from orpheus_core.errors import OrpheusError
from orpheus_core.plugin import Backend
from orpheus_core.types import Array

#: The zoo's networks, those with few weights first: they take the least time.
NETWORKS = (
    "wrn-40-2", "mobilenet-v2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50", "resnet-50-v2",
    "ssd-mobilenet-v2",
)  # fmt: skip


def zoo() -> tuple[Callable[..., onnx.ModelProto] | None, str]:
    """What builds the smallest form of a network by name and seed, or None and why there is no zoo."""
    try:
        from orpheus_experiments import zoo as found
    except Exception as error:
        return (
            None,
            f"the zoo is not available (pip install orpheus-experiments): {type(error).__name__}: {error}",
        )

    def build(name: str, seed: int) -> onnx.ModelProto:
        return found.build(name, resolution=found.NETWORKS[name].smallest, seed=seed)

    return build, ""


def network_row(
    backend: Backend,
    recipe: NetworkRecipe,
    build: Callable[..., onnx.ModelProto],
    note: Callable[[NetworkRecipe], object],
) -> Row:
    """A network with every pass and with none."""
    row = Row(recipe.kernel, recipe.tier)
    try:
        model = build(recipe.name, recipe.seed)
    except Exception as error:
        row.outcome, row.message = "untested", f"the zoo cannot build it: {type(error).__name__}: {error}"
        return row
    if not {n.op_type for n in model.graph.node} & _unfused({k.op for k in backend.kernels}):
        row.outcome, row.message = "inapplicable", "none of its operators has a kernel here"
        return row
    bench, feeds = Bench(backend), _feeds(model, recipe.seed)
    try:
        expected = bench.expect(model, feeds)
    except OrpheusError as error:
        row.outcome, row.message = "untested", f"not judged: {error}"
        row.unjudged[str(error)] += 1
        return row
    ran = 0
    for words, passes in PASSES.items():
        tried = NetworkRecipe(backend.name, recipe.kernels, recipe.name, recipe.seed, words)
        note(tried)
        outcome = attempted(bench, model, feeds, expected, passes)
        if outcome.fault:
            row.executed += 1
            row.outcome, row.message, row.case = "failed", f"with {words}: {outcome.fault}", tried
            return row
        if outcome.ran:
            ran = max(ran, len(outcome.ran))
            row.executed += 1
            row.passed += 1
            row.dtypes["float32"] += 1
    if not row.executed:
        row.outcome, row.message = "refused", "its kernels refuse every node of the network"
    else:
        row.message = f"{ran} steps ran on {backend.name}"
    return row


def again(recipe: NetworkRecipe, backend: Backend) -> Verdict:
    """The verdict on a network that failed once."""
    build, reason = zoo()
    if build is None:
        return Verdict(INVALID, reason)
    model, bench = build(recipe.name, recipe.seed), Bench(backend)
    feeds = _feeds(model, recipe.seed)
    try:
        expected = bench.expect(model, feeds)
    except OrpheusError as error:
        return Verdict(UNJUDGED, str(error))
    return verdict_of(attempted(bench, model, feeds, expected, PASSES[recipe.passes]), "network")


def _feeds(model: onnx.ModelProto, seed: int) -> Mapping[str, Array]:
    info = model.graph.input[0]
    shape = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
    return {info.name: np.random.default_rng((seed, 3)).normal(size=shape).astype(np.float32)}


def _unfused(ops: set[str]) -> set[str]:
    """Operators of a network as it is written that may end in kernels of these: fused ones arise in the passes."""
    parts = {"FusedConv": "Conv", "FusedGemm": "Gemm", "FusedMatMul": "MatMul"}
    return ops | {parts[op] for op in ops if op in parts}
