"""Files that are kept behind a digest."""

from __future__ import annotations

import pytest

from orpheus_core.kept import cache_folder, read_sealed, write_sealed

MAGIC = b"kind 1\n"


def test_what_is_kept_is_read_again(tmp_path):
    path = tmp_path / "new folder" / "file"
    write_sealed(path, MAGIC, b"made")
    assert read_sealed(path, MAGIC) == b"made"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d + b"x", lambda d: d[:-1] + b"X", lambda d: d[1:], lambda d: b""]
)
def test_damaged_or_of_another_kind_is_nothing(tmp_path, damage):
    path = tmp_path / "file"
    write_sealed(path, MAGIC, b"made")
    path.write_bytes(damage(path.read_bytes()))
    assert read_sealed(path, MAGIC) is None
    write_sealed(path, MAGIC, b"made")
    assert read_sealed(path, b"kind 2\n") is None
    assert read_sealed(tmp_path / "none", MAGIC) is None


def test_a_folder_that_cannot_be_written_to_costs_nothing(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    write_sealed(tmp_path / "taken" / "file", MAGIC, b"made")
    assert (tmp_path / "taken").read_bytes() == b""


def test_the_folder_is_the_user_s_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ORPHEUS_CACHE", raising=False)
    assert cache_folder() == tmp_path / "orpheus"
    monkeypatch.setenv("ORPHEUS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
