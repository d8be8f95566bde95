"""Judge the judge: ``python conformance/mutants/run.py``, or ``nox -s mutants``.

Every mutant must be caught for every seed at default settings, by a shrunk case that fails again when its line is
replayed. Every unusual backend must pass. Prints a line per backend; exit code 1 when the suite errs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orpheus_conformance.aside import judge_aside
from orpheus_conformance.case import Case, Operand
from orpheus_conformance.engine import Options, Row, is_green, run
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.plan.graphs import graph_of
from orpheus_conformance.recipe import GraphRecipe, Recipe, Replayable, read_line
from orpheus_conformance.subject import find_subject
from orpheus_conformance.tiers import SURVEYS
from orpheus_conformance.verdict import Court

from mutants import elements, fused, graphs, memory, promises, reductions, strange, windows  # noqa: F401
from mutants.mutant import MUTANTS, UNUSUAL, Trial

#: Elements of all operands of a shrunk case, at most: what a reader can still compute by hand.
SMALL = 64
#: What a node of a graph counts as in that: eight nodes are as much to read.
_NODE = 8


@dataclass(frozen=True)
class Result:
    """One trial with one seed. ``fault`` says how the suite erred, empty when it did not."""

    name: str
    seed: int
    fault: str
    tiers: tuple[str, ...] = ()
    shown: str = ""
    size: int = 0
    seconds: float = 0.0


def judge_mutant(name: str, seed: int, shrink_seconds: float = Options.shrink_seconds) -> Result:
    """Run the suite on a mutant until it is caught, and check what caught it."""
    start = time.perf_counter()
    trial = MUTANTS[name]
    options = Options(seed=seed, shrink_seconds=shrink_seconds, manifest=trial.manifest)
    rows: list[Row] = []
    for row in run(trial.backend, options):
        rows.append(row)
        if row.failed:
            return Result(
                name, seed, _replay(trial, row), (row.tier,), f"{row.tier}: {row.message}", _size(row.case),
                time.perf_counter() - start,
            )  # fmt: skip
    fault = "escaped" if is_green(rows) else ""  # nothing executed is caught as such
    return Result(name, seed, fault, (), "not green", seconds=time.perf_counter() - start)


def _size(case: Replayable | None) -> int:
    if isinstance(case, GraphRecipe):
        graph = graph_of(case)
        return 0 if graph is None else len(graph.nodes) * _NODE
    if not isinstance(case, Case):
        return 0
    shapes = [o.shape for o in case.inputs if isinstance(o, Operand)]
    return sum(_product(s) for s in shapes)


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for d in shape:
        count *= d
    return count


def _replay(trial: Trial, row: Row) -> str:
    if row.case is None:
        # A survey looks at the manifest, and where nothing ran there is no case that could be run again.
        caseless = row.tier in SURVEYS or row.outcome == "untested" or row.executed == 0
        return "" if caseless else f"{row.tier}: no line to replay: {row.message}"
    if _size(row.case) > SMALL:
        return f"not shrunk: {_size(row.case)} elements: {row.case.line()}"
    case = read_line(row.case.line())
    if isinstance(case, Recipe):
        verdict = judge_aside(case, trial.backend)
    else:
        verdict = Court(find_subject(trial.backend, case.kernel), oracle_for(trial.backend.name))(case)
    return "" if verdict.outcome == "failed" else f"{verdict.outcome} when replayed: {row.case.line()}"


def judge_unusual(name: str, seed: int, examples: int = Options.examples) -> Result:
    """Run the suite on an unusual backend, which must be green."""
    start = time.perf_counter()
    rows = list(run(UNUSUAL[name].backend, Options(examples=examples, seed=seed, plan_seconds=0.5)))
    failed = [r for r in rows if r.failed]
    fault = "; ".join(f"{r.tier}: {r.message} {r.case.line() if r.case else ''}" for r in failed)
    if not fault and not is_green(rows):
        fault = "; ".join(sorted({r.message for r in rows if r.message})) or "nothing was executed"
    tiers = tuple(r.tier for r in failed)
    return Result(name, seed, fault, tiers, seconds=time.perf_counter() - start)


def _judge(job: tuple[str, str, int]) -> Result:
    kind, name, seed = job
    return judge_mutant(name, seed) if kind == "mutant" else judge_unusual(name, seed)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="seeds for every mutant (5)")
    parser.add_argument("--unusual-seeds", type=int, default=20, help="seeds for every unusual backend (20)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("-v", "--verbose", action="store_true", help="what every mutant was caught by")
    args = parser.parse_args()
    jobs = [("mutant", n, s) for n in MUTANTS if args.only in n for s in range(args.seeds)]
    jobs += [("unusual", n, s) for n in UNUSUAL if args.only in n for s in range(args.unusual_seeds)]
    start = time.perf_counter()
    wrong = count = 0
    with ProcessPoolExecutor(args.processes, get_context("spawn")) as pool:
        results = zip(jobs, pool.map(_judge, jobs))
        for (kind, name), mine in groupby(results, key=lambda done: done[0][:2]):
            found = [result for _, result in mine]
            wrong += sum(bool(r.fault) for r in found)
            count += len(found)
            _tell(kind, name, found, args.verbose)
    print(f"{count} runs in {time.perf_counter() - start:.0f} s, {wrong} where the suite erred")
    return 1 if wrong else 0


def _tell(kind: str, name: str, results: Sequence[Result], verbose: bool) -> None:
    """A line for one backend, and one for each run in which the suite erred."""
    bad = [r for r in results if r.fault]
    word = "caught" if kind == "mutant" else "passed"
    by = ", ".join(f"{t} {c}" for t, c in Counter(t for r in results for t in r.tiers).items())
    print(f"{kind:8} {name:44} {word} {len(results) - len(bad)}/{len(results)}  {by}", flush=True)
    for r in bad:
        print(f"    seed {r.seed}: {r.fault}", flush=True)
    if verbose and kind == "mutant":
        print(f"    {results[0].shown}  ({results[0].size} elements, {results[0].seconds:.1f} s)", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
