"""A record as a row of a report: what it is called, and what it belongs with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orpheus_experiments.benchmark.comparing import compare_records, is_wrong, times
from orpheus_experiments.results import Name
from orpheus_experiments.statistics.processes import Difference, centre
from orpheus_experiments.trial import Record, Trial

__all__ = ["Row", "engine_label", "identity", "rows"]


@dataclass(frozen=True)
class Row:
    """``network`` is told apart from another of the same name by its digest, ``setting`` is all but the engine."""

    record: Record
    board: str | None
    network: str
    engine: str
    setting: str

    @property
    def trial(self) -> Trial:
        """What was measured."""
        return self.record.trial

    @property
    def is_right(self) -> bool:
        """Whether there is a result, and the engine computes what it should."""
        return self.record.is_ok and not is_wrong(self.record)

    @property
    def state(self) -> str:
        """Why there is no result to rely on; empty where there is one."""
        if self.record.failure is not None:
            return f"{self.record.failure.kind}: {self.record.failure.message}"
        return "wrong: its results are not the reference's" if is_wrong(self.record) else ""

    @property
    def brief(self) -> str:
        """The same in a word or two."""
        if self.record.failure is not None:
            return self.record.failure.kind
        return "wrong" if is_wrong(self.record) else ""

    @property
    def title(self) -> str:
        """Network and setting."""
        return ", ".join(filter(None, (self.network, self.setting)))


def engine_label(trial: Trial) -> str:
    """The engine and what is pinned or chosen in it, as it is asked for: ``openmp+numpy``, ``openmp:Conv/direct``."""
    label = trial.engine.replace(",", "+")
    pins = "+".join(sorted(str(k).rpartition(":")[2] for k in trial.kernels.values()))
    extra = [x for x in (trial.policy and f"policy {trial.policy}", "tuned" if trial.tuned else "") if x]
    return label + (f":{pins}" if pins else "") + (f" ({', '.join(extra)})" if extra else "")


def rows(records: Mapping[Name, Record]) -> list[Row]:
    """Networks in the order of their size in work where that is known, engines from fast to slow within each."""
    digests: dict[str, set[str]] = {}
    for record in records.values():
        digests.setdefault(record.trial.model.name, set()).add(_model(record.trial))
    common = _common(r.trial for r in records.values())
    found = []
    for name, record in records.items():
        trial = record.trial
        network = trial.model.name
        if len(digests[network]) > 1:
            network += f" ({_model(trial)[:8]})"
        setting = _setting(trial, name.board, common)
        found.append(Row(record, name.board, network, engine_label(trial), setting))
    work = {row.network: 0.0 for row in found}
    for row in found:
        work[row.network] = max(work[row.network], row.record.value("flops", "macs") or 0.0)
    first = {row.network: i for i, row in reversed(list(enumerate(sorted(found, key=_started))))}

    def order(row: Row) -> tuple[object, ...]:
        middle = centre(times(row.record)).value if row.is_right else float("inf")
        return (work[row.network], first[row.network], row.network, row.setting, middle, row.engine)

    return sorted(found, key=order)


def identity(name: Name, trial: Trial) -> str:
    """What is the same trial in two folders: where the file lay, and how long was measured, do not matter."""
    model = trial.model if trial.model.sha256 is None else replace(trial.model, path="-")
    plain = Trial(
        model=model, engine=trial.engine, threads=trial.threads, batch=trial.batch, scenario=trial.scenario,
        streams=trial.streams, isa=trial.isa, policy=trial.policy, tuned=trial.tuned, kernels=trial.kernels,
        shapes=trial.shapes,
    )  # fmt: skip
    return f"{name.board or ''} {json.dumps(plain.as_data(), sort_keys=True)}"


def behind(row: Row, fastest: Row) -> Difference:
    """The row's time over that of the fastest: they took turns when they began at the same time."""
    paired = row.record.started == fastest.record.started and bool(row.record.started)
    return compare_records(row.record, fastest.record, paired=paired)


def groups(found: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by network and setting: what can be compared."""
    result: dict[str, list[Row]] = {}
    for row in found:
        result.setdefault(row.title, []).append(row)
    return result


def _started(row: Row) -> str:
    return row.record.started


def _model(trial: Trial) -> str:
    model = trial.model
    return model.sha256 or (f"zoo {model.name} {model.seed}" if model.zoo else model.path or "")


_SHOWN = ("threads", "batch", "scenario", "streams", "isa", "cpus")


def _common(trials: Iterable[Trial]) -> frozenset[str]:
    """Fields in which all trials are equal: those are told once."""
    every = list(trials)
    return frozenset(f for f in _SHOWN if len({getattr(t, f) for t in every}) == 1)


def _setting(trial: Trial, board: str | None, common: frozenset[str]) -> str:
    words = {
        "threads": f"threads {trial.threads}", "batch": f"batch {trial.batch}", "scenario": trial.scenario,
        "streams": f"streams {trial.streams}" if trial.streams > 1 else "", "isa": trial.isa or "",
        "cpus": f"on processors {', '.join(map(str, trial.cpus))}" if trial.cpus else "",
    }  # fmt: skip
    told = [board or "", *(words[f] for f in _SHOWN if f not in common)]
    return ", ".join(filter(None, told))
