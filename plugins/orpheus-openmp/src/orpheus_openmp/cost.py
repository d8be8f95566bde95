"""Static estimates, in seconds of one call, good enough to order algorithms before anything is measured.

A multiplying kernel takes its multiplications at the share of the processor's peak that its register tile reaches, or
the time its weights take from memory, whichever is longer; everything else takes its bytes at cache bandwidth.
"""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

from orpheus_core.plugin import Accuracy, Problem
from orpheus_core.types import TensorType
from orpheus_openmp import isa
from orpheus_openmp.bilinear import ALGORITHMS
from orpheus_openmp.conv import tile_vectors
from orpheus_openmp.conv_shape import ConvShape, conv_shape
from orpheus_openmp.cook_toom import FORMS, Form
from orpheus_openmp.operands import input_shape, output_shape
from orpheus_openmp.packing import Packing, conv_packing, transpose_packing
from orpheus_openmp.rates import rates_for
from orpheus_openmp.winograd import band_rows, chunk_vectors

_CALL = 2e-7  # seconds of a step inside a segment
_GATHER = 2e9  # elements a second into im2col's panels
_PACK = 4e9  # elements a second into a packed tile, and where columns are left out between them
_PACK_STRIDED = 1.5e9
_FINISH = 4e9  # results a second that are stored row by row
_HEAP = 1e-8  # seconds of a step down a heap
_COMPARE = 2e-9  # seconds of an element that is compared with its root
_PRICES = {form.factor: Accuracy(factor=form.factor).price for form in FORMS.values()}


def direct(problem: Problem) -> float:
    """Direct convolution on NCHWc: rows in tiles of up to `pixels`."""
    shape = conv_shape(problem)
    channels = shape.channels // shape.group
    empty = 1 - channels / _padded(channels, isa.tile_for(problem)[0])  # of the cache lines that are read
    return (1 + 0.6 * empty) * _rows(problem, shape, channels)


