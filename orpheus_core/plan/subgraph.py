"""Subgraphs of control-flow nodes as callables that a kernel can call like functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Runs(Protocol):
    """What a subgraph is compiled to: an Executable."""

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Outputs for inputs, in graph order."""


def callable_of(
    executable: Runs, slots: Sequence[Any], captures: Sequence[int]
) -> Callable[..., tuple[Any, ...]]:
    """A function of the subgraph's own inputs; captured values are read from ``slots`` at the call."""

    def call(*inputs: Any) -> tuple[Any, ...]:
        return tuple(executable.run((*inputs, *(slots[i] for i in captures))))

    return call
