"""Records without measuring, and a runner that makes them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from orpheus_experiments.metrics import Observed, measure
from orpheus_experiments.trial import Failure, Layer, ModelRef, Process, Record, Trial, Turn
from orpheus_experiments.trial.together import Outcome


def make_trial(engine: str = "numpy", model: str = "/models/net.onnx", **more) -> Trial:
    return Trial(model=ModelRef(path=model), engine=engine, **{"metrics": ("latency", "throughput"), **more})


def make_record(trial: Trial, seconds: float = 0.01, spread: float = 0.01, seed: int = 0) -> Record:
    """A record of a trial whose inferences take about ``seconds``."""
    chance = random.Random(f"{seed} {trial.key}")
    processes = []
    layers = [
        Layer(f"l{i}", op, f"{trial.engine}:{op}/k", share * seconds, work, 10**6)
        for i, (op, share, work) in enumerate(
            (("ai.orpheus:FusedConv", 0.7, 10**8), ("Relu", 0.1, 0), ("Conv", 0.3, 10**7))
        )
    ]
    for _ in range(trial.processes):
        middle = seconds * (1 + spread * chance.uniform(-1, 1))
        samples = tuple(middle * (1 + 0.01 * chance.random()) for _ in range(25))
        turn = Turn(samples=(samples,), wall=sum(samples), cpu=sum(samples))
        processes.append(
            Process(
                load=0.2, steady=True, warm_runs=9, turns=(turn,), cold_load=0.5, peak_bytes=80 << 20,
                growth_bytes=9 << 20, settings="threads 1",
            )
        )  # fmt: skip
    observed = Observed(
        trial=trial, processes=processes, model_bytes=10**6, macs=10**8, error=2e-6, agreement=1.0, images=16,
        reference="float64", peak=(1e11, "openmp"), bandwidth=(1e10, "copies"), layers=layers,
    )  # fmt: skip
    environment = {
        "processor": "Test CPU", "usable_threads": 2, "isa": ["avx2"], "governor": "performance",
        "clock": {"now_mhz": [2000]}, "load_average": [0.1, 0.1, 0.1], "versions": {"numpy": "2.0"}, "plugins": {},
    }  # fmt: skip
    return Record(
        trial=trial, metrics=measure(observed), processes=tuple(processes), layers=tuple(layers),
        environment=environment, started="2026-01-01T00:00:00+00:00", seconds=5.0,
    )  # fmt: skip


def failed(trial: Trial, kind: str = "crashed", message: str = "it died of SIGSEGV") -> Record:
    return Record(trial=trial, failure=Failure(kind, message), started="2026-01-01T00:00:00+00:00")


def quick(trials: Sequence[Trial], **_) -> Outcome:
    """A runner that measures nothing."""
    return Outcome(tuple(make_record(t) for t in trials))


@pytest.fixture
def counting() -> tuple[Callable[..., Outcome], list[str]]:
    """A runner and the keys of all trials that it ran."""
    ran: list[str] = []

    def run(trials: Sequence[Trial], **given) -> Outcome:
        ran.extend(t.key for t in trials)
        given["say"]("timing", 0.5)
        return quick(trials)

    return run, ran
