"""What CUDA reports, as Orpheus's typed errors."""

from __future__ import annotations

from orpheus_core.errors import DeviceError, KernelError, OrpheusError

#: Numbers of cudaError and CUresult, which agree where both have a name.
_MEMORY = (2,)
_SHAPE = (9, 701, 98, 8)  # a launch that is too large: threads, registers, shared memory
_IMAGE = (200, 209, 218, 222)  # a program for another GPU
#: After these nothing of the process can use the device any more.
_LOST = (700, 702, 710, 714, 715, 716, 717, 718, 719, 709, 4, 3, 46, 999)


def typed(error: Exception, name: str, memory: int, doing: str) -> Exception:
    """MemoryError, DeviceError or KernelError: which device said what, and what it was doing."""
    if isinstance(error, OrpheusError):
        return error
    status = getattr(error, "status", None)
    if isinstance(error, MemoryError) or status in _MEMORY:
        has = f"{memory / 2**20:.0f} MiB" if memory else "?"
        return MemoryError(f"CUDA device {name} ({has} in all) has no memory for {doing}: {error}")
    if status in _SHAPE:
        return KernelError(f"CUDA device {name} refuses the launch while {doing}: {error}")
    if status in _IMAGE:
        return KernelError(f"CUDA device {name} cannot run the program it was given while {doing}: {error}")
    if status in _LOST:
        return DeviceError(
            f"CUDA device {name} was lost to this process while {doing}: {error}. Start a new process to use it again;"
            " other backends go on"
        )
    return DeviceError(f"CUDA device {name} failed while {doing}: {error}")
