"""The race itself: for each network and thread count, everybody loads, warms up, and takes turns."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from orpheus_core.errors import OrpheusError
from orpheus_core.peers import Source
from orpheus_core.process import Child, ChildError
from orpheus_core.types import Array
from orpheus_experiments.accuracy.exact import WRONG, error
from orpheus_experiments.race.entrant import ORPHEUS, confinement, hindrance
from orpheus_experiments.race.worker import LoadFact, Task, TurnFact
from orpheus_experiments.timing.prime import prime as prime_model

__all__ = ["WRONG", "Heat", "Lane", "Plan", "run"]


@dataclass(frozen=True)
class Plan:
    """What to race. ``models`` maps a network's name to its ONNX file; times are in seconds.

    ``loads`` counts the fresh processes whose load time and memory are taken; ``tune`` is the time for each candidate
    of each layer, for ``orpheus-tuned``.
    """

    models: Mapping[str, Path]
    entrants: Sequence[str]
    threads: Sequence[int] = (1, 2)
    backends: tuple[str, ...] = ("openmp", "numpy")
    runs: int = 30
    rounds: int = 20
    turn: float = 0.05
    warm: float = 5.0
    loads: int = 3
    tune: float = 0.05
    again: bool = False
    isa: str | None = None
    seed: int = 0
    timeout: float = 900.0


@dataclass
class Lane:
    """One entrant in one heat. ``reason`` is empty unless it gave no result; ``rounds`` are seconds, turn by turn."""

    name: str
    reason: str = ""
    summary: str = ""
    loads: list[float] = field(default_factory=list)
    growths: list[int] = field(default_factory=list)
    planned: int | None = None
    error: float | None = None
    steady: bool = True
    cores: list[float] = field(default_factory=list)
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether it has a time."""
        return not self.reason and bool(self.rounds)


@dataclass(frozen=True)
class Heat:
    """One network at one thread count."""

    network: str
    threads: int
    lanes: list[Lane]


def run(
    plan: Plan, say: Callable[[str], None], ended: Callable[[Heat], None] = lambda _heat: None
) -> list[Heat]:
    """All heats, thread by thread, network by network, each told to ``ended``. Who fails is a lane with its reason."""
    with tempfile.TemporaryDirectory(prefix="orpheus-race-") as name:
        folder = Path(name)
        prime = folder / "prime.onnx"
        onnx.save(prime_model(), prime)
        hindered = {n: hindrance(n, plan.backends, plan.isa) or "" for n in plan.entrants}
        primes, faults = _convert(plan, prime, folder / "prime", hindered)
        heats: list[Heat] = []
        for network, path in plan.models.items():
            say(f"{network}: converting, and evaluating in float64 ...")
            feeds = _feeds(path, plan.seed)
            exact = _once(plan, {}, "exact", path, feeds)
            sources, unconverted = _convert(plan, path, folder / network, {**hindered, **faults})
            for threads in plan.threads:
                lanes = [Lane(n, unconverted.get(n, "")) for n in plan.entrants]
                heat = _Heat(plan, network, path, threads, lanes, feeds, exact, say)
                heat.run(sources, primes)
                heats.append(Heat(network, threads, lanes))
                ended(heats[-1])
        return heats


def _convert(
    plan: Plan, path: Path, folder: Path, hindered: Mapping[str, str]
) -> tuple[dict[str, Source], dict[str, str]]:
    """The model in everybody's own format, and why some have none."""
    sources: dict[str, Source] = {}
    reasons = {name: reason for name, reason in hindered.items() if reason}
    for name in plan.entrants:
        if name in reasons:
            continue
        try:
            sources[name] = _once(plan, confinement(name, plan.isa), "convert", name, path, folder / name)
        except OrpheusError as error_:
            reasons[name] = _reason(error_)
    return sources, reasons


