"""How fast the processor does what the cost models count: one row a kind of core, fitted to measured layers."""

from __future__ import annotations

from dataclasses import dataclass

from orpheus_core.plugin import Problem
from orpheus_openmp import isa, machine


@dataclass(frozen=True)
class Rates:
    """Rates of one core, a second unless told otherwise; only what they are to each other decides anything."""

    #: Multiply-adds of float32.
    peak: float
    #: Bytes of weights that come from memory,
    stream: float = 3e10
    #: or from L3, where the whole network's are few, 0 for the same;
    near: float = 0.0
    #: of weights that an algorithm has more of (products hide a part of their way),
    more: float = 5e10
    #: and of tensors that lie in L2.
    cache: float = 3e10
    #: Bytes of a strided form's weights in the time of a multiply-add: measured beside direct sums.
    feed: float = 0.42
    #: Vectors loaded, transformed along one axis, stored.
    transform: float = 1.5e9
    #: The share of the way of transformed weights that products do not hide, or of the products that it does not.
    seen: float = 0.0
    #: Multiply-adds of a vector in whose time one element of weights is transformed,
    weigh: float = 3.0
    #: and those for which sums that come and go with each cut of such weights wait, for each of a tile.
    keep: float = 0.2
    #: Multiply-adds of a vector that take as long as an accumulator's way to L1 or back.
    slot: float = 2.0
    #: The same of a vector of an input sum, times the side of the algorithm: the more, the farther from L1.
    sum: float = 1.8
    #: Seconds more that several threads take who share sums: two meetings, and lines of another core.
    meet: float = 6e-6
    #: Multiply-adds in whose time a tile's weights are loaded, of one for each of its pixels.
    load: float = 1.0
    #: What each thread more adds to the weights that come from memory in a second, as a share of what one gets.
    lanes: float = 0.0

    def longer(
        self, problem: Problem, work: float, weights: float, rate: float = 0.0, seen: float = 0.0
    ) -> float:
        """Seconds of so much work, or of the way of so many bytes of weights, at ``rate`` if it is given.

        ``seen``: the share of the shorter one that the other does not hide.
        """
        if not rate:
            is_near = self.near and 0 < problem.network_bytes <= _FEW
            rate = self.near if is_near else self.stream
        way = weights / rate / (1 + self.lanes * (problem.threads - 1))
        return max(work, way) + seen * min(work, way)


#: Constants of a network that find room in L3 as they are packed, beside what else the machine does.
_FEW = 24 << 20
#: By instruction set. The units of the first five are those in which a Zen 4 core, which computes AVX-512 in halves,
#: multiplies 1e11 times a second.
_RATES = {"avx512": Rates(1e11), "avx2": Rates(5e10), "neon": Rates(2.5e10), "generic": Rates(8e9)}
#: AVX-512 in whole vectors. Products take half the time, memory as long as before: algorithms of fewer products and
#: more weights pay less often. Fitted to measured kernels of six networks on one and two cores of an Intel server (214
#: GFLOP/s, L2 of 2 MB); benchmarks/cost_model.py, there: layers take 1.00 to 1.01 times what the fastest kernels would.
_WIDE = Rates(
    1e11,
    stream=1.05e10,
    near=2.4e10,
    more=3.3e9,
    feed=0.04,
    transform=3.4e8,
    seen=0.4,
    weigh=4.0,
    keep=0.3,
    slot=7.5,
    sum=1.75,
    load=1.4,
    lanes=0.7,
)


def rates_for(problem: Problem) -> Rates:
    """The rates of the instruction set in use; costs of a layer ask for them many times over."""
    return problem.once(_rates_here)


def _rates_here(_: Problem) -> Rates:
    name = isa.current()
    return _WIDE if machine.is_wide(name) else _RATES[name]
