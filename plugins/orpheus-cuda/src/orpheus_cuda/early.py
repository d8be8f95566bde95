"""Kernels that are started while the one before them in their stream still runs: cuLaunchKernelEx, which CuPy lacks.

Programmatic dependent launch (CUDA C++ Programming Guide; compute capability 9.0, in graphs since CUDA 12.3). A kernel
that calls ``after_others()`` (cu/ptx.cuh) may be launched so: its blocks take their places, and fetch weights, while
the last blocks of the one before end, and wait there for what that one writes. Structures are those of cuda.h.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from typing import Any

#: CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
_SERIALIZATION = 6
LEAST, LEAST_DRIVER = (9, 0), (12, 3)


class Attribute(ctypes.Structure):
    """CUlaunchAttribute: a number, and the union of what goes with it."""

    _fields_ = (("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("value", ctypes.c_uint64 * 8))


class Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint),
        ("stream", ctypes.c_void_p), ("attributes", ctypes.POINTER(Attribute)), ("count", ctypes.c_uint),
    )  # fmt: skip


class Early:
    """The call, for one device."""

    def __init__(self, driver: Any) -> None:
        self._call = driver.cuLaunchKernelEx
        self._call.restype = ctypes.c_int
        self._call.argtypes = (
            ctypes.POINTER(Config), ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p,
        )  # fmt: skip
        self._attribute = Attribute(id=_SERIALIZATION)
        self._attribute.value[0] = 1

    def __call__(
        self,
        function: int,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Any],
        shared: int,
        stream: int,
    ) -> int:
        """Queue the kernel; CUDA's status, 0 when all is well. Arguments are numpy's scalars."""
        held = [argument.reshape(1) for argument in arguments]
        pointers = (ctypes.c_void_p * len(held))(*(a.ctypes.data for a in held))
        config = Config(
            _three(grid), _three(block), shared, stream, ctypes.pointer(self._attribute), 1
        )  # fmt: skip
        return int(self._call(ctypes.byref(config), function, pointers, None))


def _three(sizes: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*(*sizes, 1, 1)[:3])


def find(capability: tuple[int, int], driver: str) -> Early | None:
    """The call where device and driver ("13.0") know it and ``ORPHEUS_CUDA_EARLY`` is not 0, else None."""
    version = tuple(int(part) for part in driver.split("."))
    if capability < LEAST or version < LEAST_DRIVER or os.environ.get("ORPHEUS_CUDA_EARLY") == "0":
        return None
    try:
        return Early(ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"))
    except (OSError, AttributeError):
        return None
