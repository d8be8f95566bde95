"""Energy of NVIDIA's GPUs: the driver's own counter of millijoules, through nvidia-ml-py; Volta and later have it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from orpheus_core.errors import BackendError

__all__ = ["NvmlCounters", "open_nvml", "opened"]

_INSTALL = "pip install 'orpheus-experiments[nvml]'"


class NvmlCounters:
    """A context manager: joules between its entry and its exit, by the GPU's name and number, in ``joules``.

    The driver updates a counter every 20 to 100 ms, so what is measured should last much longer.
    """

    def __init__(self, library: Any, devices: Mapping[str, Any]) -> None:
        self._library, self._devices = library, devices
        self._begun: dict[str, int] = {}
        self.joules: dict[str, float] = {}

    def __enter__(self) -> NvmlCounters:
        self._begun = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        self.joules = {name: (now - self._begun[name]) / 1e3 for name, now in self._read().items()}

    def _read(self) -> dict[str, int]:
        return {
            n: int(self._library.nvmlDeviceGetTotalEnergyConsumption(d)) for n, d in self._devices.items()
        }


def opened() -> tuple[Any, list[Any]]:
    """The library, and a handle for each GPU. BackendError says why there is none, and what to do."""
    try:
        library: Any = importlib.import_module("pynvml")
    except ImportError:
        raise BackendError(f"NVML: nvidia-ml-py is not installed; try: {_INSTALL}") from None
    try:
        library.nvmlInit()
        handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
    except library.NVMLError as error:
        raise BackendError(f"NVML: {error}") from None
    return library, handles


def open_nvml() -> NvmlCounters:
    """Every GPU that counts its energy. BackendError says why there is none, and what to do."""
    library, handles = opened()
    found, reasons = {}, []
    for index, handle in enumerate(handles):
        try:
            name = f"{_text(library.nvmlDeviceGetName(handle))} (GPU {index})"
            library.nvmlDeviceGetTotalEnergyConsumption(handle)
        except library.NVMLError as error:
            reasons.append(f"GPU {index} does not count its energy: {error}")
        else:
            found[name] = handle
    if not found:
        raise BackendError("NVML: " + ("; ".join(reasons) or "this system has no GPU of NVIDIA's"))
    return NvmlCounters(library, found)


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
