"""How honest `orpheus bench` is on this machine: an engine against itself, and against itself slowed by 3 %.

usage: python benchmarks/honesty.py [--comparisons 100] [--model wrn-40-2] [--backends openmp] [--slowdown 0.03] [--pin]

Each comparison is a bench of its own with the default times: the engine twice, and once with a busy wait after every
inference. Told are how many of the equal pairs are called different (5 % are to be expected at most), the median gap of
those, and how many slowdowns are found. A comparison takes about half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from orpheus_experiments import bench
from orpheus_experiments.benchmark.comparing import compare_records
from orpheus_experiments.trial import Record

_PLUGIN = """
import os, time
from statistics import median
from orpheus_core.plugin import RuntimeSpec, hookimpl

class Plain:
    slowdown = 0.0
    def __init__(self, path, threads):
        from orpheus_core.session import InferenceSession, SessionOptions
        backends = os.environ["HONESTY_BACKENDS"].split("+")
        self.session = InferenceSession(path, SessionOptions(measurements=""), providers=backends, threads=threads)
        self.settings = {"threads": threads, "slowdown": self.slowdown}
    def bind(self, inputs):
        feeds = {i.name: x for i, x in zip(self.session.get_inputs(), inputs)}
        clock, run = time.perf_counter, self.session.run
        share = self.slowdown
        def call():
            start = clock()
            found = run(None, feeds)
            end = clock()
            until = end + share * (end - start)
            while clock() < until:
                pass
            return found
        return call

class Again(Plain):
    pass

class Slowed(Plain):
    slowdown = float(os.environ["HONESTY_SLOWDOWN"])

@hookimpl
def orpheus_runtimes():
    return tuple(RuntimeSpec(name=kind.__name__.lower(), load=f"orpheus_honesty:{kind.__name__}")
                 for kind in (Plain, Again, Slowed))
"""


def main() -> int:
    """Compare, and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--comparisons", type=int, default=100)
    parser.add_argument("--model", default="wrn-40-2")
    parser.add_argument("--backends", default="openmp")
    parser.add_argument("--slowdown", type=float, default=0.03, help="0 leaves out the slowed engine")
    parser.add_argument("--pin", action="store_true")
    parser.add_argument(
        "--first", type=int, default=1, help="number of the first comparison, the seed of its shuffle"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ.update(HONESTY_BACKENDS=args.backends, HONESTY_SLOWDOWN=str(args.slowdown))
    gaps: list[float] = []
    flagged = found = 0
    medians = []
    with tempfile.TemporaryDirectory() as folder:
        _install(Path(folder))
        for number in range(args.first, args.first + args.comparisons):
            report = bench(
                args.model,
                ["peer:plain", "peer:again", "peer:slowed"][: 3 if args.slowdown else 2],
                pin=args.pin,
                metrics=("latency",),
                seed=number,
            )
            first, second, *slow = report.records[0]
            if report.interrupted or not all(r.is_ok for r in report.every):
                print("\n".join(str(r.failure) for r in report.every if r.failure), file=sys.stderr)
                return 1
            same = compare_records(second, first, paired=True)
            gaps.append(abs(same.ratio.value - 1))
            medians.append([_medians(record) for record in report.records[0]])
            flagged += same.is_real is True
            told = f"{number}: equal {same.ratio.value:.4f}; {flagged} flagged so far, median gap {median(gaps):.2%}"
            for record in slow:
                slowed = compare_records(record, first, paired=True)
                found += slowed.is_real is True and slowed.ratio.value > 1
                told += f"; slowed {slowed.ratio.value:.4f}, {found} found so far"
            print(told, flush=True)
    if args.json:
        kept = {
            "comparisons": len(gaps),
            "flagged": flagged,
            "gaps": gaps,
            "found": found,
            "medians": medians,  # by comparison, engine (plain, again, slowed), process and turn
            "slowdown": args.slowdown,
        }
        args.json.write_text(json.dumps(kept), encoding="utf-8")
    return 0


def _medians(record: Record) -> list[list[float]]:
    return [[median(s for row in t.samples for s in row) for t in p.turns] for p in record.processes]


def _install(folder: Path) -> None:
    """Put the two engines where discovery, and that of the children, finds them."""
    (folder / "orpheus_honesty.py").write_text(_PLUGIN, encoding="utf-8")
    info = folder / "orpheus_honesty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: orpheus-honesty\nVersion: 1\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        "[orpheus.backends]\nhonesty = orpheus_honesty\n", encoding="utf-8"
    )
    sys.path.insert(0, str(folder))


if __name__ == "__main__":
    sys.exit(main())
