"""Networks repeat their layers: what one selection has found out about a layer serves every layer that is alike."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from orpheus_core.plugin import Backend, Problem
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.candidates import Candidate, candidates
from orpheus_core.selection.cost import Scored, score
from orpheus_core.selection.refusal import Refusal
from orpheus_core.types import Array

#: Constants of more floats are weights: no kernel's rules or cost may hang on their values. Bounds of a Clip and
#: scales of a Resize are fewer.
_SMALL = 8


class Alike:
    """Candidates, refusals and costs by what a problem is, for one list of backends and one cache of times."""

    def __init__(self, backends: Sequence[Backend], cache: MeasurementCache | None) -> None:
        self._backends = backends
        self._cache = cache
        self._numbers: dict[Hashable, int] = {}
        self._found: dict[int, tuple[list[Candidate], list[Refusal]]] = {}
        self._scores: dict[tuple[int, Candidate], Scored] = {}
        #: By key, what is open to layers without a pin: scored candidates, and refusals.
        self.open: dict[int, tuple[tuple[Scored, ...], tuple[Refusal, ...]]] = {}
        #: Keys of fused layers that are not computed in parts.
        self.whole: set[int] = set()

    def key(self, problem: Problem) -> int | None:
        """Equal for problems that every kernel judges alike, None where that cannot be told."""
        likeness = _likeness(problem)
        return None if likeness is None else self._numbers.setdefault(likeness, len(self._numbers))

    def candidates(self, problem: Problem, key: int | None) -> tuple[list[Candidate], list[Refusal]]:
        """As :func:`candidates` says; the lists are the caller's own."""
        known = None if key is None else self._found.get(key)
        if known is None:
            known = candidates(problem, self._backends)
            if key is not None:
                self._found[key] = known
        return list(known[0]), list(known[1])

    def score(self, problem: Problem, candidate: Candidate, key: int | None) -> Scored:
        """As :func:`score` says."""
        if key is None:
            return score(problem, candidate, self._cache)
        known = self._scores.get((key, candidate))
        if known is None:
            known = self._scores[key, candidate] = score(problem, candidate, self._cache)
        return known


def _likeness(problem: Problem) -> Hashable | None:
    """All that judging a layer may hang on, None when an attribute has no hash."""
    key = (
        problem.domain, problem.op, problem.version, problem.threads, problem.inputs, problem.outputs,
        tuple(problem.attributes.items()), tuple((i, _content(a)) for i, a in problem.constants.items()),
    )  # fmt: skip
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _content(array: Array) -> Hashable:
    # Type and shape are those of the input; the values of what is not a weight (axes, bounds, indices) may matter.
    if array.dtype.kind == "O":
        return id(array)
    return None if array.dtype.kind in "fV" and array.size > _SMALL else array.tobytes()
