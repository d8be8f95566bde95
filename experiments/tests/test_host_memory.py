"""Memory is found without taking what others need."""

from __future__ import annotations

import pytest
from orpheus_experiments.timing import host_memory
from orpheus_experiments.timing.host_memory import find_memory


def test_touches_what_is_asked_for() -> None:
    assert find_memory(3) == 3 << 20
    assert find_memory(0) == 0


def test_leaves_three_quarters_of_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "_available", lambda: 8 << 20)
    assert find_memory(1024) == 2 << 20
