"""Helpers of a plan that is made: one for each key, waited for however the plan ends."""

from __future__ import annotations

import pytest

from orpheus_core.beside import helper, joined


class Fake:
    def __init__(self) -> None:
        self.waits = 0

    def wait(self) -> None:
        self.waits += 1


class Broken(Fake):
    def wait(self) -> None:
        super().wait()
        raise OSError("gone")


def test_without_a_plan_there_is_none() -> None:
    assert helper("a", Fake) is None
    with joined():
        pass
    assert helper("a", Fake) is None


def test_one_for_each_key_is_waited_for_at_the_end() -> None:
    with joined():
        a, b = helper("a", Fake), helper("b", Fake)
        assert a is not None and b is not None and a is not b
        assert helper("a", Fake) is a and a.waits == b.waits == 0
    assert a.waits == b.waits == 1


def test_a_plan_within_a_plan_has_its_own() -> None:
    with joined():
        outer = helper("a", Fake)
        with joined():
            inner = helper("a", Fake)
        assert inner is not None and outer is not None
        assert (inner.waits, outer.waits) == (1, 0) and helper("a", Fake) is outer


def test_all_are_waited_for_after_errors() -> None:
    with pytest.raises(OSError, match="gone") as raised, joined():
        good, broken, last = helper("a", Fake), helper("b", Broken), helper("c", Fake)
        raise ValueError("the plan's own")
    assert good is not None and broken is not None and last is not None
    assert good.waits == broken.waits == last.waits == 1
    assert isinstance(raised.value.__context__, ValueError)
    assert helper("a", Fake) is None
