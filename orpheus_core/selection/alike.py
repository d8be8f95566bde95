"""Networks repeat their layers, and sessions networks: what was found out about a layer serves all that are alike.

What kernels say of a layer depends on the layer alone (see :class:`orpheus_core.plugin.Kernel`), so the process
remembers it, for each list of backends and each set of ``ORPHEUS_`` settings in the environment. Measured times are no
part of it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from itertools import count
from typing import Any

from orpheus_core.graph import Graph
from orpheus_core.plugin import Backend, Problem
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.candidates import Candidate, candidates
from orpheus_core.selection.cost import Scored, Source, score
from orpheus_core.selection.refusal import Refusal, RefusalCode
from orpheus_core.types import Array

#: Constants of more floats are weights: no kernel's rules or cost may hang on their values. Bounds of a Clip and
#: scales of a Resize are fewer.
_SMALL = 8
#: Constants of more bytes are known by their digest.
_SHORT = 1 << 10
#: Lists of backends that are remembered, and entries of each table of one; networks have tens of different layers.
_MOST_LISTS = 8
_MOST = 1024

#: Scored candidates that are open to a layer without a pin, and refusals.
Open = tuple[tuple[Scored, ...], tuple[Refusal, ...]]


class Judged:
    """What the kernels of some backends say of layers, by the layer's key; several sessions may fill it at once."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends = tuple(backends)
        self.found: dict[int, tuple[list[Candidate], list[Refusal]]] = {}
        self.scores: dict[tuple[int, Candidate], Scored] = {}
        #: Of conversions, by what :mod:`conversion` knows them by.
        self.reorders: dict[Hashable, Any] = {}
        self._settled: dict[Hashable, tuple[dict[int, Open], set[int]]] = {}
        self._keys: dict[Hashable, int] = {}
        self._numbers = count()

    def key(self, problem: Problem) -> int | None:
        """Equal for problems that every kernel judges alike, None where that cannot be told."""
        likeness = _likeness(problem)
        if likeness is None:
            return None
        known = self._keys.get(likeness)
        # Of two threads that come at once, both get the number of the first.
        return self._keys.setdefault(likeness, next(self._numbers)) if known is None else known

    def settled(self, terms: Hashable) -> tuple[dict[int, Open], set[int]]:
        """What is open to layers, and the keys of fused ones that are computed whole, where ``terms`` govern."""
        return self._settled.setdefault(terms, ({}, set()))

    def trim(self) -> None:
        """Forget everything once it is more than networks need; whoever is at work keeps what it has."""
        tables = (self.found, self.scores, self.reorders, self._keys)
        if any(len(table) > _MOST for table in tables):
            self.found, self.scores, self.reorders, self._settled, self._keys = {}, {}, {}, {}, {}


_lists: OrderedDict[Hashable, Judged] = OrderedDict()
_lock = threading.Lock()


def judged_by(backends: Sequence[Backend]) -> Judged:
    """What is remembered for these very backends under the present settings."""
    settings = tuple((name, os.environ[name]) for name in os.environ if name.startswith("ORPHEUS_"))
    key = (tuple(map(id, backends)), settings)  # it keeps the backends, so their ids stay theirs
    with _lock:
        if key not in _lists:
            _lists[key] = Judged(backends)
            while len(_lists) > _MOST_LISTS:
                _lists.popitem(last=False)
        _lists.move_to_end(key)
        found = _lists[key]
    found.trim()
    return found


class Alike:
    """Candidates, refusals and costs by what a problem is, for one list of backends and one cache of times.

    ``judged`` is what is known already; ``terms`` are the options that govern what is open to a layer, in which nothing
    measured counts.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        cache: MeasurementCache | None,
        judged: Judged | None = None,
        terms: Hashable = None,
    ) -> None:
        self._backends = backends
        self._cache = cache if cache is not None and len(cache) else None
        self._judged = judged or Judged(backends)
        self._measured: dict[tuple[int, Candidate], Scored] = {}
        #: By key, what is open to layers without a pin; and keys of fused layers that are not computed in parts.
        self.open: dict[int, Open]
        self.whole: set[int]
        self.open, self.whole = self._judged.settled(terms) if self._cache is None else ({}, set())

    @property
    def is_measured(self) -> bool:
        """Whether measured times may count."""
        return self._cache is not None

    def key(self, problem: Problem) -> int | None:
        """As :meth:`Judged.key` says."""
        return self._judged.key(problem)

    def candidates(self, problem: Problem, key: int | None) -> tuple[list[Candidate], list[Refusal]]:
        """As :func:`candidates` says; the lists are the caller's own."""
        known = None if key is None else self._judged.found.get(key)
        if known is None:
            known = candidates(problem, self._backends)
            if any(r.code is RefusalCode.BROKEN for r in known[1]):
                self._part()
            elif key is not None:
                self._judged.found[key] = known
        return list(known[0]), list(known[1])

    def score(self, problem: Problem, candidate: Candidate, key: int | None) -> Scored:
        """As :func:`score` says."""
        if self._cache is None:
            return self.static(problem, candidate, key)
        if key is None:
            return score(problem, candidate, self._cache)
        if (key, candidate) not in self._measured:
            self._measured[key, candidate] = score(problem, candidate, self._cache)
        return self._measured[key, candidate]

    def static(self, problem: Problem, candidate: Candidate, key: int | None) -> Scored:
        """The cost without measured times."""
        if key is None:
            return score(problem, candidate, None)
        table = self._judged.scores
        known = table.get((key, candidate))
        if known is None:
            known = score(problem, candidate, None)
            if known.source is Source.RANK and candidate.kernel.cost is not None:
                self._part()
            else:
                table[key, candidate] = known
        return known

    def _part(self) -> None:
        """A plugin's function failed, which may have had a passing cause: what follows is not for later sessions."""
        self.open, self.whole = dict(self.open), set(self.whole)


def _likeness(problem: Problem) -> Hashable | None:
    """All that judging a layer may hang on, None when an attribute has no hash."""
    attributes = problem.attributes.items()
    contents = tuple((i, _content(a)) for i, a in problem.constants.items())
    if any(c is _UNKNOWN for _, c in contents) or any(isinstance(a, Graph) for _, a in attributes):
        return None
    key = (
        problem.domain, problem.op, problem.version, problem.threads, problem.network_bytes, problem.inputs,
        problem.outputs, tuple(attributes), contents,
    )  # fmt: skip
    try:
        hash(key)
    except TypeError:
        return None
    return key


_UNKNOWN = object()


def _content(array: Array) -> Hashable:
    # Type and shape are those of the input; the values of what is not a weight (axes, bounds, indices) may matter.
    if array.dtype.kind == "O":
        return _UNKNOWN
    if array.dtype.kind in "fV" and array.size > _SMALL:
        return None
    data = array.tobytes()
    return data if len(data) <= _SHORT else hashlib.sha256(data).digest()
