"""An engine as the peers of this package make it: what it got, and how to bind inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from orpheus_core.types import Array

__all__ = ["LoadedEngine", "Told", "medians"]

#: A layer as an engine tells it: name, operator, kernel, seconds.
Told = tuple[str, str, str, float]


@dataclass(frozen=True)
class LoadedEngine:
    """``settings`` as the engine tells them; ``binder`` brings inputs into its layout and gives one inference.

    ``teller``, of engines that profile: loads the model once more, with profiling on, runs it so many times and gives
    each layer.
    """

    settings: Mapping[str, Any]
    binder: Callable[[Sequence[Array]], Callable[[], Sequence[Array]]]
    teller: Callable[[Sequence[Array], int], list[Told]] | None = None

    def bind(self, inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        """One inference on ``inputs`` as a call."""
        return self.binder(inputs)

    def layers(self, inputs: Sequence[Array], runs: int) -> list[Told]:
        """The layers in the order of execution, medians over ``runs``; none where the engine does not tell them."""
        return self.teller(inputs, runs) if self.teller is not None else []


def medians(runs: Sequence[Sequence[Told]]) -> list[Told]:
    """Each layer of the first run with the median of its times in all of them."""
    times: dict[str, list[float]] = {}
    for run in runs:
        for name, _, _, seconds in run:
            times.setdefault(name, []).append(seconds)
    return [(name, op, kernel, median(times[name])) for name, op, kernel, _ in runs[0]]
