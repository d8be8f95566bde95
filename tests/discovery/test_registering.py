"""Backends that are not installed, and the hooks other than ``orpheus_backend``."""

from __future__ import annotations

import logging

import pytest

import orpheus_core
from orpheus_core import BackendError, UsageError, discovery
from orpheus_core.plugin import Backend, Command, Kernel, PassSpec


def toy(name: str = "toy", **fields: object) -> Backend:
    kernel = Kernel(op="Relu", name="k", run="m:f")
    return Backend(**{"name": name, "api": 1, "kernels": (kernel,), **fields})  # type: ignore[arg-type]


def test_override_shows_exactly_the_given_backends(install) -> None:
    install("good")
    with discovery.override(toy("a", rank=2), toy("b", rank=1)):
        assert [row.name for row in discovery.backends()] == ["a", "b"]
        assert [b.name for b in discovery.default_order()] == ["b", "a"]
        with pytest.raises(BackendError, match="not installed"):
            discovery.get("good")
    assert discovery.get("good").name == "good"
    with pytest.raises(BackendError, match="not installed"):
        discovery.get("a")


def test_override_can_keep_what_is_installed_and_nests(install) -> None:
    install("good")
    with discovery.override(toy("a"), keep_installed=True):
        assert {"a", "good"} <= {row.name for row in discovery.backends()}
        with discovery.override():
            assert discovery.backends() == ()
        assert discovery.row("a").ready


def test_override_is_undone_after_an_error() -> None:
    before = [row.name for row in discovery.backends()]
    with pytest.raises(BackendError), discovery.override(toy("a"), toy("b", api=99)):
        pass
    assert [row.name for row in discovery.backends()] == before


def test_registering_again_replaces(install) -> None:
    install("toy")
    try:
        orpheus_core.register_backend(toy(version="1"))
        orpheus_core.register_backend(toy(version="2"))
        assert discovery.get("toy").version == "2"
        assert [row.name for row in discovery.backends()].count("toy") == 1
    finally:
        orpheus_core.unregister_backend("toy")
    assert discovery.row("toy").distribution == "fake-toy"


def test_registering_an_unsound_backend_is_an_error() -> None:
    with pytest.raises(BackendError, match="'toy' cannot be registered: it speaks plugin API 99"):
        discovery.register(toy(api=99))
    with pytest.raises(UsageError, match="name="):
        discovery.register(object())
    assert "toy" not in {row.name for row in discovery.backends()}


EXTENSION = """
from orpheus_core.plugin import Command, PassSpec, hookimpl

@hookimpl
def orpheus_commands():
    return [Command(name="greet", help="say hello", configure="fake_extra:configure", run="fake_extra:run")]

@hookimpl
def orpheus_passes():
    return [PassSpec(name="tidy", run="fake_extra:tidy")]
"""


def test_extension_offers_hooks_but_no_kernels(install) -> None:
    install("extra", EXTENSION)
    row = discovery.row("extra")
    assert (row.kind, row.status) == ("extension", "ready")
    assert "extra" not in {b.name for b in discovery.default_order()}
    found = {c.item.name: c for c in discovery.commands()}
    assert found["greet"].plugin == "extra" and isinstance(found["greet"].item, Command)
    assert PassSpec(name="tidy", run="fake_extra:tidy") in [c.item for c in discovery.passes()]
    with pytest.raises(BackendError, match="extension"):
        discovery.get("extra")


@pytest.mark.parametrize("body", ["raise SystemExit(2)", "return ['greet']", "return 7"])
def test_bad_hook_is_a_warning_and_the_others_are_collected(install, caplog, body: str) -> None:
    install("extra", EXTENSION)
    install(
        "poor", f"from orpheus_core.plugin import hookimpl\n@hookimpl\ndef orpheus_commands():\n    {body}\n"
    )
    with caplog.at_level(logging.WARNING, logger="orpheus.discovery"):
        names = [c.item.name for c in discovery.commands()]
    assert "greet" in names
    assert any("poor" in r.getMessage() and "orpheus_commands" in r.getMessage() for r in caplog.records)
    assert any("orpheus_commands" in warning for warning in discovery.row("poor").warnings)


def test_collecting_skips_plugins_that_do_not_load(install) -> None:
    install("extra", EXTENSION)
    install("bad", "raise SystemExit")
    assert "greet" in [c.item.name for c in discovery.commands()]
    assert discovery.meters() == () or all(c.plugin != "extra" for c in discovery.meters())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("lib:fast", ("lib:fast", "")),
        ("lib:fast:Conv/direct", ("lib:fast", "Conv/direct")),
        ("lib:fast:ai.orpheus:FusedConv/direct", ("lib:fast", "ai.orpheus:FusedConv/direct")),
        ("lib:faster:Conv/direct", ("lib", "faster:Conv/direct")),
        ("lib:Conv/direct", ("lib", "Conv/direct")),
        ("gone:Conv/direct", ("gone", "Conv/direct")),
        ("gone", ("gone", "")),
    ],
)
def test_a_backends_own_name_may_have_a_colon(text: str, parts: tuple[str, str]) -> None:
    with discovery.override(toy("lib"), toy("lib:fast")):
        assert discovery.split(text) == parts


def test_the_hint_for_a_name_with_a_colon_names_the_distribution() -> None:
    with discovery.override(toy("a")), pytest.raises(BackendError, match=r"pip install orpheus-lib$"):
        discovery.row("lib:fast")
