"""What several queues could gain on an OpenCL device: two independent inferences at once against one after the other.

Each session has a queue of its own, so that every kernel of one has a partner in the other that waits for nothing but
the device. The branches of a network find a partner less often, and must not share memory that one queue could reuse:
what is measured here is more than queues for branches can give. In turns, on the host's clock.

usage: python benchmarks/opencl_queues.py [NETWORK ...] [--device 0] [--seconds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from orpheus_experiments.zoo.registry import build

import orpheus_core as orpheus

NETWORKS = ("inception-v3", "resnet-18")


def measure(network: str, device: int, seconds: float) -> tuple[list[float], list[float]]:
    """Times of two inferences, one after the other and at once."""
    model = build(network)
    providers: list[str | tuple[str, Any]] = [("opencl", {"device": device}), "numpy"]
    sessions = [orpheus.InferenceSession(model, providers=providers, fallback="error") for _ in range(2)]
    info = sessions[0].get_inputs()[0]
    shape = [size for size in info.shape if isinstance(size, int)]
    feed = {info.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}

    def run(session: orpheus.InferenceSession) -> None:
        session.run(None, feed)

    with ThreadPoolExecutor(2) as pool:

        def in_turn() -> None:
            for session in sessions:
                run(session)

        def at_once() -> None:
            for _ in pool.map(run, sessions):
                pass

        ways = (in_turn, at_once)
        times: tuple[list[float], list[float]] = ([], [])
        for way in ways:
            way()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not times[1]:
            for way, found in zip(ways, times):
                start = time.perf_counter()
                way()
                found.append(time.perf_counter() - start)
    return times


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.json:
        found = {network: measure(network, args.device, args.seconds) for network in args.networks}
        print(json.dumps({"seconds": {n: {"in_turn": a, "at_once": b} for n, (a, b) in found.items()}}))
        return
    print(f"{'ms, least and median':20} {'in turn':>17} {'at once':>17} {'gain':>13}")
    for network in args.networks:
        each = [
            (min(t) * 1e3, statistics.median(t) * 1e3) for t in measure(network, args.device, args.seconds)
        ]
        gains = [1 - after / before for before, after in zip(*each)]
        columns = [f"{least:8.2f} {median:8.2f}" for least, median in each]
        print(f"{network:20} {' '.join(columns)} {gains[0]:6.1%} {gains[1]:6.1%}")


if __name__ == "__main__":
    main()
