"""Fake distributions: a module and a dist-info folder with an entry point, on a path of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import write_distribution

from orpheus_core import discovery

Install = Callable[..., str]

SOUND = """
from orpheus_core.plugin import Backend, Kernel, hookimpl

@hookimpl
def orpheus_backend():
    return Backend(name={name!r}, api=1, kernels=(Kernel(op="Relu", name="simple", run="nowhere:relu"),))
"""


def sound(name: str) -> str:
    """The source of a manifest that is as it should be."""
    return SOUND.format(name=name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path``; what discovery and Python knew of it is forgotten before and after."""
    modules = set(sys.modules)
    monkeypatch.delenv("ORPHEUS_BACKENDS", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    discovery.refresh()
    yield tmp_path
    discovery.refresh()
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """``install(name, source, distribution=None)`` puts a plugin there as pip would."""

    def put(name: str, source: str | None = None, distribution: str | None = None) -> str:
        module = write_distribution(site, name, sound(name) if source is None else source, distribution)
        discovery.refresh()
        return module

    return put
