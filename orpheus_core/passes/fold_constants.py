"""Evaluate nodes whose inputs are all constant.

A result may take 64 MiB, and all results of one simplification together twice the bytes of the model's constants
or 128 MiB, whichever is more; what does not fit stays a node and is logged. Operators that draw random
numbers, and operators with subgraphs, stay.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import find_spec
from orpheus_core.passes.evaluate import Evaluator, evaluate_small
from orpheus_core.passes.rewriting import Context, Replacement, all_values, rewrite
from orpheus_core.types import Array, TensorType

_log = logging.getLogger("orpheus.passes")
_MIB = 1 << 20
_PER_RESULT = 64 * _MIB
_AT_LEAST = 128 * _MIB
# Their result's size depends on the data, and is never above that of all their inputs.
_SHRINKING = frozenset(("NonZero", "Unique", "Compress"))


@dataclass
class Budget:
    """Bytes that folding may still add; one budget serves all rounds of a simplification."""

    left: int

    @classmethod
    def of(cls, graph: Graph) -> Budget:
        """The budget of a model."""
        held = {id(v.const): v.const.nbytes for v in all_values(graph) if v.const is not None}
        return cls(max(2 * sum(held.values()), _AT_LEAST))


def run(graph: Graph, evaluator: Evaluator | None = None, budget: Budget | None = None) -> Graph:
    """Fold what the evaluator, or without one the core's own table, can compute."""
    budget = Budget.of(graph) if budget is None else budget

    def fold(node: Node, context: Context) -> Replacement | None:
        if not _may_fold(node, context):
            return None
        inputs = tuple(None if v is None else v.const for v in node.inputs)
        limit = min(_PER_RESULT, budget.left)
        results = _evaluate(node, inputs, evaluator, limit)
        if results is None:
            return None
        size = sum(a.nbytes for a in results)
        if size > limit:
            _log.info("%s %r stays: its %d bytes exceed the folding budget", node.op_id, node.name, size)
            return None
        budget.left -= size
        values = {
            old: _constant(context, old, array)
            for old, array in zip(node.outputs, results)
            if old is not None
        }
        return Replacement(values=values)

    return rewrite(graph, fold)


def _may_fold(node: Node, context: Context) -> bool:
    if node.subgraphs or not node.results:
        return False
    if any(v is not None and v.const is None for v in node.inputs):
        return False
    if node.op == "Identity" and not node.domain:
        return not context.is_output(node.results[0])
    if not node.inputs and node.op != "Constant":
        return False
    spec = find_spec(node.domain, node.op, node.version)
    return spec is not None and spec.is_deterministic


def _constant(context: Context, old: Value, array: Array) -> Value:
    array.setflags(write=False)
    return context.new_constant(old.name, array)


def _evaluate(
    node: Node, inputs: tuple[Array | None, ...], evaluator: Evaluator | None, limit: int
) -> tuple[Array, ...] | None:
    expected = _result_bytes(node)
    if expected is not None and expected > limit:
        _log.info("%s %r stays: its %d bytes exceed the folding budget", node.op_id, node.name, expected)
        return None
    results = evaluate_small(node, inputs, limit)
    if results is None and evaluator is not None:
        if expected is None and node.op not in _SHRINKING:
            return None
        results = evaluator.evaluate(node, inputs)
    if results is None or not all(isinstance(a, np.ndarray) for a in results):
        return None
    # A view would keep the whole of what it looks at alive, and a constant must be nobody else's to write.
    return tuple(np.array(a, order="C") if a.base is not None or a.flags.writeable else a for a in results)


def _result_bytes(node: Node) -> int | None:
    total = 0
    for value in node.results:
        if not isinstance(value.type, TensorType) or value.type.nbytes is None:
            return None
        total += value.type.nbytes
    return total
