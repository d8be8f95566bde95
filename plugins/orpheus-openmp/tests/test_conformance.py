"""The conformance suite on every instruction set of this machine, with a few cases each; nox -s conform runs more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("orpheus_conformance", reason="orpheus-conformance is not installed")
isas = pytest.importorskip("orpheus_openmp.isa", reason="orpheus-openmp is not installed")

#: Operators of each native family, and what only conformance sees: Reorder, pads, special values.
OPERATORS = (
    "Conv",
    "FusedConv",
    "Gemm",
    "MaxPool",
    "Neg",
    "Add",
    "ScaleShift",
    "Reorder",
    "Concat",
    "Softmax",
)
TIERS = ("exact", "special", "layouts")


@pytest.mark.slow
@pytest.mark.skipif("ORPHEUS_RUNNER" in os.environ, reason="the command judges this processor's kernels")
def test_kernels_conform(isa, tmp_path):
    report = tmp_path / "report.json"
    chosen = [part for op in OPERATORS for part in ("--op", op)] + [
        part for t in TIERS for part in ("--tier", t)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "orpheus_core", "conform", "openmp", "--examples", "3", "--json", str(report), *chosen],
        env={**os.environ, "ORPHEUS_ISA": isa}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert report.exists() and json.loads(report.read_text())
