"""The judge judged: mutants are caught by shrunk cases that replay, unusual but right backends pass.

One seed and two, the latter with fewer cases; ``nox -s mutants`` takes five and twenty at default settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mutants.mutant import MUTANTS, UNUSUAL
from mutants.run import judge_mutant, judge_unusual


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_a_small_case_that_replays(name):
    result = judge_mutant(name, 0, shrink_seconds=2.0)
    assert not result.fault, result.fault


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_backend_passes(name, seed):
    result = judge_unusual(name, seed, examples=10)
    assert not result.fault, result.fault


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= 32
    assert len(UNUSUAL) >= 6
