"""Chains of elementwise operators: one kernel for each, with the results of its layers one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import emulation
import numpy as np
import orpheus_cuda
import pytest
from chain_cases import CHAINS, model

import orpheus_core as orpheus
from orpheus_core import discovery


def session(name: str, **changed: Any) -> Any:
    with discovery.override(replace(orpheus_cuda.orpheus_backend(), **changed)):
        return orpheus.InferenceSession(model(name), providers=["cuda"], fallback="error", enable_passes=[])


def draw(s: Any, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    values = {v.name: rng.uniform(-2, 2, v.type.shape) for v in s.input_values}
    if "s" in values:
        values["s"] += 3  # which is divided by
    return {v.name: values[v.name].astype(v.type.dtype.numpy) for v in s.input_values}


def chains(s: Any) -> list[int]:
    """The lengths of the chains of its plan."""
    found = {id(o.chain): len(o.chain.operations) for o in s.latest_plan().program.operations if o.chain}
    return list(found.values())


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_gives_what_its_layers_give(name: str) -> None:
    joined, single = session(name), session(name, chain=None)
    assert chains(joined) == CHAINS[name][3] and chains(single) == []
    exact = orpheus.InferenceSession(model(name), providers=["numpy"], enable_passes=[])
    for seed in range(3):  # one by one, recorded, replayed
        feeds = draw(joined, seed)
        for got, layers, wanted in zip(*(s.run(None, feeds) for s in (joined, single, exact))):
            assert got.dtype == wanted.dtype and got.shape == wanted.shape
            unit = (
                np.finfo(got.dtype).eps if got.dtype.kind == "f" else 2.0**-7 if got.dtype.kind == "V" else 0
            )
            # A GPU may multiply and add at once; the emulation rounds after each.
            near = 0.0 if not emulation.ON_DEVICE else 8 * unit
            a, b, c = (v.astype(np.float64) for v in (got, layers, wanted))
            np.testing.assert_allclose(a, b, rtol=near, atol=near)
            # Of at most 30 layers, none of which enlarges an error much.
            np.testing.assert_allclose(a, c, rtol=60 * unit, atol=60 * unit)


@pytest.mark.usefixtures("emulated")
def test_what_lies_between_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    s, started = session("operands"), []
    launch = emulation.Library.launch

    def counted(self: Any, function: Any, *more: Any, **how: Any) -> None:
        started.append(function[1])
        launch(self, function, *more, **how)

    monkeypatch.setattr(emulation.Library, "launch", counted)
    feeds = draw(s)
    s.run(None, feeds)
    assert started == ["chain"]
    started.clear()
    profile = s.profile(feeds, warmup=0)  # which runs layers one by one
    assert started == ["flat"] * 4 and sum(row.kernel.startswith("cuda:") for row in profile.rows) == 4


def test_a_plan_tells_of_its_chains() -> None:
    s = session("flat")
    assert any("one kernel, together with" in str(row.why) for row in s.kernel_plan())


def test_memory_that_lies_badly_is_moved_element_by_element() -> None:
    s, feeds = session("ragged"), {}
    whole = {v.name: np.zeros(258, np.float16) for v in s.input_values}
    for name, values in draw(s).items():
        whole[name][1:] = values
        feeds[name] = whole[name][1:]
    wanted = session("ragged", chain=None).run(None, feeds)[0]
    np.testing.assert_array_equal(s.run(None, feeds)[0], wanted)
