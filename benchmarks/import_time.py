"""What ``import orpheus_core`` adds to importing numpy and onnx, in fresh interpreters, interleaved.

usage: python benchmarks/import_time.py [--rounds 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

CASES = {"numpy, onnx": "import numpy, onnx", "and orpheus_core": "import numpy, onnx, orpheus_core"}
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(args.rounds):
        for name, code in CASES.items():
            command = [sys.executable, "-c", TIMED.format(code)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append(float(done.stdout))
    medians = {name: statistics.median(t) for name, t in times.items()}
    added = medians["and orpheus_core"] / medians["numpy, onnx"] - 1
    if args.json:
        print(json.dumps({"medians": medians, "added": added}))
        return
    for name, seconds in medians.items():
        print(f"{name:18} {seconds * 1e3:6.1f} ms")
    print(f"orpheus_core adds {added:.1%}")


if __name__ == "__main__":
    main()
