"""What several queues gain on an OpenCL device: the same networks with launches on one queue, two, three and four.

A session for each number of queues, one inference of each in turns, on the host's clock, inputs bound before. Without
branches all launches go to one queue whatever the option says, and the row shows what differs by chance.

usage: python benchmarks/opencl_queues.py [NETWORK ...] [--queues 1,2,3,4] [--device 0] [--seconds 10] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
from orpheus_experiments.zoo.registry import build

import orpheus_core as orpheus

NETWORKS = ("inception-v3", "resnet-50")


def measure(network: str, queues: list[int], device: int, seconds: float) -> dict[int, list[float]]:
    """Seconds of every inference, for each number of queues. Their results must be the same to the bit."""
    model, runs, results = build(network), {}, []
    for count in queues:
        providers: list[str | tuple[str, Any]] = [("opencl", {"device": device, "queues": count}), "numpy"]
        session = orpheus.InferenceSession(model, providers=providers, fallback="error")
        info = session.get_inputs()[0]
        shape = [size for size in info.shape if isinstance(size, int)]
        feed = {info.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
        results.append(session.run(None, feed))
        runs[count] = session.bind(feed)
    for found in results[1:]:
        for expected, got in zip(results[0], found):
            np.testing.assert_array_equal(expected, got)
    times: dict[int, list[float]] = {count: [] for count in queues}
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end or turn < 2:
        for count in queues[turn % len(queues) :] + queues[: turn % len(queues)]:
            start = time.perf_counter()
            runs[count]()
            times[count].append(time.perf_counter() - start)
        turn += 1
    return times


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--queues", default="1,2,3,4")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    queues = [int(number) for number in args.queues.split(",")]
    found = {name: measure(name, queues, args.device, args.seconds) for name in args.networks}
    if args.json:
        print(json.dumps({"seconds": found}))
        return
    print(f"{'ms, least and median':20} {'queues':>6} {'least':>8} {'median':>8} {'of the first':>13}")
    for network, times in found.items():
        first = statistics.median(times[queues[0]])
        for count in queues:
            least, median = min(times[count]), statistics.median(times[count])
            print(f"{network:20} {count:6} {least * 1e3:8.2f} {median * 1e3:8.2f} {median / first:13.3f}")


if __name__ == "__main__":
    main()
