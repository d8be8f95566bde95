"""Conformance: each register tile of each kind of device is a kernel there, and is drawn layers that it takes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("orpheus_conformance", reason="orpheus-conformance is not installed")
pytest.importorskip("pyopencl", reason="pyopencl is not installed")
pytest.importorskip("orpheus_opencl", reason="orpheus-opencl is not installed")

import orpheus_opencl
from orpheus_conformance import engine
from orpheus_conformance.case import Case
from orpheus_conformance.instance import InvalidCase, instantiate
from orpheus_conformance.space import find_space
from orpheus_conformance.subject import Subject, format_of, subjects
from orpheus_conformance.tiers import TIERS
from orpheus_conformance.verdict import INVALID, PASSED, REFUSED, Verdict
from orpheus_opencl import cost, device, limits, manifest, tiles

from orpheus_core import discovery
from orpheus_core.plugin import Backend

EXAMPLES = 4
KINDS = {
    "cpu-16": SimpleNamespace(is_cpu=True, device=SimpleNamespace(native_vector_width_float=16)),
    "cpu-8": SimpleNamespace(is_cpu=True, device=SimpleNamespace(native_vector_width_float=8)),
    "gpu": SimpleNamespace(is_cpu=False, device=SimpleNamespace(native_vector_width_float=1)),
}


def names(backend: Backend, op: str = "Conv") -> set[str]:
    """Kernels that take a tile of their own."""
    return {k.name for k in backend.kernels if k.op == op} & {t.name for t in tiles.TILES}


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The backend as it would be on a device of each kind, nothing of which is run."""
    there = KINDS[request.param]
    monkeypatch.setattr(device, "find", lambda: ([there], []))
    for module in (limits, cost):
        monkeypatch.setattr(module, "opened", lambda index: there)
    return manifest.complete(orpheus_opencl.orpheus_backend())


def test_the_manifest_names_no_tile_before_a_device_is_known(backend: Backend) -> None:
    assert not names(orpheus_opencl.orpheus_backend())
    for op in ("Conv", "FusedConv"):
        assert names(backend, op) == {t.name for t in tiles.tiles_of(device.find()[0][0])}


def test_another_device_brings_its_own_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = [
        SimpleNamespace(name=name, platform="P", **vars(kind)) for name, kind in KINDS.items()
    ]
    monkeypatch.setattr(device, "find", lambda: (found, []))
    first = manifest.complete(orpheus_opencl.orpheus_backend())
    assert device.configure(first, {"device": 0}).kernels == first.kernels
    gpu = device.configure(first, {"device": "gpu"})
    assert names(gpu) == {t.name for t in tiles.tiles_of(found[2])} != names(first)
    mine = names(first) | names(gpu)
    assert [k for k in gpu.kernels if k.name not in mine] == [k for k in first.kernels if k.name not in mine]
    few = replace(first, kernels=tuple(k for k in first.kernels if k.name == "direct"))
    assert device.configure(few, {"device": "gpu"}).kernels == few.kernels


def test_what_is_ready_has_the_tiles_of_its_device() -> None:
    assert names(discovery.get("opencl")) == {t.name for t in tiles.tiles_of(device.find()[0][0])}


def test_every_tile_is_drawn_layers_that_it_takes(backend: Backend) -> None:
    tier, options, poor = TIERS["bounded"], engine.Options(examples=EXAMPLES), {}
    for subject in (s for s in subjects(backend) if s.kernel.name in names(backend)):
        space = find_space(subject.kernel.domain, subject.kernel.op)
        assert space is not None
        row = engine.Row(subject.id, tier.name)
        layers = engine.cases(subject, space, tier, engine.versions(subject, space))
        engine._hunt(layers, tier, Takes(subject), options, row)
        if row.executed < EXAMPLES:
            poor[subject.id] = row.executed, row.refused.most_common(3)
    assert not poor


class Takes:
    """A judge of whether a kernel takes a layer, which passes nothing else on."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def __call__(self, case: Case) -> Verdict:
        try:
            found, refusal = self.subject.answer(instantiate(case).problem)
        except InvalidCase as error:
            return Verdict(INVALID, str(error))
        if any(c.format == format_of(case) and not c.late for c in found):
            return Verdict(PASSED)
        return Verdict(REFUSED, refusal.text if refusal else "another format")
