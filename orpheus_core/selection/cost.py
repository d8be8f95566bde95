"""The cost of a candidate in seconds: measured, else the kernel's own model, else an estimate from its rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from orpheus_core.plugin import Problem, resolve
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.candidates import Candidate
from orpheus_core.selection.signature import measurement_key
from orpheus_core.types import TensorType

#: Bytes a second and seconds a call assumed where nothing is known; only their order of magnitude matters.
ASSUMED_BANDWIDTH = 8e9
ASSUMED_CALL = 1e-6


class Source(Enum):
    """Where a cost comes from, the most trusted first."""

    MEASURED = "measured"
    MODEL = "cost model"
    RANK = "rank"


@dataclass(frozen=True)
class Scored:
    """A feasible candidate with its cost: seconds, times the price of its errors (:attr:`Accuracy.price`).

    ``noise``: by how many seconds a measured time may be wrong.
    """

    candidate: Candidate
    seconds: float
    source: Source
    noise: float = 0.0


def score(problem: Problem, candidate: Candidate, cache: MeasurementCache | None) -> Scored:
    """The cost of one candidate. A cost function that fails, or gives no time, counts as none."""
    if cache is not None and len(cache):
        key = measurement_key(problem, candidate)
        seconds, price = cache.get(key), candidate.kernel.accuracy.price
        if seconds is not None:
            return Scored(candidate, seconds * price, Source.MEASURED, cache.number(key, "noise") * price)
    kernel = candidate.kernel
    if kernel.cost is not None:
        try:
            seconds = float(resolve(kernel.cost)(problem))
        except Exception:  # a plugin's function; the rank below still orders the kernel
            seconds = math.nan
        if math.isfinite(seconds) and seconds >= 0:
            return Scored(candidate, seconds, Source.MODEL)
    return Scored(candidate, rank_cost(problem, kernel.rank), Source.RANK)


def rank_cost(problem: Problem, rank: int) -> float:
    """A time for a kernel of which only its rank is known: its traffic at an assumed bandwidth, times the rank.

    Rank 100 stands for one pass over the operands; the figure only orders kernels and is never reported as time.
    """
    operands = (*problem.inputs, *problem.outputs)
    traffic = sum(t.nbytes or 0 for t in operands if isinstance(t, TensorType))
    return (ASSUMED_CALL + traffic / ASSUMED_BANDWIDTH) * max(rank, 1) / 100
