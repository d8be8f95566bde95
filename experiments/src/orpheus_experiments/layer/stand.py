"""The test stand: kernels of one layer, in processes that may die, timed in turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orpheus_core.errors import OrpheusError
from orpheus_core.plugin import Backend
from orpheus_core.process import Child, ChildError
from orpheus_core.selection.measure import SETTLE
from orpheus_experiments.layer.scene import Move
from orpheus_experiments.layer.worker import Ask, KernelFact

__all__ = ["Outcome", "Stand", "Timing"]

_WORKER = "orpheus_experiments.layer.worker:Worker"


@dataclass(frozen=True)
class Timing:
    """``rounds`` turns of each kernel, which share ``seconds``; each has ``runs`` calls at least."""

    rounds: int = 10
    seconds: float = 0.1
    runs: int = 2


@dataclass
class Outcome:
    """What became of one kernel: ``status`` is ok, failed, crashed or timed out; ``rounds`` are seconds by turn."""

    label: str
    owner: str
    status: str = "ok"
    reason: str = ""
    fact: KernelFact | None = None
    rounds: list[list[float]] = field(default_factory=list)


class Stand:
    """Workers for layers of one session; a context manager.

    Backends go there as data, so that one which is registered but not installed works too; its code must be importable.
    All kernels share a process, which is begun anew without the one that killed it or did not come back. With
    ``isolate`` each has a process of its own, so that one that writes where it should not harms no other either.
    """

    def __init__(
        self, backends: Sequence[Backend], threads: int, *, timeout: float = 60.0, isolate: bool = False
    ) -> None:
        self._given = (tuple(backends), threads)
        self._timeout, self._isolate = timeout, isolate
        self._children: dict[int, tuple[Child, set[int]]] = {}
        self._moves: dict[Move, float | None] = {}
        self._ask: Ask | None = None
        self._labels: tuple[str, ...] = ()

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process."""
        for child, _ in self._children.values():
            child.close()
        self._children.clear()

    def measure(
        self,
        ask: Ask,
        labels: Sequence[str],
        owners: Sequence[str],
        chosen: Sequence[int],
        timing: Timing,
        say: Callable[[str], None] = lambda text: None,
    ) -> dict[int, Outcome]:
        """Outcomes of the candidates ``chosen``, places in ``labels`` (``owners``: their backends), of one layer."""
        self._begin(ask, labels)
        found = {i: Outcome(labels[i], owners[i]) for i in chosen}
        for index, outcome in found.items():
            say(f"preparing {outcome.label} ...")
            self._guarded(index, outcome, lambda i=index, o=outcome: self._prepare(i, o))  # type: ignore[misc]
        for turn in range(timing.rounds):
            say(f"turn {turn + 1} of {timing.rounds} ...")
            self._turn(found, turn, timing)
        return found

    def seconds_of(self, move: Move) -> float | None:
        """Measured seconds of a conversion; None when nothing here does it, or when doing it failed."""
        if move not in self._moves:
            self._moves[move] = None
            try:
                self._moves[move] = self._child(-1)[0].call("convert", *move)
            except ChildError as error:
                if error.kind != "failed":
                    self._drop(-1)
            except OrpheusError:
                pass
        return self._moves[move]

    def _begin(self, ask: Ask, labels: Sequence[str]) -> None:
        self._ask, self._labels = ask, tuple(labels)
        if self._isolate:
            self.close()
        for key in list(self._children):
            with contextlib.suppress(OrpheusError):
                self._take(key)

    def _take(self, key: int) -> None:
        child, prepared = self._children[key]
        prepared.clear()
        got = child.call("take", self._ask)
        if got != self._labels:
            raise ChildError("failed", f"the worker finds other kernels: {', '.join(got)}")

    def _child(self, key: int) -> tuple[Child, set[int]]:
        if key not in self._children:
            self._children[key] = (Child(_WORKER, *self._given, timeout=self._timeout), set())
            if self._ask is not None:
                self._take(key)
        return self._children[key]

    def _drop(self, key: int) -> None:
        if key in self._children:
            self._children.pop(key)[0].close()

    def _key(self, index: int) -> int:
        return index if self._isolate else -1

    def _prepare(self, index: int, outcome: Outcome) -> Child:
        child, prepared = self._child(self._key(index))
        if index not in prepared:
            outcome.fact = child.call("prepare", index)
            prepared.add(index)
        return child

    def _guarded(self, index: int, outcome: Outcome, work: Callable[[], object]) -> None:
        try:
            work()
        except ChildError as error:
            outcome.status, outcome.reason = error.kind, str(error)
            if error.kind != "failed":
                self._drop(self._key(index))
        except OrpheusError as error:
            outcome.status, outcome.reason = "failed", str(error)

    def _turn(self, found: dict[int, Outcome], turn: int, timing: Timing) -> None:
        """Each kernel once, those of one backend together: another library's threads may spin for a while."""
        alive = [i for i, o in found.items() if o.status == "ok"]
        owners = list(dict.fromkeys(found[i].owner for i in alive))
        first = turn % len(owners) if owners else 0
        for number, owner in enumerate(owners[first:] + owners[:first]):
            if number:
                time.sleep(SETTLE)
            mine = [i for i in alive if found[i].owner == owner]
            start = turn % len(mine)
            for index in mine[start:] + mine[:start]:
                outcome = found[index]
                self._guarded(index, outcome, lambda i=index, o=outcome: self._time(i, o, timing))  # type: ignore[misc]

    def _time(self, index: int, outcome: Outcome, timing: Timing) -> None:
        child = self._prepare(index, outcome)
        share = timing.seconds / timing.rounds
        outcome.rounds.append(child.call("turn", index, timing.runs, share))
