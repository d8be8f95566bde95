"""Finding and loading oneDNN 3.x, and the handful of its C functions that all others go through.

The C interface is stable within a major version, enumerations included, so ctypes needs neither a compiler nor
headers. The library is the one that ``ORPHEUS_ONEDNN`` names, else the one that a wheel put into this environment, else
the one that the system's loader finds.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from orpheus_core.errors import BackendError, KernelError
from orpheus_core.loading import first_usable
from orpheus_core.waiting import brief, runtimes

VARIABLE = "ORPHEUS_ONEDNN"
NAME = {"darwin": "libdnnl.3.dylib", "win32": "dnnl.dll"}.get(sys.platform, "libdnnl.so.3")
FIX = f"pip install 'orpheus-onednn[gomp]' (x86-64 Linux), or {VARIABLE}=/path/to/{NAME} of any oneDNN 3.x with OpenMP"
_STATUS = ("success", "out of memory", "invalid arguments", "not implemented", "no more", "runtime error",
           "not required")  # fmt: skip
_SEQUENTIAL, _OPENMP = 1, 2
_RUNTIMES = {0: "no CPU", 4: "TBB", 8: "a thread pool", 256: "OpenCL", 512: "SYCL"}


class _Version(ctypes.Structure):
    _fields_ = (("major", c_int), ("minor", c_int), ("patch", c_int), ("hash", c_char_p), ("cpu", c_uint),
                ("gpu", c_uint))  # fmt: skip


class Handle:
    """An object of the library, destroyed with this one. ctypes passes it as the pointer that it is."""

    __slots__ = ("_as_parameter_", "_destroy")

    def __init__(self, library: Library, kind: str, function: str, *args: Any) -> None:
        self._as_parameter_, self._destroy = c_void_p(), getattr(library.c, f"dnnl_{kind}_destroy")
        library.call(function, byref(self._as_parameter_), *args)

    def __del__(self) -> None:
        self._destroy(self._as_parameter_)  # none, where it could not be made, is as good


class Library:
    """A loaded oneDNN. BackendError, with what fixes it, when it is none that can be used."""

    def __init__(self, path: str) -> None:
        self.c, self.settles = brief(lambda: ctypes.CDLL(path))
        try:
            self.c.dnnl_version.restype = ctypes.POINTER(_Version)
            found = self.c.dnnl_version().contents
        except AttributeError:
            raise BackendError(f"{path} is not oneDNN: it has no dnnl_version") from None
        self.version = f"{found.major}.{found.minor}.{found.patch}"
        if found.major != 3:
            raise BackendError(f"{path} is oneDNN {self.version}; version 3 is needed")
        if found.cpu not in (_SEQUENTIAL, _OPENMP):
            name = _RUNTIMES.get(found.cpu, f"runtime {found.cpu}")
            raise BackendError(f"{path}, oneDNN {self.version}, was built with {name} in the place of OpenMP")
        self.openmp = self.c if found.cpu == _OPENMP else None
        intel = hasattr(self.c, "__kmpc_fork_call")  # in LLVM's and Intel's, and not in GNU's
        self.runtimes = [name for name in runtimes() if self.openmp and ("gomp" in name) is not intel]
        if intel and len(self.runtimes) > 1:
            raise BackendError(
                f"{path} is built with OpenMP of LLVM or Intel, and this process has another copy of it"
                f" ({' and '.join(self.runtimes)}): their first use would end the process"
            )
        self.isa: int = self.c.dnnl_get_effective_cpu_isa()
        self.c.dnnl_memory_desc_get_size.restype = c_size_t
        self.c.dnnl_primitive_desc_query_md.restype = c_void_p
        self.engine = Handle(self, "engine", "engine_create", 1, c_size_t(0))

    def settle(self, threads: int) -> None:
        """Let the threads of the last calls end, where the runtime would keep them spinning for milliseconds."""
        if threads > 1 and self.openmp is not None and not self.settles:
            self.openmp.omp_pause_resource_all(1)  # omp_pause_soft

    def call(self, name: str, *args: Any) -> None:
        """``dnnl_<name>(*args)``; KernelError when its status is not success."""
        status = getattr(self.c, f"dnnl_{name}")(*args)
        if status:
            raise KernelError(f"oneDNN's {name} answers: {_STATUS[status] if status < 7 else status}")

    def implementation(self, descriptor: Handle) -> str:
        """The library's own name of what a primitive descriptor stands for."""
        text = c_char_p()
        self.call("primitive_desc_query", descriptor, 8, 0, byref(text))
        return (text.value or b"?").decode()

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Within the block this thread's calls use ``count`` threads; the setting before comes back after it."""
        if self.openmp is None:
            yield
            return
        before = self.openmp.omp_get_max_threads()
        self.openmp.omp_set_num_threads(count)
        try:
            yield
        finally:
            self.openmp.omp_set_num_threads(before)


@cache
def library() -> Library:
    """The library in use; BackendError, ending with what fixes it, when there is none."""
    wheels = (Path(sys.prefix, "lib", NAME), Path(sys.prefix, "Library", "bin", NAME))
    places = [*(str(p) for p in wheels if p.is_file()), NAME, "libdnnl.so.2"]
    return first_usable(places, Library, variable=VARIABLE, fix=FIX)
