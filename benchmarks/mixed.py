"""The tuned plan of several backends against the best of them alone, and which layer went where.

usage: python benchmarks/mixed.py [--networks wrn-40-2,resnet-18] [--backends openmp,onednn,blas:openblas,numpy]
                                  [--threads 1,2] [--processes 7] [--tune 0.05] [--json FILE]

The last backend is the one that the others fall back on, and is not timed alone. All sets are tuned (what has been
tuned before is kept), then they take turns as in `orpheus bench`, each in fresh processes. The ratio is the time of the
best one alone over that of the mixed plan, with the 95 % interval of `orpheus bench`; where both have the same kernels
it differs from 1 by chance only. Exit code 1 when a mixed plan is slower beyond the machine's noise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orpheus_experiments.benchmark.comparing import compare_records, is_wrong, times
from orpheus_experiments.statistics.processes import centre
from orpheus_experiments.trial import ModelRef, Trial
from orpheus_experiments.trial.engines import open_session
from orpheus_experiments.trial.models import locate
from orpheus_experiments.trial.together import run_together

from orpheus_core import discovery
from orpheus_core.cli.table import quantity, table
from orpheus_core.process import Child

NETWORKS = "wrn-40-2,mobilenet-v1,resnet-18,inception-v3,resnet-50"
#: Seconds that tuning of one set of backends may take.
_PATIENCE = 7200.0


def main() -> int:
    """Tune, measure, and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--backends", default="openmp,onednn,blas:openblas,numpy")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--processes", type=int, default=7, help="fresh processes of each set of backends")
    parser.add_argument("--min-time", type=float, default=5.0, help="seconds of inferences of each set")
    parser.add_argument("--tune", type=float, default=0.05, help="seconds for each kernel in tuning")
    parser.add_argument("--json", type=Path, help="write every row there, and the backend of every layer")
    args = parser.parse_args()
    backends = args.backends.split(",")
    for row in map(discovery.row, backends):
        if not row.ready:
            parser.error(f"{row.name} is {row.status}: {row.reason}; to fix: {row.fix}")
    if len(backends) < 3:
        parser.error(f"--backends {args.backends}: needs two or more to mix, and one to fall back on")
    rows = []
    for network in args.networks.split(","):
        for threads in map(int, args.threads.split(",")):
            rows.append(measure(network, threads, backends, args.processes, args.min_time, args.tune))
            print(*filter(None, map(str, _shown(rows[-1]))), sep=", ", file=sys.stderr, flush=True)
            if args.json:  # each time: it takes long enough to be interrupted
                args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(_HEADERS, [_shown(row) for row in rows]))
    names = tuple(
        dict.fromkeys([*backends, "core", *(_backend(layer) for r in rows for layer in r["layers"])])
    )
    print(table(("network", "threads", *names), [_places(row, names) for row in rows]))
    return int(any(row["ratio"] < 1 and row["beyond_noise"] for row in rows))


def measure(
    network: str, threads: int, backends: Sequence[str], processes: int, seconds: float, tune: float
) -> dict[str, Any]:
    """One network on so many threads: the mixed plan, each backend alone with the last, and the mixed plan's layers."""
    path = locate(ModelRef(zoo=network), 1)
    sets = [tuple(backends), *((name, backends[-1]) for name in backends[:-1])]
    for names in sets:
        print(f"{network}, threads {threads}: tuning {'+'.join(names)} ...", file=sys.stderr, flush=True)
        with Child("orpheus_experiments.race.worker", quiet=True) as child:
            child.call("tune", path, threads, names, tune, False, limit=_PATIENCE)
    # By cost any backend may take a layer; in their order the first does, and the last what it refuses.
    trials = [
        Trial(
            model=ModelRef(zoo=network), engine=",".join(names), threads=threads, tuned=True,
            policy="order" if i else "cost", processes=processes, min_time=seconds, metrics=("latency", "error"),
        )
        for i, names in enumerate(sets)
    ]  # fmt: skip
    records = run_together(trials).records
    for names, record in zip(sets, records):
        if record.failure is not None:
            raise SystemExit(f"{'+'.join(names)}: {record.failure.kind}: {record.failure.message}")
        if is_wrong(record):
            raise SystemExit(f"{'+'.join(names)}: its results are wrong")
    mixed, *alone = records
    best = min(range(len(alone)), key=lambda i: centre(times(alone[i])).value)
    found = compare_records(alone[best], mixed, paired=True)
    plan = open_session(path, backends, threads, tuned=True, policy="cost").session.kernel_plan()
    other = open_session(path, sets[1 + best], threads, tuned=True, policy="order").session.kernel_plan()
    kernels = [[row.kernel_id for row in rows] for rows in (plan, other)]
    return {
        "network": network, "threads": threads, "mixed": centre(times(mixed)).value,
        "alone": {names[0]: centre(times(record)).value for names, record in zip(sets[1:], alone)},
        "best": sets[1 + best][0], "ratio": found.ratio.value, "low": found.ratio.low, "high": found.ratio.high,
        "beyond_noise": bool(found.is_real), "same_kernels": kernels[0] == kernels[1],
        "layers": [{"node": row.node, "op": row.op, "kernel": row.kernel_id} for row in plan],
    }  # fmt: skip


_HEADERS = ("network", "threads", "mixed ms", "best alone", "its ms", "ratio", "", "kernels")


def _shown(row: dict[str, Any]) -> tuple[Any, ...]:
    interval = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return (
        row["network"], row["threads"], quantity(1e3 * row["mixed"]), row["best"],
        quantity(1e3 * row["alone"][row["best"]]), f"{row['ratio']:.3f}{interval}",
        "beyond noise" if row["beyond_noise"] else "within noise", "the same" if row["same_kernels"] else "others",
    )  # fmt: skip


def _backend(layer: dict[str, str]) -> str:
    return discovery.split(layer["kernel"])[0]


def _places(row: dict[str, Any], backends: Sequence[str]) -> tuple[Any, ...]:
    """How many layers of each operator a backend has."""
    found: dict[str, Counter[str]] = {name: Counter() for name in backends}
    for layer in row["layers"]:
        found[_backend(layer)][layer["op"].rpartition(":")[2]] += 1
    cells = (", ".join(f"{op} {n}" for op, n in ops.most_common()) or "-" for ops in found.values())
    return (row["network"], row["threads"], *cells)


if __name__ == "__main__":
    sys.exit(main())
