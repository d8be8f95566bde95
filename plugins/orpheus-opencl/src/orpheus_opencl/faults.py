"""What drivers report, as Orpheus's typed errors."""

from __future__ import annotations

import pyopencl as cl

from orpheus_core.errors import DeviceError, KernelError

_MEMORY = ("MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_HOST_MEMORY", "INVALID_BUFFER_SIZE")
_GROUP = (
    "INVALID_WORK_GROUP_SIZE",
    "INVALID_WORK_ITEM_SIZE",
    "INVALID_WORK_DIMENSION",
    "INVALID_GLOBAL_WORK_SIZE",
)


def typed(error: cl.Error, device: cl.Device, doing: str) -> Exception:
    """MemoryError, DeviceError or KernelError: which device said what, and what it was doing."""
    name = str(device.name).strip()
    code = _code(error)
    if code in _MEMORY:
        has = f"{device.global_mem_size / 2**20:.0f} MiB, at most {device.max_mem_alloc_size / 2**20:.0f} in a block"
        return MemoryError(f"OpenCL device {name} ({has}) has no memory for {doing}: {code}")
    if code in _GROUP:
        return KernelError(
            f"OpenCL device {name} refuses the work-group size of {doing}: {code}; its limit is"
            f" {device.max_work_group_size} work items, {tuple(device.max_work_item_sizes)} by dimension"
        )
    return DeviceError(
        f"OpenCL device {name} failed while {doing}: {error}. If it was lost, make a new session; if it goes on, look"
        " at its driver's log"
    )


def _code(error: cl.Error) -> str:
    number = getattr(error, "code", None)
    if number is None:
        return ""
    return str(cl.status_code.to_string(number, "%d"))