class _Heat:
    def __init__(
        self,
        plan: Plan,
        network: str,
        path: Path,
        threads: int,
        lanes: list[Lane],
        feeds: Mapping[str, Array],
        exact: list[Array],
        say: Callable[[str], None],
    ) -> None:
        self.plan, self.network, self.path, self.threads = plan, network, path, threads
        self.lanes, self.feeds, self.exact, self.say = lanes, feeds, exact, say
        self.racers: dict[str, Child] = {}
        self.place: int | None = None

    def run(self, sources: Mapping[str, Source], primes: Mapping[str, Source]) -> None:
        what = f"{self.network}, {self.threads} thread{'s' * (self.threads > 1)}"
        with ExitStack() as stack:
            shuffled = random.Random(f"{self.plan.seed} {what}")

            def everybody(work: Callable[[Lane], None]) -> None:
                order = [lane for lane in self.lanes if not lane.reason]
                shuffled.shuffle(order)
                for lane in order:
                    self.guard(lane, work)

            for lane in self.lanes:
                if lane.name == ORPHEUS[1] and not lane.reason:
                    self.say(f"{what}: tuning ...")
                    self.guard(lane, self.tune)
            # In turns: who comes after others has the memory that the system has just found for these.
            for attempt in range(self.plan.loads):
                self.say(f"{what}: load {attempt + 1} of {self.plan.loads} ...")
                stays = attempt == self.plan.loads - 1
                everybody(partial(self.load, sources=sources, primes=primes, stack=stack, stays=stays))
            self.say(f"{what}: warming up ...")
            everybody(self.warm)
            for turn in range(self.plan.rounds):
                self.say(f"{what}: round {turn + 1} of {self.plan.rounds} ...")
                everybody(self.turn)

    def guard(self, lane: Lane, work: Callable[[Lane], None]) -> None:
        try:
            work(lane)
        except OrpheusError as error_:
            lane.reason = _reason(error_)
            if lane.name in self.racers:
                self.racers.pop(lane.name).close()

    def tune(self, lane: Lane) -> None:
        plan = self.plan
        given = (self.path, self.threads, plan.backends, plan.tune, plan.again)
        _once(plan, confinement(lane.name, plan.isa), "tune", *given)

    def load(
        self,
        lane: Lane,
        sources: Mapping[str, Source],
        primes: Mapping[str, Source],
        stack: ExitStack,
        *,
        stays: bool,
    ) -> None:
        """Load in a fresh process, which ``stays`` to race."""
        plan = self.plan
        task = Task(lane.name, sources[lane.name], primes[lane.name], self.threads, plan.backends)
        racer = self.racers[lane.name] = _process(confinement(lane.name, plan.isa))
        stack.callback(racer.close)
        fact: LoadFact = racer.call("load", task, self.feeds, limit=plan.timeout)
        lane.loads.append(fact.seconds)
        if fact.growth is not None:
            lane.growths.append(fact.growth)
        if not stays:
            racer.close()
        lane.planned, lane.summary = fact.planned, fact.summary
        lane.error = error(fact.outputs, self.exact)
        if not lane.error <= WRONG:
            raise ChildError("failed", f"wrong: its error is {lane.error:.1e} of the output's range")

    def warm(self, lane: Lane) -> None:
        lane.steady = self.racers[lane.name].call("warm", self.plan.warm, limit=self.plan.timeout)

    def turn(self, lane: Lane) -> None:
        runs = math.ceil(self.plan.runs / self.plan.rounds)
        # One thread takes over the processor of the turn before, so that none has the better one.
        after = self.place if self.threads == 1 else None
        racer, limit = self.racers[lane.name], self.plan.timeout
        fact: TurnFact = racer.call("turn", runs, self.plan.turn, after, limit=limit)
        self.place = fact.processor
        lane.rounds.append(fact.samples)
        lane.cores.append(fact.cores)


def _process(environment: Mapping[str, str]) -> Child:
    return Child("orpheus_experiments.race.worker", environment=environment, rests=True, quiet=True)


def _once(plan: Plan, environment: Mapping[str, str], work: str, *given: Any) -> Any:
    """The answer of a process that lives for this one question."""
    with _process(environment) as child:
        return child.call(work, *given, limit=plan.timeout)


def _reason(error_: OrpheusError) -> str:
    if not isinstance(error_, ChildError):
        return f"{type(error_).__name__}: {error_}"
    return str(error_) if error_.kind == "failed" else f"{error_.kind}: {error_}"


def _feeds(path: Path, seed: int) -> dict[str, Array]:
    """Standard normal inputs; the networks' shapes are fixed."""
    generator = np.random.default_rng(seed)
    graph = onnx.load(path, load_external_data=False).graph
    weights = {t.name for t in graph.initializer}
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in graph.input
        if v.name not in weights
    }
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
