"""What results are compared with: outputs in float64 or of another engine, kept in a file for every engine's child."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.cli.feeds import make_feeds
from orpheus_core.types import Array
from orpheus_experiments.accuracy.exact import error, evaluate_all

__all__ = ["compare", "images", "read", "write"]

Bind = Callable[[Mapping[str, Array]], Callable[[], Sequence[Any]]]


def images(trial: Any, inputs: Sequence[Any], shapes: Mapping[str, Sequence[int]]) -> list[dict[str, Array]]:
    """Random inputs: the timed ones, then those whose classes are compared, each by a seed of its own."""
    count = math.ceil(trial.images / trial.batch) if "agreement" in trial.metrics else 1
    fixed = {k: tuple(v) for k, v in shapes.items()}
    return [make_feeds(inputs, {}, fixed, trial.seed + 1_000_003 * i) for i in range(count)]


def write(target: Path, given: Sequence[Mapping[str, Array]], bind: Bind | None, path: Path) -> None:
    """The outputs for all inputs, of an engine, or in float64 where ``bind`` is None."""
    outputs = evaluate_all(path, given) if bind is None else [list(bind(f)()) for f in given]
    arrays = {f"{i}.{j}": np.asarray(x) for i, row in enumerate(outputs) for j, x in enumerate(row)}
    save: Any = np.savez  # whose types take any keyword for one of its own
    save(target, **arrays)


def read(path: Path) -> list[list[Array]]:
    """What :func:`write` wrote."""
    rows: dict[int, dict[int, Array]] = {}
    with np.load(path, allow_pickle=False) as found:
        for name in found.files:
            row, _, column = name.partition(".")
            rows.setdefault(int(row), {})[int(column)] = found[name]
    return [[row[j] for j in sorted(row)] for _, row in sorted(rows.items())]


def compare(
    got: Sequence[Sequence[Array]], wanted: Sequence[Sequence[Array]]
) -> tuple[float | str, float | str]:
    """The largest error of any output as a share of its range, and the share of equal classes; or why there is none.

    Where the model leaves a shape open, as detectors do, another shape is no error: there is nothing to compare.
    """
    for mine, theirs in zip(got, wanted):
        shapes = [[list(x.shape) for x in row] for row in (mine, theirs)]
        if shapes[0] != shapes[1]:
            reason = f"the shapes depend on the data, and are {shapes[0]} here, {shapes[1]} there"
            return reason, reason
    worst = max(error(mine, theirs) for mine, theirs in zip(got, wanted))
    return worst, _agreement([row[0] for row in got if row], [row[0] for row in wanted if row])


def _agreement(got: Sequence[Array], wanted: Sequence[Array]) -> float | str:
    first = wanted[0] if wanted else None
    if first is None or first.ndim < 2 or first.shape[1] < 2 or first.size != first.shape[0] * first.shape[1]:
        return "the first output holds no classes: it is not batch x classes"
    equal = [np.argmax(g.reshape(w.shape), 1) == np.argmax(w, 1) for g, w in zip(got, wanted)]
    return float(np.mean(np.concatenate([e.ravel() for e in equal])))
