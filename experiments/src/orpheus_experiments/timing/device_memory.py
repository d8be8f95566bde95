"""Memory that this process holds on NVIDIA's GPUs, as their driver tells it through nvidia-ml-py."""

from __future__ import annotations

import os

from orpheus_core.errors import BackendError
from orpheus_experiments.energy.nvml import opened

__all__ = ["held"]


def held() -> int | None:
    """Bytes on all GPUs, contexts and programs included.

    None where the driver does not tell them: without NVML, in a container that numbers processes by itself, and for a
    process that holds none.
    """
    try:
        library, handles = opened()
    except BackendError:
        return None
    total = None
    for handle in handles:
        try:
            listed = library.nvmlDeviceGetComputeRunningProcesses(handle)
        except library.NVMLError:
            continue
        for process in listed:
            if process.pid == os.getpid() and process.usedGpuMemory is not None:
                total = (total or 0) + int(process.usedGpuMemory)
    return total
