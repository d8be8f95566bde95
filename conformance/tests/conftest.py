from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orpheus_core import discovery
from orpheus_core.cli import main
from orpheus_core.plugin import Backend, Kernel

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))  # the kernels that tests name by reference


@pytest.fixture
def toy():
    """Makes a backend ``toy`` of one kernel, by the function's reference, and offers it for the test."""
    with discovery.override(keep_installed=True):

        def make(op, run, name="toy", **more):
            dtypes = {"T": ("float32", "float64")}
            kernel = Kernel(op=op, name="k", run=run, **{"dtypes": dtypes, **more})
            backend = Backend(name=name, api=1, kernels=(kernel,))
            discovery.register(backend)
            return backend

        yield make


@pytest.fixture
def orpheus(tmp_path, monkeypatch, capsys):
    """The command line in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORPHEUS_CACHE", str(tmp_path / "cache"))

    def call(*arguments):
        capsys.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def conform(orpheus):
    """``orpheus conform``, quickly: few examples, and only the tiers named by ``tiers``."""

    def call(*arguments, examples=10, tiers=("exact", "bounded")):
        flags = [part for tier in tiers for part in ("--tier", tier)]
        return orpheus("conform", *arguments, "--examples", examples, *flags)

    return call
