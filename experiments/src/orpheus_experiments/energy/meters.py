"""All meters that plugins offer, opened together."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from orpheus_core import discovery
from orpheus_core.errors import BackendError
from orpheus_core.plugin import Meter, resolve

__all__ = ["METERS", "Meters"]

METERS = (
    Meter(name="rapl", unit="J", open="orpheus_experiments.energy.counters:open_rapl"),
    Meter(name="hwmon", unit="J", open="orpheus_experiments.energy.counters:open_hwmon"),
    Meter(name="nvml", unit="J", open="orpheus_experiments.energy.nvml:open_nvml"),
)


class Meters:
    """Every energy meter that can be read here; ``reason`` tells why there is none.

    As a context manager it measures, again and again; ``joules`` then has a value for each counter, ``meter: counter``.
    """

    def __init__(self) -> None:
        self._open: dict[str, Any] = {}
        self.joules: dict[str, float] = {}
        reasons = []
        for meter in (c.item for c in discovery.meters() if c.item.unit == "J"):
            try:
                self._open[meter.name] = resolve(meter.open)()
            except (BackendError, ImportError, OSError) as error:
                reasons.append(f"{meter.name}: {error}")
        self.reason = "" if self._open else "; ".join(reasons) or "no plugin offers a meter"
        self._stack = ExitStack()

    def __enter__(self) -> Meters:
        for meter in self._open.values():
            self._stack.enter_context(meter)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.joules = {f"{n}: {k}": v for n, m in self._open.items() for k, v in m.joules.items()}
