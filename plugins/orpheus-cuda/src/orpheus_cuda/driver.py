"""The few calls of CUDA that the plugin makes, through CuPy. Tests put another library of this shape in its place.

Nothing else in the package imports CuPy. Every failure leaves here as one of Orpheus's typed errors.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from orpheus_core.errors import DeviceError, KernelError
from orpheus_core.types import Array
from orpheus_cuda import early
from orpheus_cuda.block import Block
from orpheus_cuda.faults import typed
from orpheus_cuda.programs import cubin
from orpheus_cuda.sharing import Sharing

_log = logging.getLogger("orpheus")
#: Ways of a copy, as cudaMemcpyKind counts them.
UP, DOWN, WITHIN = 1, 2, 3
#: Compute capability: what the kernels need (asynchronous copies, bfloat16, TF32).
LEAST = (8, 0)
#: About 0.1 ms: long enough to queue what is to be timed behind it.
SPIN = 'extern "C" __global__ void spin(long long n) { const long long t = clock64(); while (clock64() - t < n); }'


@dataclass(frozen=True)
class Found:
    """A GPU: its name, compute capability, multiprocessors, memory in bytes, and the driver's version of CUDA.

    ``shared``: bytes of shared memory that a block may take.
    """

    name: str
    capability: tuple[int, int]
    processors: int
    memory: int
    driver: str
    shared: int

    @property
    def identity(self) -> str:
        """Under it compiled programs and measured times are kept."""
        return f"{self.name}|{self.capability[0]}.{self.capability[1]}|driver {self.driver}"

    def __str__(self) -> str:
        text = f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]}, {self.processors}"
        text += f" multiprocessors, {self.memory / 2**30:.1f} GiB; driver for CUDA {self.driver})"
        return text if self.capability >= LEAST else f"{text}; too old, needs {LEAST[0]}.{LEAST[1]}"


def versions() -> tuple[str, str]:
    """The newest CUDA that the driver can run ("" without one), and CuPy's own. ImportError without CuPy."""
    from cupy.cuda import runtime

    driver, own = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    return (_dotted(driver) if driver else "", _dotted(own))


def devices() -> list[Found]:
    """Every GPU that the process may see, in CUDA's order. ImportError without CuPy, RuntimeError as CUDA says it."""
    from cupy.cuda import runtime

    found, (driver, _) = [], versions()
    for index in range(runtime.getDeviceCount()):
        p = runtime.getDeviceProperties(index)
        name, capability = p["name"].decode().strip(), (int(p["major"]), int(p["minor"]))
        numbers = (int(p[n]) for n in ("multiProcessorCount", "totalGlobalMem", "sharedMemPerBlockOptin"))
        processors, memory, shared = numbers
        found.append(Found(name, capability, processors, memory, driver, shared))
    return found


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


@dataclass(frozen=True, eq=False)
class Stream:
    """A stream of CuPy's, and memory that only its own work uses again once it is freed."""

    handle: Any
    pool: Any


