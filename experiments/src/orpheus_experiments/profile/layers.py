"""Per-layer times: medians over several profiled runs of one session."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orpheus_core.session import InferenceSession
from orpheus_core.session.profile import Profile


@dataclass(frozen=True)
class LayerTime:
    """One step: median seconds with the fastest and slowest, its work, and its achieved FLOP/s (None without MACs).

    A multiply-accumulate counts as two operations, by the operator's definition: an algorithm that needs fewer
    multiplications can achieve more than the machine's peak.
    """

    node: str
    op: str
    kernel: str
    seconds: float
    low: float
    high: float
    macs: int | None
    nbytes: int | None

    @property
    def flops(self) -> float | None:
        """Achieved FLOP/s."""
        return 2 * self.macs / self.seconds if self.macs and self.seconds > 0 else None


@dataclass(frozen=True)
class LayerProfile:
    """Every step in the order it ran, the median latency of unprofiled runs, and the profiles themselves."""

    layers: tuple[LayerTime, ...]
    latency: float
    profiles: tuple[Profile, ...]

    @property
    def seconds(self) -> float:
        """The sum of the layers' medians; above the latency, because every step is timed alone."""
        return sum(layer.seconds for layer in self.layers)


def profile_layers(
    session: InferenceSession,
    feeds: Mapping[str, Any],
    *,
    runs: int = 20,
) -> LayerProfile:
    """Profile ``runs`` runs after a warm-up, and time as many whole runs in turn with them."""
    session.run(None, feeds)
    profiles, whole = [], []
    for _ in range(runs):
        profiles.append(session.profile(feeds, warmup=0))
        start = time.perf_counter()
        session.run(None, feeds)
        whole.append(time.perf_counter() - start)
    layers = []
    for rows in zip(*(p.rows for p in profiles)):
        seconds = [row.seconds for row in rows]
        first = rows[0]
        work = (first.macs, first.nbytes)
        times = (statistics.median(seconds), min(seconds), max(seconds))
        layers.append(LayerTime(first.node, first.op, first.kernel, *times, *work))
    return LayerProfile(tuple(layers), statistics.median(whole), tuple(profiles))
