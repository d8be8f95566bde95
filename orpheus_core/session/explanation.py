"""What ``explain()`` and ``kernel_plan()`` return: plain rows that print, compare and serialise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from orpheus_core.plan.operands import Operand, Operation
from orpheus_core.plan.plan import Plan
from orpheus_core.selection.decision import Decision, Selection
from orpheus_core.selection.refusal import Refusal


@dataclass(frozen=True)
class ExplainedCandidate:
    """A kernel that could run a node: its cost in seconds and where that figure comes from."""

    kernel: str
    seconds: float
    source: str


@dataclass(frozen=True)
class ExplainedDecision:
    """One node: the kernel chosen, why, at what cost; the other candidates; what was refused and why."""

    node: str
    op: str
    chosen: str
    why: str
    cost: float
    source: str
    candidates: tuple[ExplainedCandidate, ...]
    rejected: tuple[Refusal, ...]

    @classmethod
    def of(cls, decision: Decision) -> ExplainedDecision:
        """From selection's own record."""
        chosen = decision.chosen
        return cls(
            decision.node.name or next((v.name for v in decision.node.results), ""),
            decision.node.op_id,
            chosen.candidate.label,
            decision.why,
            chosen.seconds,
            chosen.source.value,
            tuple(
                ExplainedCandidate(s.candidate.label, s.seconds, s.source.value)
                for s in decision.alternatives
            ),
            decision.refusals,
        )


@dataclass(frozen=True)
class Explanation:
    """Every decision, the one-line summary, and whether the choice is proved to be the cheapest.

    ``is_final`` is False while input shapes are open: kernels that need fixed shapes then show as refused.
    """

    decisions: tuple[ExplainedDecision, ...]
    summary: str
    optimal: bool
    is_final: bool = True

    @classmethod
    def of(cls, selection: Selection, *, is_final: bool = True) -> Explanation:
        """From selection's own record."""
        decisions = tuple(ExplainedDecision.of(d) for d in selection.decisions)
        return cls(decisions, selection.summary, selection.optimal, is_final)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "summary": self.summary,
            "optimal": self.optimal,
            "is_final": self.is_final,
            "decisions": [
                {
                    **{k: v for k, v in asdict(d).items() if k != "rejected"},
                    "rejected": [
                        {"kernel": r.kernel, "code": r.code.value, "text": r.text} for r in d.rejected
                    ],
                }
                for d in self.decisions
            ],
        }


@dataclass(frozen=True)
class PlanRow:
    """One node of the plan, in running order: the kernel, and operands as text with layout and device.

    ``why`` gives the reason for the choice; nodes that cost no step have a kernel of ``core``.
    """

    node: str
    op: str
    kernel_id: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    why: str = ""


def plan_rows(plan: Plan) -> list[PlanRow]:
    """Steps of a plan, then the nodes that need none."""
    rows = [_row(op) for op in plan.program.operations]
    for node, kernel in plan.program.elided:
        name = node.name or next((v.name for v in node.results), "")
        rows.append(
            PlanRow(
                name,
                node.op_id,
                kernel,
                tuple(str(v.type) for v in node.inputs if v is not None),
                tuple(str(v.type) for v in node.results),
                "no step: memory is shared",
            )
        )
    return rows


def _row(operation: Operation) -> PlanRow:
    node = operation.node
    return PlanRow(
        node.name or next((v.name for v in node.results), ""),
        node.op_id,
        operation.kernel_id,
        _types(operation.inputs),
        _types(operation.outputs),
        operation.why,
    )


def _types(operands: Iterable[Operand | None]) -> tuple[str, ...]:
    return tuple("-" if o is None else str(o.type) for o in operands)
