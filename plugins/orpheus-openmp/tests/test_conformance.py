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
EXAMPLES = 8


@pytest.mark.skipif("ORPHEUS_RUNNER" in os.environ, reason="limits are those of this processor's kernels")
def test_every_kernel_is_drawn_layers_that_it_takes():
    """A limit that rules do not tell costs every tier of conformance many layers for each that is judged."""
    from orpheus_conformance import engine
    from orpheus_conformance.instance import InvalidCase, instantiate
    from orpheus_conformance.space import find_space
    from orpheus_conformance.subject import format_of, subjects
    from orpheus_conformance.tiers import TIERS
    from orpheus_conformance.verdict import INVALID, PASSED, REFUSED, Verdict

    from orpheus_core import discovery

    tier, options = TIERS["bounded"], engine.Options(examples=EXAMPLES)
    poor = {}
    for subject in subjects(discovery.get("openmp")):
        space = find_space(subject.kernel.domain, subject.kernel.op)
        specs = engine.versions(subject, space)
        if not specs:  # of versions that the importer makes newer ones
            continue

        def judge(case, subject=subject):
            try:
                found, refusal = subject.answer(instantiate(case).problem)
            except InvalidCase as error:
                return Verdict(INVALID, str(error))
            if refusal is None and any(c.format == format_of(case) and not c.late for c in found):
                return Verdict(PASSED)
            return Verdict(REFUSED, refusal.text if refusal else "another format")

        row = engine.Row(subject.id, tier.name)
        engine._hunt(engine.cases(subject, space, tier, specs), tier, judge, options, row)
        wasted = row.refused.total() + row.invalid
        if row.executed < EXAMPLES or wasted > 6 * EXAMPLES:
            poor[subject.id] = row.executed, wasted, row.refused.most_common(2)
    assert not poor


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
