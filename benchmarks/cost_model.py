"""How good the static choice of kernels is: each layer's chosen kernel beside the fastest measured one.

usage: python benchmarks/cost_model.py [--networks wrn-40-2,resnet-18] [--threads 1,2] [--backend openmp] [--tune 0.015]
                                       [--again] [--layers 3] [--json FILE]

Every kernel of every layer is measured as `orpheus tune` does (what has been measured before is kept). Compared are
kernels in the layouts that the untuned plan has there, so that no conversion counts. The ratio of a network is the sum
of its chosen kernels' times over that of the fastest ones; --layers shows those that lose most.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from orpheus_experiments.trial import ModelRef
from orpheus_experiments.trial.models import locate

import orpheus_core as orpheus
from orpheus_core.cli.table import quantity, table
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.selector import choices_for, choose, constant_bytes
from orpheus_core.selection.signature import measurement_key
from orpheus_core.session.tuning import tune

NETWORKS = "wrn-40-2,mobilenet-v1,resnet-18,inception-v3,resnet-50,mobilenet-v2"


@dataclass(frozen=True)
class Layer:
    """One node: its kernel and the fastest one in its layouts, with their seconds."""

    node: str
    chosen: str
    seconds: float
    best: str
    fastest: float


def main() -> int:
    """Measure what is not kept yet, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--backend", default="openmp")
    parser.add_argument("--tune", type=float, default=0.015, metavar="S", help="time for each kernel")
    parser.add_argument("--again", action="store_true", help="measure what has been measured before, too")
    parser.add_argument("--layers", type=int, default=3, metavar="N", help="layers that lose most")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rows, record = [], []
    for name in args.networks.split(","):
        for threads in map(int, args.threads.split(",")):
            print(f"{name}, {threads} thread(s) ...", file=sys.stderr)
            layers = list(study(name, threads, args.backend, args.tune, args.again))
            chosen, fastest = sum(x.seconds for x in layers), sum(x.fastest for x in layers)
            if not layers:
                parser.error(f"no layer of {name} has two kernels of {args.backend} to compare")
            rows.append((name, str(threads), *_times(chosen, fastest), f"{chosen / fastest:.3f}"))
            worst = sorted(layers, key=lambda x: x.fastest - x.seconds)[: args.layers]
            rows += [
                (f"  {x.node}", "", *_times(x.seconds, x.fastest), f"{x.chosen}, not {x.best}")
                for x in worst
                if x.seconds > x.fastest
            ]
            record.append({"network": name, "threads": threads, "layers": [vars(x) for x in layers]})
    print(table(("network", "threads", "chosen ms", "fastest ms", "ratio"), rows))
    if args.json:
        args.json.write_text(json.dumps(record, indent=1))
    return 0


def _times(chosen: float, fastest: float) -> tuple[str, str]:
    return quantity(chosen * 1e3), quantity(fastest * 1e3)


def study(name: str, threads: int, backend: str, seconds: float, again: bool) -> Iterator[Layer]:
    """The layers of a network for which more than one kernel was measured."""
    session = orpheus.InferenceSession(
        locate(ModelRef(zoo=name), 1), providers=[backend, "numpy"], threads=threads
    )
    session.executable.ready()
    tune(session, seconds=seconds, again=again)
    cache = MeasurementCache()
    options = replace(session.options, cache=None, pins={})
    graph, selection = choose(session.graph, options)
    options = replace(options, network_bytes=constant_bytes(graph))
    for node, decision in zip(graph.nodes, selection.decisions):
        own = decision.candidate
        rivals = [
            s.candidate
            for s in choices_for(node, options).scored
            if s.candidate.backend.name == backend and s.candidate.format == own.format
        ]
        times = {c.kernel.name: cache.get(measurement_key(decision.problem, c)) for c in rivals}
        known = {kernel: taken for kernel, taken in times.items() if taken is not None}
        if own.kernel.name in known and len(known) > 1:
            best = min(known, key=lambda kernel: known[kernel])
            yield Layer(node.name, own.kernel.name, known[own.kernel.name], best, known[best])


if __name__ == "__main__":
    sys.exit(main())
