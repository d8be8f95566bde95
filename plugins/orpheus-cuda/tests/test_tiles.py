"""Every tile that a product may be cut into, whole and along K, and the model that chooses among them."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from cases import Layer, kind, model, rounded
from hypothesis import given
from orpheus_cuda import product, tiles
from orpheus_cuda.choices import CHOICES
from test_layers import bound

import orpheus_core as orpheus

# 48 channels of two bytes are not whole pieces; rows, columns and pieces divide by no tile.
CONV = ("Conv", (1, 48, 19, 17), "Conv/implicit", ((72, 48, 3, 3), (72,)), {"pads": [1, 0, 1, 2]})


@pytest.mark.parametrize("splits", [1, 3, 4])  # 4 meet in a cluster
@pytest.mark.parametrize(
    "tile", [*tiles.PLAIN, *tiles.TENSOR], ids=lambda t: f"{t.rows}x{t.columns}x{t.threads}"
)
def test_tile(tile: tiles.Tile, splits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def only(*sizes: Any, tensor: bool, clusters: bool) -> list[tuple[tiles.Tile, int]]:
        asked.append(tensor)
        return [(tile, splits)]

    monkeypatch.setattr(product, "ranked", only)
    layer = Layer(*CONV, dtype="float16" if tile.tensor else "float32")
    made, _ = model(layer, layer.dtype)
    session = orpheus.InferenceSession(
        made, providers=["cuda"], fallback="error", pin={"layer": "cuda:Conv/implicit"}
    )
    x = rounded(np.random.default_rng(0).standard_normal(layer.x), layer.dtype)
    exact, _ = model(layer, "float64")
    (wanted,) = orpheus.InferenceSession(exact, providers=["numpy"]).run(None, {"x": x})
    for _ in range(3):
        (got,) = session.run(None, {"x": x.astype(kind(layer.dtype))})
        assert (np.abs(got.astype(np.float64) - wanted) <= bound(layer, wanted)).all()
    assert set(asked) == {tile.tensor}


@pytest.mark.parametrize("tile", [*tiles.PLAIN, *tiles.TENSOR], ids=str)
def test_what_a_tile_takes_is_there(tile: tiles.Tile) -> None:
    assert tile.shared <= 163 << 10  # of a block, on compute capability 8.0
    assert tile.beside(99 << 10) >= 1 and tile.beside(99 << 10) <= tile.beside(227 << 10)
    assert tile.threads <= 1024 and tile.sums <= 128
    busy, alone = tile.loop
    assert 0 < busy <= alone * 2


@given(
    rows=st.integers(1, 200_000), columns=st.integers(1, 5000), depth=st.integers(1, 10_000),
    matrices=st.integers(1, 2000), size=st.sampled_from([1, 2, 4]), processors=st.integers(1, 200),
    shared=st.sampled_from([99 << 10, 163 << 10, 227 << 10]), clusters=st.booleans(),
)  # fmt: skip
def test_ranks(
    rows: int,
    columns: int,
    depth: int,
    matrices: int,
    size: int,
    processors: int,
    shared: int,
    clusters: bool,
) -> None:
    for tensor, every in ((False, tiles.PLAIN), (True, tiles.TENSOR)):
        found = tiles.ranked(
            rows, columns, depth, matrices, size, processors, shared, tensor=tensor, clusters=clusters
        )
        assert sorted(str(t) for t in every if t.shared <= shared) == sorted(str(tile) for tile, _ in found)
        assert len(found) >= len(CHOICES)
        for _, splits in found:
            assert splits in tiles.SPLITS and matrices * splits <= 65535
            assert splits == 1 or -(-depth * size // tiles.PIECE) >= 4 * splits  # no share is empty


def test_a_small_layer_is_spread_over_the_gpu() -> None:
    tile, splits = tiles.ranked(49, 512, 4608, 1, 2, 132, 227 << 10, tensor=True, clusters=True)[0]
    assert -(-49 // tile.rows) * -(-512 // tile.columns) * splits > 66
    tile, splits = tiles.ranked(100_000, 512, 512, 1, 2, 132, 227 << 10, tensor=True, clusters=True)[0]
    assert splits == 1 and tile.sums >= 64
