"""Models of time: they order this backend's kernels until times are measured; only their order matters."""

from __future__ import annotations

from functools import partial
from math import ceil, prod
from types import SimpleNamespace

from orpheus_core.geometry.cook_toom import FORMS, Form
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Accuracy, Problem
from orpheus_opencl.device import opened
from orpheus_opencl.limits import elements, extent
from orpheus_opencl.tiles import TILES, Tile, waste
from orpheus_opencl.tiles import tile as best_tile

_CALL = 3e-6
_BANDWIDTH = 8e9
_CACHED = 25e9
_WEIGHTS = 20e9
_TILED = 100e9
_PLAIN = 2e9


def traffic(problem: Problem) -> float:
    """Every operand read or written once."""
    return _CALL + problem.outputs[0].dtype.itemsize * elements(problem) / _BANDWIDTH  # type: ignore[union-attr]


def _sums(problem: Problem) -> float:
    taps = prod(shape_of(problem.inputs[1])[1:])
    return 2.0 * taps * prod(shape_of(problem.outputs[0]))


def direct(problem: Problem) -> float:
    """By operations, or by traffic."""
    return max(_sums(problem) / _TILED, traffic(problem))


def _tiled(tile: Tile, problem: Problem) -> float:
    """That of direct, by how much more of the output's tiles is wasted; a little, at least."""
    device, found = opened(problem.outputs[0].device.index), extent(problem)  # type: ignore[union-attr]
    chosen = best_tile(device, *found)
    return direct(problem) * max(waste(tile, *found) / waste(chosen, *found), 1.01)


#: Of direct with a tile that is not its own choice, by the kernel's name.
tiled = SimpleNamespace(**{t.name: partial(_tiled, t) for t in TILES})


def _winograd(form: Form, problem: Problem) -> float:
    """Products by operations or by their weights' way; X, Y, and each transformed tile twice, from a cache."""
    (n, _, p, q), (m, c) = shape_of(problem.outputs[0]), shape_of(problem.inputs[1])[:2]
    ends = prod(shape_of(problem.inputs[0])) + n * m * p * q
    tiles = n * ceil(p / form.rows.out) * ceil(q / form.cols.out)
    products = 2.0 * form.elements * tiles * (16 * ceil(m / 16)) * c / _TILED
    weights = 4.0 * form.elements * m * c / _WEIGHTS
    moved = 4.0 * (2 * form.elements * tiles * (m + c) + ends) / _CACHED
    return (3 * _CALL + max(products, weights) + moved) * Accuracy(factor=form.factor).price


#: By the name of the form's kernel.
winograd = SimpleNamespace(**{name: partial(_winograd, form) for name, form in FORMS.items()})


def plain(problem: Problem) -> float:
    """By operations, one at a time."""
    return _sums(problem) / _PLAIN + traffic(problem)
