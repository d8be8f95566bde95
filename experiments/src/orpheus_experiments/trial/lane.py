"""One trial on its way: its children, its time, and what they have found so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orpheus_core.errors import OrpheusError
from orpheus_core.process import Child, ChildError
from orpheus_experiments.trial.engines import confinement
from orpheus_experiments.trial.kinds import kind_of
from orpheus_experiments.trial.record import Failure, Layer, Process, Turn
from orpheus_experiments.trial.trial import Trial

__all__ = ["WORKS", "Lane", "Workshop"]

#: What the children can be asked.
WORKS = "orpheus_experiments.trial.works"
_IDLE = 0.5


class Workshop:
    """What several trials share: converted models, references, the machine's peak; each made once, below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[str, Any] = {}

    def once(self, key: str, make: Callable[[Path], Any]) -> Any:
        """What ``make`` gives, or gave before, for ``key``; a ChildError is kept, too."""
        if key not in self._kept:
            place = self.folder / str(len(self._kept))
            try:
                place.mkdir(exist_ok=True)
                self._kept[key] = make(place)
            except OSError as fault:
                raise ChildError("failed", f"cannot write below {self.folder}: {fault.strerror}") from fault
            except ChildError as error:
                if error.kind == "timed out":  # another trial may have more time
                    raise
                self._kept[key] = error
        found = self._kept[key]
        if isinstance(found, ChildError):
            raise ChildError(found.kind, str(found))
        return found


