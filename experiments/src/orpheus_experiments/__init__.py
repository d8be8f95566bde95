"""The workbench of Orpheus, a plugin that adds verbs to the ``orpheus`` command and engines to compare with.

Importing this module loads neither numpy code of its own nor a model; the verbs are named by reference.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orpheus_core.plugin import Command, Meter, RuntimeSpec, hookimpl

if TYPE_CHECKING:
    from orpheus_experiments.benchmark.bench import bench
    from orpheus_experiments.fleet.sweep import sweep_fleet
    from orpheus_experiments.report.against import changes
    from orpheus_experiments.report.write import write_report
    from orpheus_experiments.results.folder import Results
    from orpheus_experiments.sweeps.plan import make_plan, read_plan
    from orpheus_experiments.sweeps.run import sweep

__all__ = [
    "Results", "bench", "changes", "make_plan", "orpheus_commands", "orpheus_meters", "orpheus_runtimes", "read_plan",
    "sweep", "sweep_fleet", "write_report",
]  # fmt: skip

#: What is loaded when it is asked for.
_LAZY = {
    "Results": "results.folder", "bench": "benchmark.bench", "changes": "report.against", "make_plan": "sweeps.plan",
    "read_plan": "sweeps.plan", "sweep": "sweeps.run", "sweep_fleet": "fleet.sweep", "write_report": "report.write",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        found = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def orpheus_commands() -> Sequence[Command]:
    """The verbs: ``bench``, ``bisect``, ``layer``, ``layers``, ``profile``, ``report``, ``sweep`` and ``zoo``."""
    return (
        Command(
            name="bench",
            help="latency, throughput, load, memory, energy and error of models on backends and other engines",
            configure="orpheus_experiments.benchmark.command:configure",
            run="orpheus_experiments.benchmark.command:run",
        ),
        Command(
            name="bisect",
            help="the first layer at which two backends or engines part, and a small model that replays it",
            configure="orpheus_experiments.bisect.command:configure",
            run="orpheus_experiments.bisect.command:run",
        ),
        Command(
            name="layer",
            help="every implementation of one layer: time, share of peak, memory, error, and why others were refused",
            configure="orpheus_experiments.layer.command:configure",
            run="orpheus_experiments.layer.command:run",
        ),
        Command(
            name="layers",
            help="a network's choices: each layer's kernel, the best other one, and what it would save",
            configure="orpheus_experiments.layer.command:configure_network",
            run="orpheus_experiments.layer.command:run_network",
        ),
        Command(
            name="profile",
            help="the time of every layer, its share of the machine's peak, and a trace",
            configure="orpheus_experiments.profile.command:configure",
            run="orpheus_experiments.profile.command:run",
        ),
        Command(
            name="report",
            help="a results folder as a page, tables, CSV or Parquet; or what got slower since another one",
            configure="orpheus_experiments.report.command:configure",
            run="orpheus_experiments.report.command:run",
        ),
        Command(
            name="sweep",
            help="measure a declared grid of trials; a kill loses nothing that was done, and --resume goes on",
            configure="orpheus_experiments.sweeps.command:configure",
            run="orpheus_experiments.sweeps.command:run",
        ),
        Command(
            name="zoo",
            help="write a well-known network as ONNX, with seeded weights",
            configure="orpheus_experiments.zoo.command:configure",
            run="orpheus_experiments.zoo.command:run",
        ),
    )


@hookimpl
def orpheus_runtimes() -> Sequence[RuntimeSpec]:
    """The peer engines, installed or not."""
    from orpheus_experiments.peers import ENGINES

    return ENGINES


@hookimpl
def orpheus_meters() -> Sequence[Meter]:
    """The energy counters of the system, readable or not."""
    from orpheus_experiments.energy.meters import METERS

    return METERS
