"""An engine as the peers of this package make it: what it got, and how to bind inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orpheus_core.types import Array

__all__ = ["LoadedEngine"]


@dataclass(frozen=True)
class LoadedEngine:
    """``settings`` as the engine tells them; ``binder`` brings inputs into its layout and gives one inference."""

    settings: Mapping[str, Any]
    binder: Callable[[Sequence[Array]], Callable[[], Sequence[Array]]]

    def bind(self, inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        """One inference on ``inputs`` as a call."""
        return self.binder(inputs)
