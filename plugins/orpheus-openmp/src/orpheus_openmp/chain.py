"""Which neighbouring layers are computed together, a band of rows at a time; see native/module/chain.hpp.

A layer whose result is larger than the caches sends it to memory and back, and so does the next one that reads it. Done
band by band, what lies between them stays in L2. ``ORPHEUS_CHAIN=0`` in the environment computes every layer whole.
"""

from __future__ import annotations

import os
from bisect import bisect
from collections.abc import Sequence
from typing import Any

from orpheus_core.errors import BackendError
from orpheus_core.plugin import Joined, Step
from orpheus_openmp import isa as isas
from orpheus_openmp.layer import Layer
from orpheus_openmp.machine import cache_bytes, is_wide

VARIABLE = "ORPHEUS_CHAIN"

#: The rule, from measurements on a core with 1 MB of L2 and 32 MB of L3 (MobileNets of 224 to 1792 pixels, arenas on
#: large pages). A chain holds a result of this many times L2 or more, where there is an L3 behind it: 3 to 14 times
#: lost 1 to 4 % of the network's time, 18 times gained 2 % with one thread; beyond, chains gained up to 9 % or lost 1;
WORTH_BEFORE_L3 = 16.0
#: beside a core that computes whole vectors of AVX-512, of this many (Intel server, 2 MB of L2, 28 GB/s from L3;
#: MobileNets of 160 to 896 pixels): 0.7 times L2 and more gained up to 9 % with one thread and 8 % with two;
WORTH_BESIDE_WIDE = 0.7
#: where there is none, of this many times: what leaves L2 is in memory;
WORTH = 2.0
#: others of this share or more, smaller ones stay in L2 anyway;
LINK = 0.5
#: the windows of a band and the weights together fill at most this share of L2;
ROOM = 0.75
#: a band has at least so many rows of the last layer, fewer lost what was gained;
MIN_ROWS = 4
#: and the rows at the border of two threads' runs, which both compute, are at most this share of a run.
MAX_TWICE = 0.1
_L2 = 1 << 20  # bytes, where the system does not tell


def chains(layers: Sequence[Any]) -> list[Joined]:
    """Runs of these layers, each reading what the one before writes, that are worth computing together.

    The longest run from each layer on. BackendError when ORPHEUS_CHAIN is neither 0 nor 1.
    """
    if not enabled():
        return []
    found: list[Joined] = []
    first = 0
    while first < len(layers) - 1:
        last, band = first + 1, 0
        while last < len(layers) and linked(layers[last - 1], layers[last]):
            rows = band_rows(layers[first : last + 1])
            if not rows:
                break
            last, band = last + 1, rows
        if band and any(result_bytes(layer) >= worth() for layer in layers[first : last - 1]):
            found.append(joined(layers, first, last, band))
            first = last
        else:
            first += 1
    return found


def joined(layers: Sequence[Layer], first: int, last: int, band: int) -> Joined:
    """Layers [first, last) in bands of ``band`` rows of the last one."""
    threads = layers[first].threads

    def join(steps: Sequence[Step]) -> Step:
        step: Step = isas.native().Chain(list(steps), band, threads)
        return step

    return Joined(first, last, join, f"in bands of {band} rows")


def linked(before: Any, after: Any) -> bool:
    """Whether these two can be links of a chain and what lies between them may leave L2."""
    rows = isas.native().row_kernels
    if not all(isinstance(layer, Layer) and layer.kernel in rows for layer in (before, after)):
        return False
    if any(layer.kernel == "pointwise" and layer.workspace for layer in (before, after)):
        return False  # a strided 1x1 gathers its whole input first
    if any(layer.values.get("padded_w") for layer in (before, after)):
        return False  # so does a convolution that copies its input with the pads
    residual, dual = before.has(3), len([t for t in before.problem.outputs if t is not None]) > 1
    return not (residual or dual) and result_bytes(before) >= LINK * l2_bytes()


def band_rows(layers: Sequence[Layer]) -> int:
    """The largest band of the last layer's rows whose windows and weights fit; 0 when none of MIN_ROWS does."""
    room = ROOM * l2_bytes() - sum(weight_bytes(layer) for layer in layers)
    threads, last = layers[0].threads, layers[-1].values
    run = last["n"] * last["out_h"] // threads
    if threads > 1 and any(MAX_TWICE * run < twice for twice in _twice(layers)):
        return 0
    bytes_each = [row_bytes(layer) for layer in layers]

    def fits(rows: int) -> bool:
        windows = window_rows(layers, rows)
        whole = all(threads * w <= x.values["n"] * x.values["out_h"] for w, x in zip(windows, layers))
        return whole and sum(w * size for w, size in zip((*windows, rows), bytes_each)) <= room

    # More rows never need less, so the largest number that fits is found by halving.
    most = bisect(range(MIN_ROWS, min(run, last["out_h"]) + 1), False, key=lambda rows: not fits(rows))
    return MIN_ROWS + most - 1 if most else 0


def window_rows(layers: Sequence[Layer], band: int) -> list[int]:
    """Rows in the window of each layer but the last, for bands of ``band`` rows of the last."""
    rows, found = band, []
    for before, after in zip(layers[-2::-1], layers[:0:-1]):
        v = after.values
        rows = min((rows - 1) * v["sh"] + (v["kh"] - 1) * v["dh"] + 1, before.values["out_h"])
        found.append(rows)
    return found[::-1]


def row_bytes(layer: Layer) -> int:
    """Bytes of one row of a layer's result, all channels of one image."""
    v = layer.values
    blocks = v["images"] // v["n"] if "images" in v else v["groups"] * v["out_blocks"]
    return 4 * int(blocks * v["out_w"]) * (v["depth"] if "images" in v else layer.block)


def result_bytes(layer: Layer) -> int:
    """Bytes of a layer's result for one image."""
    return row_bytes(layer) * int(layer.values["out_h"])


def weight_bytes(layer: Layer) -> int:
    """Bytes of weights that every band reads again."""
    w = layer.values.get("w")
    return 0 if w is None else int(w.nbytes)


def _twice(layers: Sequence[Layer]) -> list[float]:
    """For each layer but the last, the rows that two neighbouring runs both need, in rows of the last layer."""
    shared, scale, found = 0.0, 1.0, []
    for layer in layers[:0:-1]:
        v = layer.values
        shared = max(0.0, shared * v["sh"] + (v["kh"] - 1) * v["dh"] + 1 - v["sh"])
        scale *= v["sh"]
        found.append(shared / scale)
    return found


def enabled() -> bool:
    """Whether chains are made: unless ORPHEUS_CHAIN is 0."""
    asked = os.environ.get(VARIABLE, "").strip()
    if asked not in ("", "0", "1"):
        raise BackendError(f"{VARIABLE}={asked} must be 0 (compute every layer whole) or 1 (the default)")
    return asked != "0"


def worth() -> float:
    """Bytes of a result from which on a chain is worth it."""
    if not cache_bytes(3):
        return WORTH * l2_bytes()
    return (WORTH_BESIDE_WIDE if is_wide(isas.current()) else WORTH_BEFORE_L3) * l2_bytes()


def l2_bytes() -> int:
    """Bytes of a core's second-level cache."""
    return cache_bytes(2) or _L2
