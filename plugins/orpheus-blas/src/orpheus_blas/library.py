"""A BLAS library: loaded, tried, told its thread count, and the one gate through which products reach it.

How wide its integers are is tried out, whatever it says of itself; its version and its threads are threadpoolctl's
business. Source of the calls: https://www.netlib.org/blas/blast-forum/cblas.tgz
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from orpheus_core.errors import BackendError, KernelError
from orpheus_core.plugin import Step
from orpheus_core.types import Array

#: Read by libraries when they start: idle threads sleep at once, MKL's threads are Intel's, Accelerate has one.
_SETTINGS = {"OPENBLAS_THREAD_TIMEOUT": "4", "KMP_BLOCKTIME": "0", "MKL_THREADING_LAYER": "INTEL"}
_SETTINGS["VECLIB_MAXIMUM_THREADS"] = "1"
#: A function's name as builds spell it; the last is OpenBLAS in numpy's wheels.
_NAMES = ("cblas_{}", "cblas_{}64_", "scipy_cblas_{}", "scipy_cblas_{}64_")
_CALL = "import ctypes as c, sys; x = (c.c_float * 64)(); c.CDLL(sys.argv[1]).cblas_sdot(64, x, 1, x, 1)"
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112


class Library:
    """One loaded library, OSError or BackendError when it cannot be used.

    ``about`` says what it is; ``single`` why it computes on one thread only, empty where it takes any number.
    """

    def __init__(self, name: str, path: Path | str) -> None:
        with _settings():
            _try_apart(path)
            self._code = ctypes.CDLL(str(path))
            self._spelt = next((n for n in _NAMES if hasattr(self._code, n.format("sgemm"))), "")
            if not self._spelt or hasattr(self._code, "ATL_thread_start"):
                raise BackendError(f"{path} is no CBLAS library, or one with a fixed number of threads")
            self._integer = self._width()
            self._gemm = {np.dtype(kind): self._typed(kind) for kind in (np.float32, np.float64)}
            self._try(path)
        controls, real = ThreadpoolController().lib_controllers, os.path.realpath(path)
        self._control: Any = next((c for c in controls if os.path.realpath(c.filepath) == real), None)
        facts = {} if self._control is None else self._control.info()
        kind, layer = facts.get("internal_api", name), facts.get("threading_layer", "")
        if kind != name and (kind, name) != ("openblas", "numpy"):
            raise BackendError(f"{path} is {kind}, not {name}")
        # OpenMP's threads are shared with all that use it, and numpy's were started with numpy: their wait is settled.
        spins = name == "numpy" or layer in ("openmp", "gnu")
        alone = "it was built for one" if layer in ("", "disabled") else ""
        self.single = "idle ones of more would spin" if spins else alone
        threads = f"1 thread ({self.single})" if self.single else layer
        bits = 8 * ctypes.sizeof(self._integer)
        self.about = f"{facts.get('version') or kind}, {threads}, {bits}-bit integers, {real}"

    def set_threads(self, threads: int) -> None:
        """Compute on so many threads from now on. Where there can only be one, more change nothing."""
        if self._control is not None and (threads == 1 or not self.single):
            # Since threadpoolctl 3.8 an OpenBLAS obeys the first thread that asked, and nobody else.
            release = getattr(self._control, "clear_controlling_thread", lambda force: None)
            release(force=True)
            self._control.set_num_threads(threads)
            release(force=True)
            if self._control.num_threads != threads:
                raise BackendError(f"{self.about} takes {self._control.num_threads} threads, not {threads}")

    def product(self, a: Array, b: Array, c: Array, alpha: float = 1.0, beta: float = 0.0) -> Step:
        """A step that computes c = alpha * a @ b + beta * c on these arrays, which must stay where they are.

        Matrices of float32 or float64; rows or columns of a and b contiguous, rows of c contiguous, c apart from a
        and b. KernelError for any others: the library would not notice.
        """
        (m, k), n, limit = a.shape, b.shape[1], 1 << 8 * ctypes.sizeof(self._integer) - 1
        fit = (b.shape, c.shape) == ((k, n), (m, n)) and a.dtype == b.dtype == c.dtype
        if not fit or 0 in (m, n, k) or c.dtype not in self._gemm:
            shown = ", ".join(f"{x.dtype}{list(x.shape)}" for x in (a, b, c))
            raise KernelError(f"a product needs float32 or float64 matrices that fit, got {shown}")
        if np.may_share_memory(a, c) or np.may_share_memory(b, c) or not c.flags.writeable:
            raise KernelError("a product needs a result that may be written, apart from its factors")
        (ta, lda), (tb, ldb), (tc, ldc) = map(_leading, (a, b, c))
        if tc != _PLAIN or max(m, n, k, lda, ldb, ldc) >= limit:
            raise KernelError(f"a product needs a result with contiguous rows, and sizes below {limit}")
        gemm, pa, pb, pc = self._gemm[c.dtype], a.ctypes.data, b.ctypes.data, c.ctypes.data

        def step(_kept: tuple[Array, ...] = (a, b, c)) -> None:
            gemm(_ROW_MAJOR, ta, tb, m, n, k, alpha, pa, lda, pb, ldb, beta, pc, ldc)

        return step

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        function = self._code[self._spelt.format(name)]
        function.restype, function.argtypes = result, arguments
        return function

    def _width(self) -> Any:
        """The integer type, by a length of 64 bits that is 2 in its lower half and negative as a whole."""
        long, place, ones = ctypes.c_int64, ctypes.c_void_p, np.ones(2, np.float32).ctypes
        dot = self._function("sdot", ctypes.c_float, long, place, long, place, long)
        narrow = sys.maxsize < 1 << 32 or dot(2 - (1 << 32), ones.data, 1, ones.data, 1) == 2
        return ctypes.c_int32 if narrow else long

    def _typed(self, kind: type[Any]) -> Any:
        name, real = ("sgemm", ctypes.c_float) if kind is np.float32 else ("dgemm", ctypes.c_double)
        size, matrix = self._integer, (ctypes.c_void_p, self._integer)
        return self._function(
            name, None, *[ctypes.c_int] * 3, *[size] * 3, real, *matrix, *matrix, real, *matrix
        )

    def _try(self, path: Path | str) -> None:
        for dtype in self._gemm:
            a, c = np.arange(6, dtype=dtype).reshape(2, 3), np.ones((2, 2), dtype)
            self.product(a, a.T, c, 1.0, 2.0)()
            if c.tolist() != [[7, 16], [16, 52]]:
                raise BackendError(f"{path} computes a wrong product: {c.tolist()}")


def _leading(x: Array) -> tuple[int, int]:
    """How CBLAS is to read a matrix, and the distance of its rows (transposed: columns) in elements."""
    for how, y in ((_PLAIN, x), (_TRANSPOSED, x.T)):
        (rows, columns), (down, across), size = y.shape, y.strides, y.itemsize
        if columns == 1 or across == size:
            if rows == 1:
                return how, columns
            if down >= columns * size and down % size == 0:
                return how, down // size
    raise KernelError(f"a product cannot read a matrix of shape {x.shape} and strides {x.strides}")


def _try_apart(path: Path | str) -> None:
    """BackendError where a call ends its process: MKL without its other parts, instructions of another processor."""
    command = [sys.executable, "-ISc", _CALL, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode not in (0, 1):  # 1: it does not load, or has no such function
        why = " ".join((done.stdout + done.stderr).split()) or f"signal {-done.returncode}"
        raise BackendError(f"{path} ends the process that calls it: {why}")


@contextmanager
def _settings() -> Iterator[None]:
    """The environment with _SETTINGS, but for those that the user has made."""
    before = dict(os.environ)
    os.environ.update({**_SETTINGS, **before})
    try:
        yield
    finally:
        for key in _SETTINGS.keys() - before:
            del os.environ[key]
