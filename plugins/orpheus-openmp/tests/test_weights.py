"""Packed weights against their layouts written out, on every instruction set."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("orpheus_openmp", reason="orpheus-openmp is not installed")

from orpheus_openmp import isa as isas
from orpheus_openmp import weights as of_weights
from orpheus_openmp.bilinear import ALGORITHMS
from orpheus_openmp.cook_toom import FORMS
from orpheus_openmp.weights import Packer

from orpheus_core import memory
from orpheus_core.beside import joined


class PackerBeside(Packer):
    """Packs as while a plan is made, and waits."""

    def _run(self, *arrays, **values):
        with joined():
            super()._run(*arrays, **values)


@pytest.fixture(params=["1", "3", "3 streamed", "1 beside", "3 beside"])
def packer(isa, request, monkeypatch):
    """Packs by so many threads; ``streamed``: past the caches, where it may; ``beside``: as while a plan is made."""
    threads, *how = request.param.split()
    monkeypatch.setattr(of_weights, "FOR_A_TEAM", 0)
    if how == ["streamed"]:
        monkeypatch.setattr(of_weights, "FOR_MEMORY", 0)
        monkeypatch.setattr(of_weights.memory, "empty", lambda n: memory.block(4 * n).view(np.float32))
    block, _, vectors = isas.tile(isa)
    return (PackerBeside if how == ["beside"] else Packer)(isa, int(threads), block, vectors)


@pytest.fixture(params=[2, 3])
def tiles(packer, request):
    """Packs for register tiles of two and three vectors."""
    return replace(packer, vectors=request.param)


def _starts(blocks, most):
    """The first block of each of the fewest chunks, as equal as can be, and the end."""
    count = -(-blocks // most)
    sizes = [blocks // count + (i < blocks % count) for i in range(count)]
    return np.cumsum([0, *sizes]).tolist()


def _weights(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _up(count, unit):
    return -(-count // unit) * unit


def _chunks(weights, group, depth, block, width):
    """The layout of ``Packer.chunks``, element by element."""
    filters, channels, taps = len(weights) // group, weights.shape[1], weights[0, 0].size
    rows = []
    for w in weights.reshape(group, filters, channels, taps):
        for first, end in pairwise(_starts(-(-filters // block), width // block)):
            lanes = range(first * block, end * block)
            for start in range(0, channels, depth):
                for tap in range(taps):
                    for c in range(start, min(start + depth, channels)):
                        rows += [w[f, c, tap] if f < filters else 0.0 for f in lanes]
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("group", "filters", "channels", "kernel"),
    [(1, 1, 1, (1, 1)), (1, 33, 35, (3, 3)), (1, 96, 3, (7, 7)), (2, 40, 17, (1, 5)), (2, 70, 200, (1, 1))],
)
def test_chunks(tiles, group, filters, channels, kernel):
    weights = _weights(group * filters, channels, *kernel)
    for depth in (1, tiles.block):
        got = tiles.chunks(weights, group, depth)
        np.testing.assert_array_equal(got, _chunks(weights, group, depth, tiles.block, tiles.width))


@pytest.mark.parametrize("filters", [1, 16, 37])
def test_chunks_of_one_block(packer, filters):
    weights = _weights(filters, 1, 5, 5)
    expected = _chunks(weights, 1, 1, packer.block, packer.block)
    np.testing.assert_array_equal(packer.chunks(weights, 1, 1, packer.block), expected)


@pytest.mark.parametrize(
    ("filters", "channels", "elements", "taps"), [(5, 3, 4, 3), (48, 70, 36, 9), (33, 9, 64, 25)]
)
def test_transformed(tiles, filters, channels, elements, taps):
    weights, sums = _weights(filters, channels, taps), _weights(elements, taps).astype(np.float64)
    sums[::2, 0] = 0.0
    # Each element as one more tap, then packed as taps are, channels all in one block.
    exact = np.einsum("et,fct->fce", sums, weights.astype(np.float64))
    got = tiles.transformed(weights, sums)
    expected = _chunks(exact, 1, channels, tiles.block, tiles.width).astype(np.float64)
    magnitude = np.einsum("et,fct->fce", abs(sums), abs(weights).astype(np.float64)).max()
    # One rounding to float of a sum in doubles; the reference above is rounded too.
    assert np.abs(got - expected).max() <= np.finfo(np.float32).eps * magnitude


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.step > 1])
@pytest.mark.parametrize(("filters", "channels", "padded"), [(5, 3, 3), (48, 9, 16), (70, 33, 48)])
def test_phases(tiles, name, filters, channels, padded):
    form = FORMS[name]
    weights = _weights(filters, channels, *form.kernel).astype(np.float64)
    wide = np.zeros((filters, padded, *form.kernel))
    wide[:, :channels] = weights
    # Each phase as a filter of its own, with a zero where it has a tap less, transformed for every element.
    rows = []
    for top, left in form.phases:
        phase = np.zeros((filters, padded, form.rows.taps, form.cols.taps))
        part = wide[:, :, top :: form.step, left :: form.step]
        phase[:, :, : part.shape[2], : part.shape[3]] = part
        both = np.einsum("ia,fcab,jb->ijcf", form.rows.weights, phase, form.cols.weights)
        rows.append(both.reshape(form.elements, padded, filters))
    for element, (first, end) in enumerate(form.spans):
        for phase in range(len(form.phases)):
            assert first <= phase < end or not rows[phase][element].any(), (
                "an element leaves out what is not zero"
            )
    expected = []
    for start, end_of_chunk in pairwise(_starts(-(-filters // tiles.block), tiles.vectors)):
        start, count = start * tiles.block, (end_of_chunk - start) * tiles.block
        for element, (first, end) in enumerate(form.spans):
            lanes = np.concatenate([rows[phase][element] for phase in range(first, end)])
            chunk = np.zeros((len(lanes), count))
            chunk[:, : filters - start] = lanes[:, start : start + count]
            expected.append(chunk.reshape(-1))
    got = tiles.phases(weights.astype(np.float32), form, padded)
    magnitude = (
        max(np.abs(form.rows.weights).sum(1)) * max(np.abs(form.cols.weights).sum(1)) * np.abs(weights).max()
    )
    np.testing.assert_allclose(
        got, np.concatenate(expected), rtol=0, atol=np.finfo(np.float32).eps * magnitude
    )


@pytest.mark.parametrize(("k", "n"), [(1, 1), (7, 40), (130, 64)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_panels(packer, k, n, transposed, count):
    matrices = _weights(count, k, n)
    padded = np.zeros((count, k, _up(n, packer.width)), np.float32)
    padded[..., :n] = matrices
    expected = padded.reshape(count, k, -1, packer.width).swapaxes(1, 2).reshape(-1, k, packer.width)
    given = matrices.swapaxes(1, 2).copy() if transposed else matrices
    np.testing.assert_array_equal(packer.panels(given, transposed, k, n, count), expected)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(("group", "blocks", "short"), [(1, (0, 0), 0), (2, (1, 3), 0), (1, (3, 1), 3)])
def test_bilinear(packer, name, group, blocks, short):
    """``short`` filters and channels less than whole blocks, ``blocks`` more of them than an algorithm's sides take."""
    found, block, width = ALGORITHMS[name], packer.block, packer.width
    side = found.side
    channels, filters = (side + blocks[0]) * block - short, side * width + blocks[1] * block - short
    weights = _weights(group * filters, channels, 1, 1)
    out, full = _up(filters, block), _up(channels, block)
    run = full // block // side * block
    parts = []
    for w in weights.reshape(group, filters, channels):
        square = np.zeros((out, full))
        square[:filters, :channels] = w
        count = out // (side * width)
        for chunk in square[: count * side * width].reshape(count, side, width, full):
            cells = [chunk[j, :, i * run : (i + 1) * run].T for i in range(side) for j in range(side)]
            parts += [sum(factor * cell for factor, cell in zip(row, cells)) for row in found.right]
            parts += [tile[:, side * run :].T for tile in chunk]
        left = square[count * side * width :].astype(np.float32)
        if len(left):
            parts.append(_chunks(left[..., None, None], 1, block, block, width))
    expected = np.concatenate([np.asarray(part, np.float32).reshape(-1) for part in parts])
    np.testing.assert_array_equal(packer.bilinear(weights, group, found), expected)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_layers_are_packed_beside_each_other(threads):
    """Large ones and small ones, by every number of threads, and all are there at the end."""
    name = isas.available()[0]
    block, _, vectors = isas.tile(name)
    packer = Packer(name, threads, block, vectors)
    weights = [
        _weights(*shape) for shape in ((8, 4, 1, 1), (512, 600, 1, 1), (24, 3, 3, 3), (300, 513, 1, 1)) * 8
    ]
    with joined():
        found = [packer.chunks(w, 1, block) for w in weights]
    for w, packed in zip(weights, found):
        np.testing.assert_array_equal(packed, packer.chunks(w, 1, block))


