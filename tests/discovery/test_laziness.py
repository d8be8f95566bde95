"""What is imported, and when; the allow-list."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orpheus_core import BackendError, UsageError, discovery

HEAVY = ("onnx", "pluggy", "numpy", "ml_dtypes", "importlib.metadata", "importlib_metadata", "orpheus_numpy")


def in_a_fresh_interpreter(code: str) -> str:
    """What ``code`` prints in a new Python."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_core_imports_nothing_heavy() -> None:
    found = in_a_fresh_interpreter(
        "import sys; before = set(sys.modules); import orpheus_core;"
        f"print([m for m in {HEAVY!r} if m in sys.modules and m not in before])"
    )
    assert found == "[]"


def test_listing_and_ordering_backends_imports_no_kernel_and_no_onnx() -> None:
    found = in_a_fresh_interpreter(
        "import sys, orpheus_core as o; from orpheus_core import discovery; rows = o.backends();"
        "early = [m for m in sys.modules if m.startswith('orpheus_numpy')];"
        "discovery.default_order();"
        "late = [m for m in sys.modules if m == 'onnx' or m.startswith('orpheus_numpy.kernels')];"
        "print(early, late)"
    )
    assert found == "[] []"


def test_rows_are_loaded_when_looked_into(install) -> None:
    module = install("good")
    other = install("other")
    row = discovery.row("good")
    assert module not in sys.modules
    assert row.kind == "backend"
    assert module in sys.modules and other not in sys.modules


def test_get_loads_only_what_was_named(install) -> None:
    install("good")
    other = install("other")
    discovery.get("good")
    assert other not in sys.modules


def test_probe_runs_once_and_only_for_the_state(install) -> None:
    install(
        "probed",
        """
        from orpheus_core.plugin import Backend, Ready, hookimpl
        calls = []
        def probe():
            calls.append(1)
            return Ready("two units")
        @hookimpl
        def orpheus_backend():
            return Backend(name="probed", api=1, kernels=(), probe="fake_probed:probe")
        """,
    )
    row = discovery.row("probed")
    assert row.backend is not None
    calls = sys.modules["fake_probed"].calls
    assert calls == []
    assert row.reason == "two units"
    _ = row.state, discovery.get("probed"), discovery.row("probed").state
    assert calls == [1]


def test_who_ranks_behind_a_reference_is_not_probed_unasked(install) -> None:
    install(
        "behind",
        """
        from orpheus_core.plugin import Backend, Ready, hookimpl
        calls = []
        def probe():
            calls.append(1)
            return Ready()
        @hookimpl
        def orpheus_backend():
            return Backend(name="behind", api=1, kernels=(), probe="fake_behind:probe", rank=1001)
        """,
    )
    install("good")
    assert "behind" not in {b.name for b in discovery.volunteers()}
    assert "good" in {b.name for b in discovery.volunteers()}
    assert sys.modules["fake_behind"].calls == []
    assert "behind" in {b.name for b in discovery.default_order()}


def test_found_once_until_refreshed(install, monkeypatch) -> None:
    install("good")
    first = discovery.row("good")
    assert discovery.row("good") is first
    discovery.refresh()
    assert discovery.row("good") is not first


def test_allow_list_is_applied_before_loading(install, monkeypatch) -> None:
    module = install("other")
    install("good")
    monkeypatch.setenv("ORPHEUS_BACKENDS", "good")
    discovery.refresh()
    assert discovery.row("other").status == "disabled"
    assert [b.name for b in discovery.default_order()] == ["good"]
    with pytest.raises(BackendError, match="disabled: ORPHEUS_BACKENDS=good leaves it out; to fix: "):
        discovery.get("other")
    assert module not in sys.modules


@pytest.mark.parametrize("text", ["good,nonesuch", "good,,", "good;other", "GOOD"])
def test_allow_list_is_strict(install, monkeypatch, text: str) -> None:
    install("good")
    monkeypatch.setenv("ORPHEUS_BACKENDS", text)
    discovery.refresh()
    with pytest.raises(UsageError, match=r"ORPHEUS_BACKENDS=.*installed: .*good"):
        discovery.backends()


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_allow_list_means_all(install, monkeypatch, text: str) -> None:
    install("good")
    monkeypatch.setenv("ORPHEUS_BACKENDS", text)
    discovery.refresh()
    assert discovery.row("good").ready
