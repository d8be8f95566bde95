"""Settings of a session, named as in ONNX Runtime where it has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orpheus_core.importer import Limits


@dataclass
class SessionOptions:
    """How a model is read, simplified and run.

    ``intra_op_num_threads``: 0 means the default, min(affinity, cgroup quota). ``enable_passes`` names the graph passes
    to run (None: all), ``disable_passes`` those to leave out. ``policy``: "order" or "cost"; ``fallback``: "warn",
    "error" or "allow"; ``memory``: "normal", or "low" for no kernel whose packed weights outgrow the weights; ``pin``:
    node, operator or ``*`` to kernel; ``error_factor``: the largest declared error, in that of a direct sum, of a
    kernel that is not pinned. ``shapes`` fixes input shapes at load. ``measurements``: path of the measurement
    cache, None for the default one, "" for none. ``profile_file_prefix`` names the trace that ``end_profiling`` writes.
    """

    intra_op_num_threads: int = 0
    enable_passes: Iterable[str] | None = None
    disable_passes: Iterable[str] = ()
    policy: str = "order"
    fallback: str = "warn"
    memory: str = "normal"
    error_factor: float = 16.0
    pin: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    measurements: str | None = None
    enable_profiling: bool = False
    profile_file_prefix: str = "orpheus_profile"
    limits: Limits = field(default_factory=Limits)