class Lane:
    """A trial, its failure if it has one, and its finished processes.

    Every wait for a child is taken from the trial's time limit, so that trials which take turns do not use up each
    other's. Nothing here raises ChildError but through :meth:`guard`, which turns it into the failure.
    """

    def __init__(self, trial: Trial, workshop: Workshop, substitute: str | None = None) -> None:
        self.trial = trial
        self.substitute = substitute
        self.workshop = workshop
        self.failure: Failure | None = None
        self.processes: list[Process] = []
        self.made: Mapping[str, Any] = {}
        self.results: dict[str, Any] = {}
        self.reasons: dict[str, str] = {}
        self.reference: str | None = None
        self.reference_name = ""
        self.peak: tuple[float, str] | None = None
        self.bandwidth: tuple[float, str] | None = None
        self.layers: tuple[Layer, ...] = ()
        self.watts: list[dict[str, float]] = []
        self.spent = 0.0
        self._child: Child | None = None
        self._begun: Process | None = None
        self._turns: list[Turn] = []

    @property
    def going(self) -> bool:
        """Whether it still takes part."""
        return self.failure is None

    @property
    def is_timed(self) -> bool:
        """Whether the process that is going on has had its share of the time and the runs."""
        trial = self.trial
        seconds = sum(turn.wall for turn in self._turns)
        runs = sum(len(row) for turn in self._turns for row in turn.samples)
        share = trial.processes
        return bool(self._turns) and seconds >= trial.min_time / share and runs >= trial.min_runs / share

    def guard(self, work: Callable[[], None]) -> None:
        """Do ``work`` unless it has failed; a ChildError becomes its failure."""
        if not self.going:
            return
        try:
            work()
        except ChildError as error:
            self.failure = Failure(error.kind, str(error))
            self.close()

    def prepare(self) -> None:
        """Convert the model, and make what its metrics need beside the processes."""
        self.made = self._prepared(self.trial)
        if {"error", "agreement"} & set(self.trial.metrics):
            self._refer()
        if {"flops", "layers"} & set(self.trial.metrics):
            self._measure_peak()

    def begin(self) -> None:
        """Start the next process: load, run, and compare the first one's results."""
        trial = self.trial
        cold = None
        if "load" in trial.metrics and "load" not in self.reasons:
            with self._new() as child:
                try:
                    cold = self._ask(child, "load", made=self.made, cold=True)
                except ChildError as error:
                    if error.kind != "refused":
                        raise
                    self.reasons["load"] = str(error)
        self._child = self._new()
        reference = self.reference if not self.processes else None
        found = self._ask(self._child, "start", made=self.made, reference=reference)
        for name in ("error", "agreement"):
            if name in found:
                self.results[name] = found.pop(name)
        self._begun = Process(**found, steady=False, warm_runs=0, turns=(), cold_load=cold)
        self._turns = []

    def warm(self) -> None:
        """Warm the process up, and read the idle machine where energy is asked for."""
        assert self._begun is not None and self._child is not None
        trial = self.trial
        if "energy" in trial.metrics and "energy" not in self.reasons:
            try:
                self.watts.append(self._ask(self._child, "idle", seconds=_IDLE))
            except ChildError as error:
                if error.kind != "refused":
                    raise
                self.reasons["energy"] = str(error)
        found = self._ask(self._child, "warm", most=trial.warm_limit, within=trial.warm_within)
        self._begun = replace(self._begun, steady=found["steady"], warm_runs=found["runs"])

    def turn(self, runs: int, seconds: float, after: int | None = None) -> int | None:
        """One turn of the process, from the processor ``after`` on; the one on which it ended, where that is known."""
        assert self._child is not None
        metered = "energy" in self.trial.metrics and "energy" not in self.reasons
        found = self._ask(self._child, "turn", runs=runs, at_least=seconds, metered=metered, after=after)
        ended: int | None = found.pop("processor")
        found["samples"] = tuple(tuple(row) for row in found["samples"])
        self._turns.append(Turn(**found))
        return ended

    def end(self) -> None:
        """Keep what the process has found, and end it."""
        assert self._begun is not None
        self.processes.append(replace(self._begun, turns=tuple(self._turns)))
        self.close()

    def profile(self) -> None:
        """Have a fresh process tell its layers, after all that is timed; why it does not is told."""
        if "layers" not in self.trial.metrics or not self.processes:
            return
        try:
            with self._new() as child:
                found = self._ask(child, "layers", made=self.made)
            self.layers = tuple(Layer(**each) for each in found)
        except ChildError as error:
            self.reasons["layers"] = str(error)

    def close(self) -> None:
        """End its child, if it has one."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _new(self) -> Child:
        trial = self.trial
        environment = confinement(trial.engine, trial.isa)
        return _child(environment, memory=trial.memory_limit, cpus=trial.cpus)

    def _ask(self, child: Child, work: str, *, trial: Trial | None = None, **given: Any) -> Any:
        begun = time.monotonic()
        left = self.trial.time_limit - self.spent
        needs = {"trial": (trial or self.trial).to_json()} if work in _OF_TRIAL else {}
        try:
            return child.call(work, limit=max(0.0, left), **needs, **given)
        except OrpheusError as error:
            kind, text = kind_of(error), str(error)
            if kind == "timed out":
                limit = f"it took longer than its limit of {self.trial.time_limit:g} s"
                text = f"{limit}, while asked to {_WORDS[work]}"
            raise ChildError(kind, text) from None
        finally:
            self.spent += time.monotonic() - begun

    def _prepared(self, trial: Trial) -> Mapping[str, Any]:
        def make(place: Path) -> Mapping[str, Any]:
            environment = confinement(trial.engine, trial.isa)
            with _child(environment, memory=trial.memory_limit) as child:
                found: Mapping[str, Any] = self._ask(child, "prepare", trial=trial, folder=str(place))
                return found

        key: list[Any] = [trial.engine, trial.isa, trial.batch, trial.memory_limit, trial.model.as_data()]
        key.append(sorted(trial.shapes.items()))
        made: Mapping[str, Any] = self.workshop.once(f"prepare {key}", make)
        return made

    def _refer(self) -> None:
        """The outputs that errors are against; why there are none is told for both metrics."""
        trial = self.trial
        try:
            self.reference = self._outputs_of(trial.reference)
            self.reference_name = trial.reference
        except ChildError as error:
            if error.kind == "timed out":
                raise
            reason = f"there is no reference: {trial.reference}: {error}"
            if trial.reference != "float64" or self.substitute in (None, trial.engine):
                self.reasons.update(error=reason, agreement=reason)
                return
            assert self.substitute is not None
            try:
                self.reference = self._outputs_of(self.substitute)
            except ChildError as second:
                reason += f"; {self.substitute}: {second}"
                self.reasons.update(error=reason, agreement=reason)
            self.reference_name = f"{self.substitute} (float64: {error})"

    def _outputs_of(self, name: str) -> str:
        trial = self.trial
        exact = name == "float64"
        other = (
            trial if exact else replace(trial, engine=name, kernels={}, policy=None, tuned=False, isa=None)
        )
        made = self.made if exact else self._prepared(other)

        def make(place: Path) -> str:
            target = str(place / "reference.npz")
            with _child() as child:
                self._ask(child, "make_reference", trial=other, made=made, target=target, exact=exact)
            return target

        key: list[Any] = [name, trial.batch, trial.model.as_data(), sorted(trial.shapes.items()), trial.seed]
        key += [trial.images, "agreement" in trial.metrics]
        found: str = self.workshop.once(f"reference {key}", make)
        return found

    def _measure_peak(self) -> None:
        trial = self.trial
        threads = trial.threads * trial.streams

        def make(_: Path) -> tuple[tuple[float, str], tuple[float, str]]:
            environment = {"ORPHEUS_ISA": trial.isa} if trial.isa else {}
            with _child(environment, cpus=trial.cpus) as child:
                found = self._ask(child, "peak", threads=threads)
                return tuple(found["peak"]), tuple(found["bandwidth"])

        try:
            self.peak, self.bandwidth = self.workshop.once(f"peak {threads} {trial.isa} {trial.cpus}", make)
        except ChildError as error:
            self.reasons["flops"] = f"the machine's peak could not be measured: {error}"


def _child(environment: Mapping[str, str] | None = None, **limits: Any) -> Child:
    return Child(WORKS, environment=environment, rests=True, quiet=True, **limits)


_OF_TRIAL = ("prepare", "make_reference", "load", "start", "layers")
_WORDS = {
    "prepare": "read and convert the model", "make_reference": "compute the reference", "load": "load the model",
    "start": "load the model and run it", "warm": "warm up", "turn": "run", "idle": "wait", "peak": "measure the peak",
    "layers": "tell its layers",
}  # fmt: skip
