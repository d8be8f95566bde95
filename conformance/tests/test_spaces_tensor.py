"""Spaces of tensors, control flow, text, signals, ai.onnx.ml, training and com.microsoft; and the reference on them."""

from __future__ import annotations

from collections import Counter

import orpheus_numpy
import pytest
from hypothesis import HealthCheck, given, seed, settings
from orpheus_conformance.case import Case
from orpheus_conformance.engine import Options, cases, run, versions
from orpheus_conformance.instance import InvalidCase, instantiate
from orpheus_conformance.space import Space, find_space, spaces
from orpheus_conformance.subject import Subject, subjects
from orpheus_conformance.tiers import TIERS

FILES = (
    "shapes", "slicing", "indexing", "creation", "searching", "sequences", "control", "text", "signal",
    "ml_features", "ml_models", "training", "contrib_fused", "contrib_quantized", "contrib_transformers",
)  # fmt: skip
BACKEND = orpheus_numpy.orpheus_backend()
KERNELS = {
    s.id: s
    for s in subjects(BACKEND)
    if (found := find_space(s.kernel.domain, s.kernel.op)) is not None
    and found.draw.__module__.rsplit(".", 1)[1] in FILES
}


def test_there_are_kernels_of_every_file():
    covered = {
        find_space(s.kernel.domain, s.kernel.op).draw.__module__.rsplit(".", 1)[1] for s in KERNELS.values()
    }
    assert covered == set(FILES)
    mine = {key for key, space in spaces().items() if space.draw.__module__.rsplit(".", 1)[1] in FILES}
    assert mine == {(s.kernel.domain, s.kernel.op) for s in KERNELS.values()}


def invalid_layers(subject: Subject, space: Space, examples: int) -> Counter[str]:
    """How many of the layers drawn the operator forbids, by reason."""
    specs = versions(subject, space)
    assert specs, f"{subject.id}: the space describes no form that the kernel has"
    invalid: Counter[str] = Counter()

    @seed(1)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases(subject, space, TIERS["bounded"], specs))
    def draw(case: Case) -> None:
        assert Case.parse(case.line()).line() == case.line()
        try:
            instantiate(case)
        except InvalidCase as error:
            invalid[str(error)] += 1

    draw()
    return invalid


def test_layers_are_valid_and_read_back_from_their_line():
    wrong = {}
    for name, subject in KERNELS.items():
        invalid = invalid_layers(subject, find_space(subject.kernel.domain, subject.kernel.op), 30)
        if invalid.total() > 3:
            wrong[name] = invalid
    assert not wrong


@pytest.mark.parametrize("number", [0, 1])
def test_the_reference_agrees_with_the_oracle(number):
    options = Options(examples=6, seed=number, kernels=tuple(KERNELS), tiers=("exact", "bounded", "special"))
    failed, unjudged = [], []
    for row in run(BACKEND, options):
        if row.failed:
            failed.append(f"{row.kernel} {row.tier}: {row.message} {row.case.line() if row.case else ''}")
        if row.unjudged.total() > row.executed:
            unjudged.append(f"{row.kernel} {row.tier}: {row.unjudged.most_common(1)}")
    assert not failed
    assert not unjudged