class Library:
    """One GPU. Everything is queued on a stream, nothing is waited for unless it says so."""

    def __init__(self, index: int, found: Found) -> None:
        import cupy

        self._cupy, self.index, self.found = cupy, index, found
        self._modules: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._recording = threading.Lock()
        self._sharing = Sharing(self.allocate, self._idle)
        self._early = early.find(found.capability, found.driver)
        with self._doing("opening it"):
            cupy.cuda.runtime.free(0)  # makes the context now, where its failure has a name

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            with self.current():
                yield
        except (RuntimeError, MemoryError) as error:
            raise typed(error, self.found.name, self.found.memory, what) from error

    def current(self) -> Any:
        """A context in which this device is the thread's."""
        return self._cupy.cuda.Device(self.index)  # which counts its blocks itself, so each has its own

    def doing(self, what: str, work: Callable[[], object]) -> None:
        """Another library's call on this device."""
        with self._doing(what):
            work()

    @cached_property
    def loading(self) -> Stream:
        """The stream that weights are uploaded through."""
        return self.stream()

    def stream(self) -> Stream:
        """A new stream, which waits for no other."""
        with self._doing("making a stream"):
            return Stream(self._cupy.cuda.Stream(non_blocking=True), self._cupy.cuda.MemoryPool())

    def allocate(self, nbytes: int, stream: Stream) -> Block:
        """Memory, aligned to 512 bytes."""
        with self._doing(f"allocating {nbytes} bytes"), stream.handle:
            owner = stream.pool.malloc(max(nbytes, 1))
            return Block(owner.ptr, nbytes, (owner, stream))

    def shared(self, nbytes: int, stream: Stream) -> Block:
        """Memory that other libraries may read in any stream."""
        return self._sharing.block(nbytes, stream)

    def _idle(self) -> None:
        # Waiting for a device fails, and spoils the recording, while one of its streams records.
        with self._recording, self._doing("waiting for the readers of shared memory"):
            self._cupy.cuda.runtime.deviceSynchronize()

    def number(self, stream: Stream) -> int:
        """The stream as other libraries are told of it."""
        return int(stream.handle.ptr)

    def pinned(self, nbytes: int) -> Array:
        """Bytes on the host that the device copies from and to by itself."""
        with self._doing(f"pinning {nbytes} bytes of the host's memory"):
            owner = self._cupy.cuda.alloc_pinned_memory(max(nbytes, 1))
        return np.frombuffer(owner, np.uint8, max(nbytes, 1))[:nbytes]

    def copy(self, target: int, source: int, nbytes: int, stream: Stream, way: int = WITHIN) -> None:
        """:data:`UP`, :data:`DOWN` or :data:`WITHIN` the device; a host's side that is not pinned may be waited for."""
        with self._doing("copying"):
            self._cupy.cuda.runtime.memcpyAsync(target, source, nbytes, way, stream.handle.ptr)

    def wait(self, stream: Stream) -> None:
        """Return when the stream's work has ended."""
        try:
            stream.handle.synchronize()
        except RuntimeError as error:
            raise typed(error, self.found.name, self.found.memory, "waiting for its stream") from error

    def function(self, text: str, name: str, shared: int = 0) -> Any:
        """Kernel ``name`` of a program, allowed ``shared`` bytes of dynamic shared memory."""
        with self._lock, self._doing(f"loading {name}"):
            if text not in self._modules:
                module = self._cupy.cuda.Module()
                module.load(cubin(text, f"sm_{self.found.capability[0]}{self.found.capability[1]}"))
                self._modules[text] = module
            found = self._modules[text].get_function(name)
            if shared > 48 * 1024:
                driver = self._cupy.cuda.driver
                most = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
                driver.funcSetAttribute(found.ptr, most, shared)
            return found

    def launch(
        self,
        function: Any,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: Any,
        shared: int,
        stream: Stream,
        *,
        early: bool = False,
    ) -> None:
        """Queue a kernel. Arguments are numpy's scalars, pointers as uint64; ``early``: it waits for others itself."""
        with self._doing("starting a kernel"):
            if early and self._early is not None:
                status = self._early(function.ptr, grid, block, arguments, shared, int(stream.handle.ptr))
                if not status:
                    return
                _log.warning("CUDA refuses launches that overlap (status %d); from now on none does", status)
                self._early = None
            function(grid, block, arguments, shared, stream.handle)

    def capture(self, work: Callable[[], object], stream: Stream) -> Callable[[], None]:
        """Record what ``work`` queues on the stream as a CUDA graph; the call that queues all of it at once."""
        try:
            return self._captured(work, stream)
        except (KernelError, DeviceError) as error:
            if self._early is None:
                raise
            _log.warning("a CUDA graph of launches that overlap fails (%s); from now on none does", error)
            self._early = None
            return self._captured(work, stream)

    def _captured(self, work: Callable[[], object], stream: Stream) -> Callable[[], None]:
        handle = stream.handle
        with self._recording, self._doing("recording a CUDA graph"), handle:
            handle.begin_capture()  # relaxed: memory may be freed meanwhile
            try:
                work()
            except BaseException:
                with contextlib.suppress(RuntimeError):
                    handle.end_capture()
                raise
            graph = handle.end_capture()
            graph.upload(handle)
        launch = graph.launch

        def replay() -> None:
            try:
                launch(handle)
            except RuntimeError as error:
                raise typed(error, self.found.name, self.found.memory, "starting a CUDA graph") from error

        return replay

    def seconds(self, work: Callable[[], object], stream: Stream) -> float:
        """The device's own time for what ``work`` queues; it begins once all is queued, so launches do not count."""
        event = self._cupy.cuda.Event
        with self._doing("timing a step"):
            spin = self.function(SPIN, "spin")
            begin, end = event(), event()
            self.launch(spin, (1,), (1,), (np.int64(200_000),), 0, stream)
            begin.record(stream.handle)
            work()
            end.record(stream.handle)
            end.synchronize()
            return float(self._cupy.cuda.get_elapsed_time(begin, end)) * 1e-3
