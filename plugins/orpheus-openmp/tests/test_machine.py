"""What is asked of the processor, and what follows from it for costs and for bands of Winograd's tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType

machine = pytest.importorskip("orpheus_openmp.machine", reason="orpheus-openmp is not installed")

from orpheus_openmp import cost, isa, rates, winograd  # noqa: E402
from orpheus_openmp.conv import cuts  # noqa: E402
from orpheus_openmp.cook_toom import FORMS  # noqa: E402


def conv(
    channels: int, filters: int, size: int, *, kernel: int = 3, threads: int = 1, network: int = 0
) -> Problem:
    """A convolution that keeps its size."""
    x, y = (TensorType(DType.FLOAT32, (1, c, size, size)) for c in (channels, filters))
    w = TensorType(DType.FLOAT32, (filters, channels, kernel, kernel))
    return Problem(
        op="Conv", domain="", version=11, attributes={"kernel_shape": (kernel,) * 2, "pads": (kernel // 2,) * 4},
        inputs=(x, w), outputs=(y,), constants={1: np.zeros(w.shape, np.float32)}, input_names=("X", "W"),
        output_names=("Y",), threads=threads, network_bytes=network,
    )  # fmt: skip


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that says what the system would of its caches; nothing as yet."""
    monkeypatch.setattr(machine, "_CACHES", tmp_path)
    monkeypatch.setattr(machine, "_caches", machine._caches.__wrapped__)
    return tmp_path


def write(caches: Path, index: int, level: int, kind: str, size: str) -> None:
    """One cache, as Linux tells of it."""
    folder = caches / f"index{index}"
    folder.mkdir()
    for name, text in (("level", str(level)), ("type", kind), ("size", size)):
        (folder / name).write_text(f"{text}\n")


def test_caches_are_read_with_their_units_and_those_of_instructions_left_out(caches: Path) -> None:
    write(caches, 0, 1, "Instruction", "64K")
    write(caches, 1, 1, "Data", "48K")
    write(caches, 2, 2, "Unified", "2M")
    write(caches, 3, 3, "Unified", "491520K")
    assert [machine.cache_bytes(level) for level in (1, 2, 3, 4)] == [48 << 10, 2 << 20, 480 << 20, 0]


def test_a_cache_that_the_system_does_not_tell_well_is_unknown(caches: Path) -> None:
    assert machine.cache_bytes(1) == 0
    write(caches, 0, 1, "Data", "")
    write(caches, 1, 2, "Unified", "many")
    (caches / "index2").mkdir()
    assert [machine.cache_bytes(level) for level in (1, 2)] == [0, 0]


def test_units_that_wake_slowly_are_found_wide_all_the_same() -> None:
    waking = iter([0.6] * 30 + [2.0] * 1000)
    assert machine.is_faster(lambda: next(waking), lambda: 1.0)


def test_a_disturbed_rival_does_not_make_units_wide() -> None:
    disturbed = iter([0.3] * 5 + [1.0] * 1000)
    assert not machine.is_faster(lambda: 1.0, lambda: next(disturbed))


def test_units_are_wide_only_where_both_sets_of_vectors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isa, "available", lambda: ("avx2", "generic"))
    assert machine.wide.__wrapped__() is False


def test_weights_pass_as_they_fit_into_l1_where_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_l1(size: int, blocks: int, floats: int) -> int:
        monkeypatch.setattr("orpheus_openmp.conv.cache_bytes", lambda level: size)
        return cuts(blocks, floats)

    for blocks, floats in ((32, 16 * 9 * 32), (32, 16 * 9 * 48), (5, 16 * 3 * 32)):
        parts = with_l1(48 << 10, blocks, floats)
        assert -(-blocks // parts) * floats * 4 <= 48 << 10
    assert with_l1(48 << 10, 8, 1 << 20) == 8
    assert with_l1(32 << 10, 32, 16 * 9 * 32) == with_l1(0, 32, 16 * 9 * 32) == 2
    assert with_l1(0, 1, 16) == with_l1(48 << 10, 1, 16) == 1


def seconds(found: rates.Rates, kernel: str, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> float:
    """The cost of a kernel by these rates."""
    monkeypatch.setattr(cost, "rates_for", lambda problem: found)
    function = getattr(cost.winograd, kernel, None) or getattr(cost, kernel)
    return float(function(problem))


@pytest.mark.parametrize("kernel", ["winograd4", "direct"])
def test_weights_of_a_small_network_are_nearer(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = rates.Rates(1e15, stream=1e9, near=2e9, transform=1e15)
    far, near, unknown = (
        seconds(slow, kernel, conv(64, 64, 8, network=n), monkeypatch) for n in (1 << 30, 1 << 20, 0)
    )
    assert near < 0.6 * far
    assert unknown == far


def test_weights_are_transformed_as_they_are_used_where_their_way_is_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ratio(stream: float) -> float:
        found = rates.Rates(1e11, stream=stream)
        fly, before = (
            seconds(found, k, conv(256, 256, 8), monkeypatch) for k in ("winograd4_fly", "winograd4")
        )
        return fly / before

    assert ratio(stream=1e9) == pytest.approx(1 / 4, rel=0.05)  # 9 numbers of each filter instead of 36
    assert ratio(stream=1e15) > 1


def test_more_threads_get_more_of_the_weights_where_the_core_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (
        seconds(
            rates.Rates(1e15, stream=1e9, lanes=lanes, transform=1e15),
            "winograd4",
            conv(64, 64, 8, threads=2),
            monkeypatch,
        )
        for lanes in (0.0, 1.0)
    )
    assert two < 0.6 * one


@given(
    rows=st.integers(1, 40),
    across=st.integers(1, 40),
    most=st.integers(1, 28),
    limit=st.sampled_from([6, 14]),
)
def test_no_other_band_takes_fewer_tiles_of_registers_than_the_fullest(
    rows: int, across: int, most: int, limit: int
) -> None:
    def runs(band: int) -> int:
        return sum(-(-min(band, rows - first) * across // limit) for first in range(0, rows, band))

    found = winograd._fullest(rows, across, most, limit)
    assert 1 <= found <= max(1, min(rows, most))
    assert runs(found) == min(runs(band) for band in range(1, min(rows, most) + 1))


def test_bands_are_larger_where_weights_are_larger_than_l2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "cache_bytes", lambda level: 2 << 20)
    few, many = (winograd.band_rows(FORMS["winograd4x2"], conv(256, n, 14)) for n in (32, 256))
    assert few < many


@pytest.mark.parametrize(
    ("size", "threads", "l2", "bands"),
    [(17, 2, 4 << 20, 1), (17, 2, 64 << 10, 5), (24, 2, 4 << 20, 6), (13, 2, 4 << 20, 2), (33, 4, 4 << 20, 1),
     (300, 2, 4 << 20, 75)],
)  # fmt: skip
def test_bands_that_threads_cannot_share_out_evenly_are_done_together(
    size: int, threads: int, l2: int, bands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless there are many of them, or their inputs do not stay in L2."""
    monkeypatch.setattr(winograd, "cache_bytes", lambda level: l2)
    monkeypatch.setattr(winograd.isa, "tile", lambda: (16, 14, 2))
    band = winograd.band_rows(FORMS["winograd4_7x1"], conv(64, 64, size, threads=threads))
    rows = (size + 3) // 4
    assert -(-rows // band) == bands
