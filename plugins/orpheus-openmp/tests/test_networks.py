"""Whole networks of the zoo against the reference backend."""

from __future__ import annotations

import numpy as np
import pytest

import orpheus_core as orpheus

pytest.importorskip("orpheus_openmp", reason="orpheus-openmp is not installed")
registry = pytest.importorskip(
    "orpheus_experiments.zoo.registry", reason="orpheus-experiments is not installed"
)

#: Small inputs: every layer is there, and the reference takes a second.
SIZES = {"inception-v3": 107, "wrn-40-2": 32, "ssd-mobilenet-v2": 300}
#: Operators of no weight in time that may run on the reference.
MAY_FALL_BACK = {"wrn-40-2": 0, "ssd-mobilenet-v2": 60}


@pytest.mark.zoo
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", list(registry.NETWORKS))
def test_network(name, threads):
    size = SIZES.get(name, 96)
    model = registry.build(name, resolution=size)
    session = orpheus.InferenceSession(
        model, providers=["openmp", "numpy"], threads=threads, fallback="allow"
    )
    feed = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(feed.shape).astype(np.float32)
    expected = orpheus.InferenceSession(model, providers=["numpy"]).run(None, {feed.name: x})
    for got, wanted in zip(session.run(None, {feed.name: x}), expected):
        room = 5e-5 * max(1.0, abs(wanted).max())
        assert got.shape == wanted.shape
        assert abs(got - wanted).max() <= room
    foreign = [row.op for row in session.kernel_plan() if not row.kernel_id.startswith(("openmp:", "core:"))]
    assert len(foreign) <= MAY_FALL_BACK.get(name, 0), foreign
