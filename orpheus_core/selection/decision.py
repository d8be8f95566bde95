"""What selection decided for each node, and the words that explain it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from orpheus_core.graph import Node, Value
from orpheus_core.plugin import Problem
from orpheus_core.selection.candidates import Candidate
from orpheus_core.selection.cost import Scored
from orpheus_core.selection.refusal import Refusal


@dataclass(frozen=True, eq=False)
class Decision:
    """The kernel of one node: which, why, what else would do, and what was refused for which reason."""

    node: Node
    problem: Problem
    chosen: Scored
    why: str
    alternatives: tuple[Scored, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """The chosen candidate."""
        return self.chosen.candidate

    @property
    def kernel_id(self) -> str:
        """``backend:Op/kernel``."""
        return self.chosen.candidate.id


@dataclass(frozen=True, eq=False)
class Selection:
    """Decisions of one graph, in node order.

    ``hubs`` gives the layout and device through which a value that several nodes read reaches them.
    ``optimal`` tells whether the total cost is proved to be least among all assignments. ``note`` says what else led to
    it.
    """

    decisions: tuple[Decision, ...]
    seconds: float
    optimal: bool
    fallbacks: tuple[Decision, ...] = ()
    hubs: Mapping[Value, tuple[str, object]] = field(default_factory=dict)
    note: str = ""

    @property
    def summary(self) -> str:
        """One line: "57 nodes: openmp 54, numpy 3 (Conv x2: needs group == 1, has 4; ...)"."""
        backends = Counter(d.candidate.backend.name for d in self.decisions)
        parts = [f"{name} {count}" for name, count in backends.most_common()]
        text = f"{len(self.decisions)} nodes: {', '.join(parts) or 'none'}{f'; {self.note}' if self.note else ''}"
        reasons: Counter[str] = Counter()
        for decision in self.fallbacks:
            reason = decision.refusals[0].text if decision.refusals else "not implemented"
            reasons[f"{decision.node.op}|{reason}"] += 1
        words = []
        for key, count in reasons.most_common(4):
            op, reason = key.split("|", 1)
            words.append(f"{op}{f' x{count}' if count > 1 else ''}: {reason}")
        if len(reasons) > 4:
            words.append("...")
        return f"{text} ({'; '.join(words)})" if words else text
