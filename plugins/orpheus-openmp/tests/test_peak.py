"""The measured peak: the operations of the kernel by the clock."""

from __future__ import annotations

from itertools import accumulate, chain
from types import SimpleNamespace

import pytest

peak = pytest.importorskip("orpheus_openmp.peak", reason="orpheus-openmp is not installed")
isas = pytest.importorskip("orpheus_openmp.isa", reason="orpheus-openmp is not installed")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_best_of_runs_that_are_long_enough_counts(isa, threads, monkeypatch):
    monkeypatch.setenv(isas.VARIABLE, isa)
    # Two that are too short, one that is not, five tries.
    runs = [0.001, 0.01, 0.5, 0.25, 0.5, 0.125, 0.25, 0.5]
    readings = iter([0.0, *accumulate(chain.from_iterable((run, 0.0) for run in runs))])
    monkeypatch.setattr(peak, "time", SimpleNamespace(perf_counter=lambda: next(readings)))
    block, pixels, vectors = isas.tile(isa)
    rounds = 1000 * 4 * 4
    assert peak.peak(threads) == pytest.approx(2 * threads * rounds * pixels * vectors * block / 0.125)
