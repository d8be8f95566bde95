"""Finding and loading oneDNN 3.x, and the handful of its C functions that all others go through.

The C interface is stable within a major version, enumerations included, so ctypes needs neither a compiler nor
headers. The library is the one that ``ORPHEUS_ONEDNN`` names, else the one that a wheel put into this environment, else
the one that the system's loader finds.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from orpheus_core.errors import BackendError, KernelError
from orpheus_core.plugin import Ready, Unavailable

VARIABLE = "ORPHEUS_ONEDNN"
_SPIN = "GOMP_SPINCOUNT"
FIX = f"pip install 'orpheus-onednn[gomp]' (x86-64 Linux), or {VARIABLE}=/path/to/{{}} of any oneDNN 3.x with OpenMP"
_NAMES = {"darwin": "libdnnl.3.dylib", "win32": "dnnl.dll"}
_OLD = {"linux": "libdnnl.so.2"}
_SUCCESS, _UNIMPLEMENTED, _LAST = 0, 3, 4
_STATUS = {
    1: "out of memory",
    2: "invalid arguments",
    3: "not implemented",
    5: "runtime error",
    6: "not required",
}
_SEQUENTIAL, _OPENMP = 1, 2
_RUNTIMES = {0: "no CPU", 4: "TBB", 8: "a thread pool", 256: "OpenCL", 512: "SYCL"}


class _Version(ctypes.Structure):
    _fields_ = (("major", c_int), ("minor", c_int), ("patch", c_int), ("hash", c_char_p), ("cpu", c_uint),
                ("gpu", c_uint))  # fmt: skip


class Handle:
    """An object of the library, destroyed with this one. ctypes passes it as the pointer that it is."""

    __slots__ = ("_as_parameter_", "_destroy")

    def __init__(self, library: Library, kind: str, function: str, *args: Any) -> None:
        self._as_parameter_ = pointer = c_void_p()
        self._destroy: Any = None
        library.call(function, byref(pointer), *args)
        self._destroy = getattr(library.c, f"dnnl_{kind}_destroy")

    def __del__(self) -> None:
        if self._destroy is not None:
            self._destroy(self._as_parameter_)


class Library:
    """A loaded oneDNN. BackendError, with what fixes it, when it is none that can be used."""

    def __init__(self, path: str) -> None:
        self.c: Any
        self.c, self.settles = _load(path)
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
        self.runtime = _runtime(self.c, found.cpu == _OPENMP)
        self.openmp = self.c if found.cpu == _OPENMP else None
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
        if status != _SUCCESS:
            raise KernelError(f"oneDNN's {name} answers {_STATUS.get(status, status)}")

    def advance(self, descriptor: Handle) -> bool:
        """Turn a primitive descriptor into that of its next implementation; False when there is none."""
        return bool(self.c.dnnl_primitive_desc_next_impl(descriptor) == _SUCCESS)

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


def _load(path: str) -> tuple[Any, bool]:
    """The library, and whether threads that have nothing to do fall asleep soon.

    GNU's runtime reads once, when it is loaded, how often a waiting thread looks before it sleeps, and takes 300000
    times, 8 ms here, unless it is told otherwise. 2000 times outlast the pauses between two layers of a network.
    """
    told = [name for name in (_SPIN, "OMP_WAIT_POLICY") if name in os.environ]
    early = any(_family(name) == "gomp" for name in _loaded())
    if told or early:
        return ctypes.CDLL(path), bool(told)
    os.environ[_SPIN] = "2000"
    try:
        return ctypes.CDLL(path), any(_family(name) == "gomp" for name in _loaded())
    finally:
        del os.environ[_SPIN]


def _runtime(c: Any, has_openmp: bool) -> str:
    """The file name of the OpenMP runtime that the library is linked with, empty for a sequential build."""
    if not has_openmp:
        return ""
    try:
        own = _file_of(c.omp_set_num_threads)
    except AttributeError:
        raise BackendError(f"{c._name} was built with OpenMP, whose runtime cannot be reached") from None
    kind = _family(own)
    others = {name for name in _loaded() if kind and _family(name) not in ("", kind)}
    if others:
        raise BackendError(
            f"{c._name} runs on {own}, and this process on {', '.join(sorted(others))}: two runtimes of OpenMP would"
            " take the processors from each other"
        )
    return own


def _family(name: str) -> str:
    """``gomp``, or ``omp`` for LLVM's and Intel's, which are one; empty for what is no OpenMP runtime."""
    match = re.match(r"(?:lib)?(g|i|)omp\d*[-.]", name)
    return "" if match is None else "gomp" if match.group(1) == "g" else "omp"


def _loaded() -> list[str]:
    """File names of this process's shared libraries, where the system tells."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    return [Path(line.split()[-1]).name for line in lines if "/" in line]


def _file_of(function: Any) -> str:
    """The name of the file that a C function comes from, empty where the system does not tell."""
    info = (c_void_p * 4)()
    try:
        ctypes.CDLL(None).dladdr(function, byref(info))
    except (AttributeError, OSError, TypeError):
        return ""
    return Path(ctypes.string_at(info[0]).decode()).name if info[0] else ""


def _places() -> list[str]:
    """Where to look: one place when the user names it."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return [named]
    name = _NAMES.get(sys.platform, "libdnnl.so.3")
    folders = [Path(sys.prefix, "lib"), Path(sys.prefix, "Library", "bin")]
    installed = [str(folder / name) for folder in folders if (folder / name).is_file()]
    return [*installed, name, *filter(None, [_OLD.get(sys.platform)])]


@cache
def library() -> Library:
    """The library in use; BackendError, ending with what fixes it, when there is none."""
    reasons = []
    for place in _places():
        try:
            return Library(place)
        except OSError as error:
            reasons.append(f"{place} does not load: {error}")
        except BackendError as error:
            reasons.append(str(error))
    fix = FIX.format(_NAMES.get(sys.platform, "libdnnl.so.3"))
    raise BackendError(f"{'; '.join(dict.fromkeys(reasons))}; to fix: {fix}")


def probe() -> Ready | Unavailable:
    """Ready with the library's version and runtime, or why there is none."""
    try:
        found = library()
    except BackendError as error:
        reason, _, fix = str(error).partition("; to fix: ")
        return Unavailable(reason, fix)
    return Ready(f"oneDNN {found.version}, {found.runtime or 'one thread only'}")
