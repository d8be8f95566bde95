"""An OpenCL device on networks of the zoo: shares of its own peak, and what a launch costs on the host.

The peak is that of the plugin's multiply-add kernel, measured in the same run before and after each network, the
higher counting. A share is of the operations of direct sums, whatever the kernel computes. A convolution's time is the
device's own, by its events, the least of ten profiled runs; a network's is the least and the median of whole runs on
the host's clock. A launch is compared with the driver's own call.

usage: python benchmarks/opencl.py [NETWORK ...] [--device 0] [--seconds 2] [--json]
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from orpheus_experiments.zoo.registry import build
from orpheus_opencl.launch import seal
from orpheus_opencl.peak import of_device, work
from orpheus_opencl.runtime import Runtime

import orpheus_core as orpheus
from orpheus_core.types import Device

NETWORKS = ("wrn-40-2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50")
_PROFILES = 10
_LAUNCHES = 1000


@dataclass(frozen=True)
class Row:
    """Seconds of one network, and shares of peak of the whole and of its convolutions."""

    network: str
    least: float
    median: float
    share: float
    convolutions: float


def measure(network: str, device: int, seconds: float) -> Row:
    """One network, alone."""
    providers: list[object] = [("opencl", {"device": device}), "numpy"]
    session = orpheus.InferenceSession(build(network), providers=providers, fallback="error")  # type: ignore[arg-type]
    info = session.get_inputs()[0]
    shape = [size for size in info.shape if isinstance(size, int)]
    feed = {info.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    peak = of_device(device, 0)
    times = repeat(lambda: session.run(None, feed), seconds)
    profiles = [session.profile(feed).rows for _ in range(_PROFILES)]
    peak = max(peak, of_device(device, 0))
    flops = device_seconds = every = 0.0
    for same in zip(*profiles):
        every += 2 * (same[0].macs or 0)
        if "Conv/" in same[0].kernel:
            flops += 2 * (same[0].macs or 0)
            device_seconds += min(row.device_seconds or row.seconds for row in same)
    least = min(times)
    return Row(network, least, statistics.median(times), every / least / peak, flops / device_seconds / peak)


def repeat(call: Callable[[], object], seconds: float) -> list[float]:
    """Times of calls, after two that are not counted."""
    call(), call()
    times: list[float] = []
    while sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def launching(device: int) -> tuple[float, float]:
    """Seconds on the host of one launch of a sealed run of 1,000, and of the driver's own call; least of ten each."""
    runtime = Runtime(Device("opencl", device))
    step = work(runtime.empty((1, 16), np.float32), 1)
    run = seal([step] * _LAUNCHES)
    call = step.calls[0]
    driver = ctypes.CDLL(ctypes.util.find_library("OpenCL"))
    size = (ctypes.c_size_t * 1)(1)
    handles = [ctypes.c_void_p(h.int_ptr) for h in (runtime.queue, call.kernel)]
    start = driver.clEnqueueNDRangeKernel
    group = size if call.group else None

    def bare() -> None:
        for _ in range(_LAUNCHES):
            start(*handles, 1, None, size, group, 0, None, None)

    def once(begin: Callable[[], object]) -> float:
        at = time.perf_counter()
        begin()
        spent = time.perf_counter() - at
        runtime.synchronize()
        return spent / _LAUNCHES

    pairs = [(once(run), once(bare)) for _ in range(10)]
    ours, own = zip(*pairs)
    return min(ours), min(own)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [measure(network, args.device, args.seconds) for network in args.networks]
    mean = statistics.geometric_mean(row.share for row in rows)
    launch, own = launching(args.device)
    if args.json:
        found = {"networks": [asdict(r) for r in rows], "mean_share": mean, "launch": launch, "driver": own}
        print(json.dumps(found))
        return
    print(f"{'network':14} {'least ms':>9} {'median ms':>9} {'of peak':>8} {'convolutions':>12}")
    for r in rows:
        print(
            f"{r.network:14} {r.least * 1e3:9.2f} {r.median * 1e3:9.2f} {r.share:8.0%} {r.convolutions:12.0%}"
        )
    print(f"geometric mean of the networks' shares: {mean:.0%}")
    print(f"a launch on the host: {launch * 1e6:.2f} us; the driver's own call: {own * 1e6:.2f} us")


if __name__ == "__main__":
    main()
