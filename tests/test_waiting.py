"""Idle threads of GNU's OpenMP sleep soon where Orpheus loads it, and of other copies nothing is promised."""

from __future__ import annotations

import os

import pytest

from orpheus_core import waiting


@pytest.fixture
def process(monkeypatch):
    """A process whose runtimes are a list, and in which nobody has said how threads wait."""
    monkeypatch.delenv(waiting.VARIABLE, raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(waiting, "_told", set())
    here: list[str] = []
    monkeypatch.setattr(waiting, "runtimes", lambda: sorted(here))
    return here


def loading(here, *names):
    """A load that brings these runtimes and gives what it saw of the variable."""

    def load():
        here.extend(names)
        return os.environ.get(waiting.VARIABLE)

    return load


def test_a_runtime_is_told_while_it_is_loaded_and_only_then(process):
    assert waiting.brief(loading(process, "libgomp.so.1")) == (waiting.LOOKS, True)
    assert waiting.VARIABLE not in os.environ


def test_a_second_library_on_a_runtime_that_was_told_sleeps_soon_too(process):
    waiting.brief(loading(process, "libgomp.so.1"))
    assert waiting.brief(loading(process))[1]


@pytest.mark.parametrize(
    "there",
    [["libgomp.so.1"], ["libiomp5.so"], []],
    ids=["GNU's, not told", "Intel's", "nothing that is known"],
)
def test_of_what_was_not_told_nothing_is_promised(process, there):
    process.extend(there)
    assert not waiting.brief(loading(process))[1]


def test_another_copy_that_was_not_told_does_not_matter_to_one_that_is_loaded(process):
    process.append("libgomp-a1b2.so.1")
    assert waiting.brief(loading(process, "libgomp.so.1"))[1]
    assert not waiting.brief(loading(process))[1]  # on which of the two it runs is not known


@pytest.mark.parametrize("variable", [waiting.VARIABLE, "OMP_WAIT_POLICY"])
def test_what_the_user_has_set_is_left_alone(process, monkeypatch, variable):
    monkeypatch.setenv(variable, "7")
    seen, sleeps = waiting.brief(loading(process, "libgomp.so.1"))
    assert (seen, sleeps) == ("7" if variable == waiting.VARIABLE else None, True)
    assert os.environ[variable] == "7"


def test_a_load_that_fails_leaves_no_trace(process):
    def fail():
        raise ImportError("no such file")

    with pytest.raises(ImportError):
        waiting.brief(fail)
    assert waiting.VARIABLE not in os.environ
