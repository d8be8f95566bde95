"""What it costs that OpenMP's idle threads sleep soon, and what it would cost to end them or let them look for long.

usage: python benchmarks/pool.py [--networks wrn-40-2] [--threads 2] [--rounds 7] [--json FILE]

Plans: orpheus-openmp alone, orpheus-onednn alone, and the two in turns, convolution by convolution, which share GNU's
runtime where orpheus-openmp was built on this machine. What is done with the threads: told to sleep soon when the
runtime is loaded, as Orpheus does; where somebody else has loaded it before, ended after each segment of
orpheus-onednn's, and looking for as long as GNU has them look after orpheus-openmp's; or told another number of looks
by GOMP_SPINCOUNT (GNU's own is 300000). Every process has turns in shuffled order, the others being stopped. In a row:
medians of runs one after the other; rested: of runs after a pause of 3 ms; awake: processor time that the process takes
in 50 ms of sleep after a run, its threads still looking for work.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from orpheus_experiments.trial import ModelRef
from orpheus_experiments.trial.engines import open_session
from orpheus_experiments.trial.models import locate

from orpheus_core.cli.table import quantity, table
from orpheus_core.process import Child
from orpheus_core.waiting import VARIABLE

#: Backends, whose convolutions are dealt out in turns where there are two beside numpy.
PLANS = {
    "openmp": ("openmp", "numpy"),
    "onednn": ("onednn", "numpy"),
    "in turns": ("openmp", "onednn", "numpy"),
}
#: The environment, and whether GNU's runtime is there before any backend.
WAYS: dict[str, tuple[dict[str, str], bool]] = {
    "sleep soon": ({}, False),
    "runtime was there before": ({}, True),
    **{f"{looks} looks": ({VARIABLE: looks}, False) for looks in ("0", "1000", "4000", "20000", "300000")},
}
_PAUSE, _SLEEP = 0.003, 0.05
_LIMIT = 900.0

State = dict[str, Any]


def load(state: State, path: Path, plan: str, threads: int, early: bool) -> str:
    """Open the session and run it; what computes, in words."""
    if early:
        ctypes.CDLL("libgomp.so.1")
    backends = PLANS[plan]
    session = open_session(path, backends, threads).session
    if plan == "in turns":
        rows = [row for row in session.kernel_plan() if row.op.endswith("Conv")]
        pins = {row.node: backends[i % 2] for i, row in enumerate(rows)}
        session = open_session(path, backends, threads, pins=pins).session
    (x,) = session.get_inputs()
    feed = {x.name: np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)}
    state["run"] = lambda: session.run(None, feed)
    for _ in range(10):
        state["run"]()
    return str(session.explain().summary)


def turn(state: State, seconds: float) -> tuple[list[float], list[float], list[float]]:
    """Seconds of runs in a row and of rested ones, and of the processor while asleep."""
    run: Callable[[], Any] = state["run"]
    row, rested, awake = [], [], []
    run(), run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        row.append(_timed(run))
    for _ in range(20):
        time.sleep(_PAUSE)
        rested.append(_timed(run))
    for _ in range(3):
        run()
        start = time.process_time()
        time.sleep(_SLEEP)
        awake.append(time.process_time() - start)
    return row, rested, awake


def _timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="wrn-40-2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=0.3, help="seconds of runs in a row")
    parser.add_argument("--json", type=Path, help="write the rows there")
    args = parser.parse_args()
    for name in (VARIABLE, "OMP_WAIT_POLICY"):  # the rows are about these
        os.environ.pop(name, None)
    rows: list[dict[str, Any]] = []
    for network, plan in product(args.networks.split(","), PLANS):
        rows += measure(network, plan, args.threads, args.rounds, args.turn)
        print(table(_HEADERS, [_shown(row) for row in rows[-len(WAYS) :]]), file=sys.stderr, flush=True)
        if args.json:
            args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(_HEADERS, [_shown(row) for row in rows]))
    return 0


def measure(network: str, plan: str, threads: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each way, of one network on one plan."""
    path = locate(ModelRef(zoo=network), 1)
    with ExitStack() as stack:
        children, plans = {}, {}
        for way, (environment, early) in WAYS.items():
            child = children[way] = Child("pool", environment=environment, rests=True, quiet=True)
            stack.callback(child.close)
            plans[way] = child.call("load", path, plan, threads, early, limit=_LIMIT)
        found: dict[str, list[tuple[list[float], ...]]] = {way: [] for way in WAYS}
        order, shuffled = list(WAYS), random.Random(f"{network} {plan}")
        for _ in range(rounds):
            shuffled.shuffle(order)
            for way in order:
                found[way].append(children[way].call("turn", seconds, limit=_LIMIT))
    rows = []
    for way in WAYS:
        row, rested, awake = (median(s for turns in parts for s in turns) for parts in zip(*found[way]))
        facts = {"network": network, "plan": plan, "threads": threads, "way": way, "computes": plans[way]}
        rows.append({**facts, "row": row, "rested": rested, "awake": awake})
    return rows


_HEADERS = ("network", "plan", "threads", "idle threads", "in a row ms", "rested ms", "awake ms")


def _shown(row: dict[str, Any]) -> tuple[Any, ...]:
    times = (quantity(1e3 * row[name]) for name in ("row", "rested", "awake"))
    return (row["network"], row["plan"], row["threads"], row["way"], *times)


if __name__ == "__main__":
    sys.exit(main())
