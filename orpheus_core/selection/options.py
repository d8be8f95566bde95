"""What the user may say about selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend
from orpheus_core.selection.cache import MeasurementCache

Policy = Literal["order", "cost"]
Fallback = Literal["warn", "error", "allow"]
Memory = Literal["normal", "low"]


@dataclass(frozen=True)
class SelectionOptions:
    """Who may run what.

    ``backends`` in order of preference. ``named`` of them were asked for; the rest are fallbacks.
    ``policy``: "order" gives a node to the first backend that accepts it, and leaves to cost only which of its
    kernels; "cost" lets all that were named compete, conversions counted, and fallbacks run what no named one can.
    ``fallback``: what to do when a node runs on a backend that was not asked for. ``pins``: see :mod:`pins`.
    ``cache``: measured times, or None. ``memory``: "low" leaves out kernels whose packed constants outgrow the
    constants (Winograd's, Strassen's), unless one is pinned or nothing else can run the node. ``error_factor``: so
    also kernels that declare a larger error than so many times that of a direct sum (:attr:`Accuracy.factor`); a
    network's error adds up over its layers. ``network_bytes``: of the constants of the graph that is selected for, as
    :class:`~orpheus_core.plugin.Problem` tells them; :func:`~orpheus_core.selection.selector.choose` works them out.
    """

    backends: tuple[Backend, ...]
    named: int | None = None
    policy: Policy = "order"
    fallback: Fallback = "warn"
    pins: Mapping[str, str] = field(default_factory=dict)
    cache: MeasurementCache | None = None
    threads: int = 1
    memory: Memory = "normal"
    error_factor: float = 16.0
    network_bytes: int = 0

    def __post_init__(self) -> None:
        if self.policy not in get_args(Policy):
            raise UsageError(f"policy {self.policy!r} is not one of {', '.join(get_args(Policy))}")
        if self.fallback not in get_args(Fallback):
            raise UsageError(f"fallback {self.fallback!r} is not one of {', '.join(get_args(Fallback))}")
        if self.memory not in get_args(Memory):
            raise UsageError(f"memory {self.memory!r} is not one of {', '.join(get_args(Memory))}")
        if not self.error_factor >= 1:
            raise UsageError(
                f"error_factor is 1 or more (1: plain accumulation only), not {self.error_factor}"
            )
        if not self.backends:
            raise UsageError("no backend to select from: install one, for example: pip install orpheus-numpy")

    def is_fallback(self, backend: Backend) -> bool:
        """Whether a backend was not asked for by name."""
        return self.named is not None and backend.name in (b.name for b in self.backends[self.named :])