def test_beside_takes_only_what_packs():
    native, name = isas.native(), isas.available()[0]
    x, y = np.arange(3, dtype=np.float32), np.zeros(3 * 16, np.float32)
    values = {"n": 1, "channels": 1, "plane": 3, "to_blocked": 1, "x": x, "y": y}
    with pytest.raises(ValueError, match="only weights are packed beside, which 'reorder' does not do"):
        native.Beside(2).add(native.Step(name, "reorder", 1, values), y.nbytes)
    with pytest.raises(ValueError, match="one thread or more"):
        native.Beside(0)


def test_beside_can_be_used_again_and_waits_at_its_end(monkeypatch):
    name = isas.available()[0]
    block, _, vectors = isas.tile(name)
    packer, weights = Packer(name, 2, block, vectors), _weights(600, 512, 1, 1)
    expected, beside = packer.chunks(weights, 1, block), [isas.native().Beside(2)]
    monkeypatch.setattr(of_weights, "helper", lambda *_: beside[0])
    packed = packer.chunks(weights, 1, block)
    beside[0].wait()
    beside[0].wait()  # nothing is left
    np.testing.assert_array_equal(packed, expected)
    packed = packer.chunks(weights, 1, block)
    beside.clear()
    np.testing.assert_array_equal(packed, expected)
