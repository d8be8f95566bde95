"""The first place whose library can be used; why one does not load, and for which machine it is."""

from __future__ import annotations

import ctypes
import sys

import pytest

from orpheus_core.errors import BackendError
from orpheus_core.loading import first_usable, why_not


def reason(path):
    """Of a library that does not load."""
    with pytest.raises(OSError) as caught:
        ctypes.CDLL(str(path))
    return why_not(path, caught.value)


def test_an_absent_file(tmp_path):
    path = tmp_path / "lib.so"
    text = reason(path)
    assert text.startswith(f"{path} does not load: ")
    if sys.platform.startswith("linux"):
        assert text.count(str(path)) == 1 and "No such file" in text


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF", bytes(100)])
def test_a_file_that_is_no_library(tmp_path, content):
    path = tmp_path / "lib.so"
    path.write_bytes(content)
    assert reason(path).startswith(f"{path} does not load: ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF")
@pytest.mark.parametrize(
    ("machine", "order", "words"),
    [(183, 1, "AArch64"), (62, 1, "x86-64"), (22, 2, "S/390"), (255, 1, "machine 255 of the ELF standard")],
)
def test_a_library_of_another_machine(tmp_path, machine, order, words):
    path = tmp_path / "lib.so"
    number = machine.to_bytes(2, "little" if order == 1 else "big")
    path.write_bytes(b"\x7fELF\x02" + bytes([order, 1]) + bytes(9) + b"\x03\x00" + number + bytes(200))
    text = why_not(path, OSError(f"{path}: cannot open shared object file: No such file or directory"))
    with open("/proc/self/exe", "rb") as file:
        own = file.read(20)[18] == machine
    assert own or text.startswith(f"{path} is built for {words}, and this Python for ")
    assert own == text.endswith(" does not load: cannot open shared object file: No such file or directory")


def load(place):
    """A library that is there where the place says so."""
    if place == "old":
        raise BackendError("old is version 1")
    if place != "good":
        raise OSError(f"{place}: cannot open shared object file")
    return place.upper()


def test_the_first_place_that_can_be_used(monkeypatch):
    monkeypatch.delenv("ORPHEUS_PLACE", raising=False)
    places = ["old", "gone", "good", "old"]
    assert first_usable(places, load, variable="ORPHEUS_PLACE", fix="get one") == "GOOD"


def test_no_place_can_be_used(monkeypatch):
    monkeypatch.delenv("ORPHEUS_PLACE", raising=False)
    with pytest.raises(BackendError) as caught:
        first_usable(["old", "gone", "old"], load, variable="ORPHEUS_PLACE", fix="get one")
    reasons = "old is version 1; gone does not load: cannot open shared object file"
    assert str(caught.value) == f"{reasons}; to fix: get one"
    with pytest.raises(BackendError, match=r"^nothing in here; to fix: get one$"):
        first_usable([], load, variable="ORPHEUS_PLACE", fix="get one", nowhere="nothing in here")


def test_the_variable_names_the_only_place(monkeypatch):
    monkeypatch.setenv("ORPHEUS_PLACE", " old ")
    with pytest.raises(BackendError, match=r"^old is version 1; to fix: unset ORPHEUS_PLACE and get one$"):
        first_usable(["good"], load, variable="ORPHEUS_PLACE", fix="get one")
    monkeypatch.setenv("ORPHEUS_PLACE", "")
    assert first_usable(["good"], load, variable="ORPHEUS_PLACE", fix="get one") == "GOOD"