def stem(problem: Problem) -> float:
    """Direct from a plain input: each channel is a loop of its own."""
    shape = conv_shape(problem)
    return 1.2 * _rows(problem, shape, shape.channels // shape.group)


def pointwise(problem: Problem) -> float:
    """1x1: all pixels are one row, gathered first where a stride leaves some out."""
    rates = rates_for(problem)
    shape = conv_shape(problem)
    pixels = math.prod(shape.window.y)
    gathered = 4 * shape.batch * shape.channels * pixels if shape.window.strides != (1, 1) else 0
    share = _share(pixels, isa.tile_for(problem)[1], rates.load)
    row = 0.95 * _direct(problem, shape, shape.channels // shape.group, share)
    return row + gathered / rates.cache / problem.threads


def strassen(problem: Problem) -> float:
    """One level of Strassen's algorithm."""
    return _bilinear(problem, "strassen")


def strassen2(problem: Problem) -> float:
    """Two levels."""
    return _bilinear(problem, "strassen2")


def depthwise(problem: Problem) -> float:
    """One multiplication for each value loaded."""
    rates = rates_for(problem)
    shape = conv_shape(problem)
    macs = (
        shape.batch
        * _padded(shape.channels, isa.tile_for(problem)[0])
        * math.prod(shape.window.y)
        * shape.taps
    )
    return _CALL + max(4 * macs / rates.peak, _bytes(problem) / rates.cache) / problem.threads


def im2col(problem: Problem) -> float:
    """Gather every window, then one plain product."""
    rates = rates_for(problem)
    shape = conv_shape(problem)
    pixels = math.prod(shape.window.y)
    gathered = shape.batch * shape.channels * shape.taps * pixels
    rows = shape.filters // shape.group
    macs = shape.macs / rows * _tiled(rows)
    work = macs / (rates.peak * 0.7 * _share(rows, isa.tile_for(problem)[1], rates.load)) + gathered / _GATHER
    return _CALL + rates.longer(problem, work / problem.threads, _weights(problem))


def spatial_pack(problem: Problem) -> float:
    """Tiles copied once, then all positions between their rows' ends."""
    return _packed(problem, conv_packing(problem, _panel(problem)))


def conv_transpose(problem: Problem) -> float:
    """The same, one job for each residue of the output's position."""
    return _packed(problem, transpose_packing(problem, _panel(problem)))


def top_k(problem: Problem) -> float:
    """Every element is compared with the last of the K best, which are a heap."""
    x, y = (t if isinstance(t, TensorType) else None for t in (problem.inputs[0], problem.outputs[0]))
    count, taken = (float(t.size or 0) if t else 0.0 for t in (x, y))
    return _CALL + (count * _COMPARE + taken * math.log2(max(taken, 2)) * _HEAP) / problem.threads


def product(problem: Problem) -> float:
    """Gemm and MatMul; one row is bound by the weights' way from memory."""
    rates = rates_for(problem)
    a, y = input_shape(problem, 0), output_shape(problem)
    rows, depth = math.prod(y[:-1]), a[-2 if problem.attributes.get("transA", 0) else -1]
    macs = rows * y[-1] * depth
    return _CALL + max(
        macs
        / (rates.peak * 0.8 * _share(max(rows, 4), isa.tile_for(problem)[1], rates.load))
        / problem.threads,
        _weights(problem) / rates.stream,
    )


def traffic(problem: Problem) -> float:
    """Kernels that are bound by memory."""
    rates = rates_for(problem)
    return _CALL + _bytes(problem) / rates.cache / problem.threads


def pool(problem: Problem) -> float:
    """Every tap is loaded once more."""
    rates = rates_for(problem)
    kernel = problem.attributes.get("kernel_shape", (1,))
    y = problem.outputs[0]
    taps: float = math.prod(kernel) * ((y.nbytes or 0) if isinstance(y, TensorType) else 0)
    return _CALL + (_bytes(problem) + taps / 4) / rates.cache / problem.threads


def plain_pool(problem: Problem) -> float:
    """The same with scalars instead of vectors."""
    return 4 * pool(problem)


def _packed(problem: Problem, packing: Packing) -> float:
    rates = rates_for(problem)
    depth, _, columns = packing.axes
    height, width = packing.tile
    block, limit, _ = isa.tile_for(problem)
    positions = (height - 1) * packing.pitch + width
    vectors = -(-positions // block)
    images = packing.batch * packing.groups
    tiles = images * packing.tiles * depth.span
    terms = packing.channels * sum(math.prod(len(phase.elements) for phase in job) for job in packing.jobs())
    macs = tiles * vectors * block * packing.filters * terms
    stored = images * packing.filters * vectors * block * packing.tiles * depth.span * len(packing.jobs())
    work = macs / (rates.peak * 0.9 * _share(packing.filters, limit, rates.load)) + stored / _FINISH
    work += tiles * len(depth.phases) * packing.room / (_PACK if columns.stride == 1 else _PACK_STRIDED)
    return _CALL + rates.longer(problem, work / problem.threads, _weights(problem))


def _panel(problem: Problem) -> int:
    block, _, vectors = isa.tile_for(problem)
    return block * vectors


def _rows(problem: Problem, shape: ConvShape, channels: int) -> float:
    """Direct convolution, each row of the output by itself."""
    row, blocks = shape.window.y[1], -(-shape.filters // shape.group // isa.tile_for(problem)[0])
    chosen = tile_vectors(isa.name_for(problem), row, blocks)
    return _direct(problem, shape, channels, _chosen_share(problem, row, chosen))


def _direct(problem: Problem, shape: ConvShape, channels: int, share: float) -> float:
    rates = rates_for(problem)
    pixels = math.prod(shape.window.y)
    groups, filters = shape.group, _padded(shape.filters // shape.group, isa.tile_for(problem)[0])
    macs = shape.batch * groups * filters * channels * shape.taps * pixels
    work = macs / (rates.peak * 0.9 * share)
    weights = 4 * groups * filters * channels * shape.taps
    return _CALL + rates.longer(problem, work / problem.threads, weights)


def _winograd(form: Form, problem: Problem) -> float:
    """Products in register tiles, transforms by the vectors that they pass, or the weights' way from memory."""
    rates = rates_for(problem)
    shape, block = conv_shape(problem), isa.tile_for(problem)[0]
    rows, across = (-(-size // out) for size, out in zip(shape.window.y, form.out))
    tiles, band = shape.batch * rows * across, band_rows(form, problem)
    vectors = chunk_vectors(form, problem, isa.name_for(problem), band)
    channels, filters, elements = _padded(shape.channels, block), _padded(shape.filters, block), form.elements
    pairs = form.products * shape.channels * filters
    share = 0.85 * _chosen_share(problem, band * across, vectors)
    if not form.fly:
        products = tiles / share
    else:  # of few tiles weights stay in registers
        products = tiles * rates.load / 0.9 if vectors == 1 else tiles * (1 / share + rates.keep)
        products += shape.batch * -(-rows // band) * rates.weigh
    products *= pairs / rates.peak
    axes = sum(axis.size > 1 for axis in (form.rows, form.cols))
    moved = tiles * (channels * len(form.phases) + filters) / block * axes * elements
    weights = 4 * (shape.taps * shape.channels * filters if form.fly else pairs)
    rate = rates.feed * rates.peak if form.step > 1 else 0.0
    work = (products + moved / rates.transform / 2) / problem.threads
    seen = 0.0 if form.fly or form.step > 1 else rates.seen
    return _CALL + rates.longer(problem, work, weights, rate, seen) * _PRICES[form.factor]


#: By the name of the form's kernel.
winograd = SimpleNamespace(**{name: partial(_winograd, form) for name, form in FORMS.items()})


def _bilinear(problem: Problem, name: str) -> float:
    """Pointwise with fewer products, more weights (measured cold: part of their way is hidden), and sums to move."""
    rates = rates_for(problem)
    shape, found = conv_shape(problem), ALGORITHMS[name]
    block, limit, vectors = isa.tile_for(problem)
    side, pixels = found.side, math.prod(shape.window.y)
    channels, filters = (-(-n // shape.group // block) for n in (shape.channels, shape.filters))
    chunks, part = filters // (side * vectors), channels // side
    done = chunks * side * vectors * part * side / (filters * channels)  # by fewer products
    fewer = 1 - done * (1 - found.products / side**3)
    tile = -(-pixels // side)  # pixels of a tile, if there were one of each kind
    slots = found.moves * chunks * vectors
    sums = (max(found.formed) + 1) * part * side
    macs = filters * channels * block**2 * pixels * 0.95 * fewer / (0.9 * _share(tile, limit, rates.load))
    macs += tile * block * (rates.slot * slots + rates.sum * sums)
    weights = 4 * shape.group * filters * channels * block**2
    stored = 1 + done * (found.products / side**2 - 1)
    work = shape.batch * shape.group * macs / rates.peak + weights / rates.more * (stored - 1)
    meet = rates.meet if problem.threads > 1 else 0.0
    return _CALL + meet + rates.longer(problem, work / problem.threads, weights * stored)


def _share(row: int, limit: int, load: float = 1.0) -> float:
    """The share of peak that a row of so many pixels reaches in tiles of ``limit``: weights are loaded once a tile."""
    tile = row / -(-row // limit)
    return tile / (tile + load)


def _chosen_share(problem: Problem, row: int, chosen: int) -> float:
    """The same of the register tile of so many vectors, each of which is loaded for fewer pixels."""
    _, limit, vectors = isa.tile_for(problem)
    if chosen > vectors:
        limit = isa.tall_tile(isa.name_for(problem))[0]
    return _share(row, limit, rates_for(problem).load * vectors / chosen)


def _tiled(rows: int) -> int:
    return max(rows, 2)


def _padded(channels: int, block: int) -> int:
    return -(-channels // block) * block


def _weights(problem: Problem) -> float:
    type_ = problem.inputs[1]
    return float(type_.nbytes or 0) if isinstance(type_, TensorType) else 0.0


def _bytes(problem: Problem) -> float:
    operands = (*problem.inputs, *problem.outputs)
    return float(sum(t.nbytes or 0 for t in operands if isinstance(t, TensorType)))
