"""Intervals of processes: against known quantiles, by their coverage of simulated machines, and by invariances."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orpheus_experiments.statistics.processes import centre, chance, compare, compare_turns, noise, percentile
from orpheus_experiments.statistics.student import cumulative, quantile

#: Student's t, from tables printed to five decimals: degrees of freedom, 0.9, 0.975, 0.995.
TABLE = [
    (1, 3.07768, 12.70620, 63.65674),
    (2, 1.88562, 4.30265, 9.92484),
    (3, 1.63774, 3.18245, 5.84091),
    (4, 1.53321, 2.77645, 4.60409),
    (9, 1.38303, 2.26216, 3.24984),
    (30, 1.31042, 2.04227, 2.75000),
]


@pytest.mark.parametrize("row", TABLE)
def test_quantiles_are_those_of_the_tables(row) -> None:
    freedom, *wanted = row
    got = [quantile(p, freedom) for p in (0.9, 0.975, 0.995)]
    assert got == pytest.approx(wanted, abs=6e-6)


@given(st.floats(0.001, 0.999), st.integers(1, 200))
def test_quantile_undoes_cumulative(probability, freedom) -> None:
    value = quantile(probability, freedom)
    assert cumulative(value, freedom) == pytest.approx(probability, abs=1e-9)
    assert quantile(1 - probability, freedom) == pytest.approx(-value, rel=1e-6, abs=1e-9)


def test_many_degrees_are_normal() -> None:
    assert quantile(0.975, 20_000) == pytest.approx(NormalDist().inv_cdf(0.975), rel=1e-3)
    for probability, freedom in ((0, 1), (1, 1), (0.5, 0)):
        with pytest.raises(ValueError, match="no quantile"):
            quantile(probability, freedom)


def single(*engines: list[float]) -> list[list[list[float]]]:
    """Processes of one turn each."""
    return [[[median] for median in medians] for medians in engines]


times = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=8)


@given(times)
def test_the_centre_lies_in_its_interval(medians) -> None:
    found = centre(medians)
    slack = 1 + 1e-9
    assert min(medians) / slack <= found.value <= max(medians) * slack
    if len(medians) == 1:
        assert found.low is None and found.high is None
    else:
        assert found.low <= found.value <= found.high


@given(times, st.floats(0.5, 2), st.floats(1e-3, 1e3))
def test_comparing_ignores_the_unit_and_turns_round(medians, factor, unit) -> None:
    other = [m * factor for m in medians]
    found = compare_turns(*single(other, medians))
    assert found.ratio.value == pytest.approx(factor, rel=1e-9)
    scaled = compare_turns(*single([m * unit for m in other], [m * unit for m in medians]))
    assert scaled.ratio.value == pytest.approx(found.ratio.value, rel=1e-9)
    back = compare_turns(*single(medians, other))
    assert back.ratio.value == pytest.approx(1 / factor, rel=1e-9) and back.noise == pytest.approx(
        found.noise
    )


@given(times)
def test_an_engine_is_never_faster_than_itself(medians) -> None:
    assert compare_turns(*single(medians, medians)).is_real in (False, None)


def test_one_process_tells_nothing() -> None:
    found = compare_turns([[2.0]], [[1.0]])
    assert found.ratio.value == 2 and found.is_real is None and noise([[1.0], [2.0]]) is None
    for a, b in (([], []), ([[1.0]], [[1.0], [2.0]]), ([[1.0]], [[1.0, 2.0]])):
        with pytest.raises(ValueError, match="process"):
            compare_turns(a, b)
    with pytest.raises(ValueError, match="process"):
        compare([], [1.0])
    with pytest.raises(ValueError, match="process"):
        centre([])


def test_noise_is_the_gap_between_processes_of_one_engine() -> None:
    assert noise([[1.0, 1.02], [5.0, 5.1]]) == pytest.approx(0.02)
    drifting = [1.0, 2.0, 4.0]  # which meets both engines, and so is not theirs
    assert compare_turns(*single(drifting, drifting)).noise == 0
    assert compare(drifting, drifting).noise > 0.9


def test_percentiles_need_samples_beyond_them() -> None:
    samples = [float(i) for i in range(1000)]
    assert percentile(samples, 90) == pytest.approx(899.1) and percentile(samples, 99) == pytest.approx(
        989.01
    )
    assert percentile(samples[:999], 99) is None and percentile(samples[:100], 90) == pytest.approx(89.1)
    assert percentile(samples[:99], 90) is None and percentile([], 50) is None


@given(st.lists(st.floats(0, 1e6), min_size=100, max_size=200), st.sampled_from([50.0, 75.0, 90.0]))
def test_percentiles_are_numpys(samples, percent) -> None:
    assert percentile(samples, percent) == pytest.approx(
        float(np.percentile(samples, percent)), rel=1e-9, abs=1e-12
    )


# A simulated machine: what differs between processes of one engine, what drifts from turn to turn and meets both
# engines, and what slows single turns, as a neighbour on the same host does for tenths of a second.
PROCESS, DRIFT, TURN, ROUNDS, TURNS, TRIALS = 0.008, 0.03, 0.01, 7, 8, 2000
HIT, SLOWED = 0.1, 0.2


def simulated(generator: np.random.Generator, slower: float) -> list[list[list[float]]]:
    drift = np.cumsum(generator.normal(0, DRIFT, (ROUNDS, TURNS)))
    found = []
    for factor in (slower, 1.0):
        logs = generator.normal(0, PROCESS, (ROUNDS, 1)) + generator.normal(0, TURN, (ROUNDS, TURNS))
        logs += SLOWED * generator.random((ROUNDS, TURNS)) * (generator.random((ROUNDS, TURNS)) < HIT)
        found.append((factor * np.exp(logs + drift.reshape(ROUNDS, TURNS))).tolist())
    return found


def test_the_same_engine_is_called_different_one_time_in_twenty_at_most() -> None:
    generator = np.random.default_rng(5)
    found = [compare_turns(*simulated(generator, 1.0)) for _ in range(TRIALS)]
    flagged = sum(f.is_real is True for f in found)
    # The interval alone errs at its level; with the noise as a second condition, less.
    outside = sum(not f.ratio.low <= 1 <= f.ratio.high for f in found)
    bound = 0.05 * TRIALS + 3 * math.sqrt(TRIALS * 0.05 * 0.95)
    assert flagged <= outside <= bound and outside > 0.03 * TRIALS


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(6)
    found = [compare_turns(*simulated(generator, 1.2)).ratio for _ in range(TRIALS)]
    held = sum(f.low <= 1.2 <= f.high for f in found) / TRIALS
    assert abs(held - 0.95) <= 3 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_unpaired_intervals_do_too() -> None:
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(TRIALS):
        a = list(1.2 * np.exp(generator.normal(0, 0.02, 5)))
        b = list(np.exp(generator.normal(0, 0.005, 4)))
        ratio = compare(a, b).ratio
        held += ratio.low <= 1.2 <= ratio.high
    assert held / TRIALS >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_three_percent_more_are_found() -> None:
    generator = np.random.default_rng(8)
    found = [compare_turns(*simulated(generator, 1.03)) for _ in range(TRIALS)]
    assert sum(f.is_real is True for f in found) >= 0.95 * TRIALS


def test_a_turn_that_was_hit_alone_does_not_count() -> None:
    calm = [[1.0] * TURNS] * ROUNDS
    hit = [[1.5, *[1.02] * (TURNS - 1)]] * ROUNDS
    assert compare_turns(hit, calm).ratio.value == pytest.approx(1.02)


def test_a_wild_round_widens_the_interval_and_is_no_difference() -> None:
    calm = [1.0, 1.01, 0.99, 1.0, 1.005]
    wild = [1.0, 1.01, 0.99, 1.0, 1.9]
    found = compare_turns(*single(wild, calm))
    assert found.is_real is False and found.ratio.low < 1 < found.ratio.high


def test_the_chance_of_a_gap_is_welchs() -> None:
    a, b = [1.00, 1.02, 0.99, 1.01, 1.03], [0.95, 0.96, 0.97, 0.94, 0.96]
    found = chance(a, b)
    assert found is not None and found < 1e-3 and found == chance(b, a)
    # An interval that just holds 1 is a chance of one in twenty.
    low, high = 0.9, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        edge = compare([x * middle for x in a], b).ratio.low
        low, high = (middle, high) if edge is not None and edge < 1 else (low, middle)
    assert abs((chance([x * low for x in a], b) or 0) - 0.05) < 1e-6
    assert (
        chance([1.0], b) is None
        and chance([1.0, 1.0], [1.0, 1.0]) == 1
        and chance([2.0, 2.0], [1.0, 1.0]) == 0
    )
