"""A GPU that is not there: the driver's few calls, with the kernels' own sources compiled for this machine.

Work waits in its stream until somebody asks for results, so that what is not waited for is seen to be missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from orpheus_cuda import driver, programs
from orpheus_cuda.block import Block
from orpheus_cuda.driver import Found
from orpheus_cuda.sharing import Sharing

COMPILER = shutil.which("g++")
#: Whether the tests run on a GPU instead.
ON_DEVICE = os.environ.get("ORPHEUS_CUDA_DEVICE") == "1"
GUARD = 256
#: Every program that was asked for, by source text.
PROGRAMS: dict[str, None] = {}
#: Bytes that a device may give; what happened.
CAPACITY = [1 << 33]
LOG: list[str] = []
#: Kernels have one set of threads and of shared memory.
_one = threading.RLock()
#: Pieces of work that wait, and blocks that were freed meanwhile.
PENDING = [0]
FREED: list[Guarded] = []
#: Addresses and sizes of all blocks.
RANGES: set[tuple[int, int]] = set()
#: What kernels did that they must not.
FAULTS: list[str] = []


def versions() -> tuple[str, str]:
    return "13.0", "13.0"


def devices() -> list[Found]:
    return [
        Found("Emulated 0", (9, 0), 132, 1 << 33, "13.0", 227 << 10),
        Found("Emulated 1", (8, 0), 108, 1 << 33, "13.0", 163 << 10),
    ]


@dataclass(eq=False)
class Stream:
    work: list[Callable[[], object]] = field(default_factory=list)
    number: int = field(default_factory=count(16).__next__)

    def __post_init__(self) -> None:
        STREAMS[self.number] = self

    @property
    def handle(self) -> Any:
        return SimpleNamespace(ptr=self.number)


#: By the number that other libraries know them by.
STREAMS: WeakValueDictionary[int, Stream] = WeakValueDictionary()


class Library:
    def __init__(self, index: int, found: Found) -> None:
        self.index, self.found = index, found
        self.loading = Stream()
        self.taken = 0
        self._recording: dict[Stream, list[Callable[[], object]]] = {}
        self._sharing = Sharing(self.allocate, lambda: None)

    def stream(self) -> Stream:
        return Stream()

    def allocate(self, nbytes: int, stream: Stream) -> Block:
        if nbytes > CAPACITY[0]:
            raise MemoryError(f"Emulated {self.index} has no memory for {nbytes} bytes")
        memory = Guarded(nbytes)
        return Block(*memory.range, Handle(memory))

    def shared(self, nbytes: int, stream: Stream) -> Block:
        return self._sharing.block(nbytes, stream)

    def number(self, stream: Stream) -> int:
        return stream.number

    def current(self) -> Any:
        return contextlib.nullcontext()

    def doing(self, what: str, work: Callable[[], object]) -> None:
        work()

    def pinned(self, nbytes: int) -> Any:
        return np.empty(nbytes, np.uint8)

    def _queue(self, stream: Stream, work: Callable[[], object]) -> None:
        with _one:
            PENDING[0] += stream not in self._recording
            self._recording.get(stream, stream.work).append(work)

    def copy(self, target: int, source: int, nbytes: int, stream: Stream, way: int = driver.WITHIN) -> None:
        for place, device in ((target, way != driver.DOWN), (source, way != driver.UP)):
            assert owned(place) == device, "a copy that says the wrong way"
        self._queue(stream, lambda: ctypes.memmove(target, source, nbytes))

    def wait(self, stream: Stream) -> None:
        assert stream not in self._recording, "a stream that records cannot be waited for"
        with _one:
            while stream.work:
                stream.work.pop(0)()
                PENDING[0] -= 1
            if not PENDING[0]:
                FREED.clear()

    def function(self, text: str, name: str, shared: int = 0) -> Any:
        PROGRAMS.setdefault(text)
        assert f" {name}(" in text
        assert shared <= 227 * 1024
        return text, name

    def launch(
        self,
        function: Any,
        grid: Any,
        block: Any,
        arguments: Any,
        shared: int,
        stream: Stream,
        *,
        early: bool = False,
    ) -> None:
        self._queue(stream, lambda: compiled(*function)(grid, block, arguments, shared))

    def capture(self, work: Callable[[], object], stream: Stream) -> Callable[[], None]:
        recorded = self._recording[stream] = []
        work()
        del self._recording[stream]
        LOG.append(f"captured {len(recorded)}")

        def replay() -> None:
            with _one:
                PENDING[0] += len(recorded)
                stream.work.extend(recorded)

        return replay

    def seconds(self, work: Callable[[], object], stream: Stream) -> float:
        start = time.perf_counter()
        work()
        self.wait(stream)
        return time.perf_counter() - start


class Handle:
    """Gives a block back once no work is under way, as memory that is freed is used again in the order of a stream."""

    def __init__(self, memory: Guarded) -> None:
        self.memory = memory

    def __del__(self) -> None:
        FREED.append(self.memory)


class Guarded:
    """A block between two guards, which are looked at when it is given back; it begins as garbage."""

    def __init__(self, nbytes: int) -> None:
        self.bytes = np.full(nbytes + 512 + 2 * GUARD, 0xA5, np.uint8)
        first = -(self.bytes.ctypes.data + GUARD) % 512 + GUARD
        self.range = self.bytes.ctypes.data + first, nbytes
        RANGES.add(self.range)
        self.bytes[first : first + nbytes] = 0xFF
        self._guards = self.bytes[:first], self.bytes[first + nbytes :]

    def __del__(self) -> None:
        RANGES.discard(self.range)
        if any(guard.tobytes().strip(b"\xa5") for guard in self._guards):
            FAULTS.append(f"a kernel wrote outside an array of {self.range[1]} bytes")


def folder() -> Path:
    made = Path(tempfile.gettempdir()) / f"orpheus-cuda-emulation-{os.getuid()}"
    made.mkdir(mode=0o700, exist_ok=True)
    return made


def owned(pointer: int) -> bool:
    """Whether an address is of a device."""
    return any(low <= pointer < low + max(count, 1) for low, count in RANGES)


_compiled: dict[tuple[str, str], Callable[..., None]] = {}


def compiled(text: str, name: str) -> Callable[..., None]:
    """The kernel as a call of grid, block, arguments and bytes of shared memory."""
    with _one:
        if (text, name) not in _compiled:
            _compiled[text, name] = _load(text, name)
        return _compiled[text, name]


def _load(text: str, name: str) -> Callable[..., None]:
    shim = Path(__file__).with_name("emulation.hpp").read_text()
    body = text.replace(programs.read("ptx.cuh"), "")
    waits = re.search(r"__sync|__shfl|mma_|copy_async|load_matrices", body) is not None
    cluster = re.search(r"#define CLUSTER (\d+)", body)
    members = int(cluster[1]) if cluster else 1
    names = re.findall(
        r"__global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(?:CLUSTER_OF\([^)]*\)\s+)?(\w+)\(", body
    )
    calls = "".join(
        f'extern "C" void launch_{n}(void **a, const unsigned *g, const unsigned *b, int s) '
        f"{{ emulation::launch({n}, a, g, b, s, {int(waits)}, {members}); }}\n"
        for n in names
    )
    code = f"{shim}\n{body}\n{calls}"
    path = folder() / f"{hashlib.sha256(code.encode()).hexdigest()[:32]}.so"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}.so")
        command = [
            str(COMPILER),
            "-x",
            "c++",
            "-std=c++17",
            "-O1",
            "-w",
            "-ffp-contract=off",
            "-fno-strict-aliasing",
            "-shared",
            "-fPIC",
            "-",
        ]
        done = subprocess.run(
            [*command, "-o", str(temporary)], input=code, text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise AssertionError(done.stderr[:4000])
        temporary.replace(path)
    function = getattr(ctypes.CDLL(str(path)), f"launch_{name}")
    three = ctypes.c_uint * 3

    def call(grid: Any, block: Any, arguments: Any, shared: int) -> None:
        held = [np.asarray(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(held))(*(a.ctypes.data for a in held))
        with _one:
            function(pointers, three(*(*grid, 1, 1)[:3]), three(*(*block, 1, 1)[:3]), shared)

    return call


def installed() -> Iterator[None]:
    """Within it, the plugin's devices are the emulated ones."""
    import sys

    from orpheus_cuda import cublaslt, cudnn, device

    from orpheus_core.selection import invoke

    before, kept = device.library, {k: v for k, v in invoke._runtimes.items() if "orpheus_cuda" in k[0]}
    device.library = sys.modules[__name__]
    libraries = cublaslt.library, cudnn.find_spec
    cublaslt.library, cudnn.find_spec = (lambda: None), (lambda name: None)  # which know no emulated GPU
    device._opened.clear()
    yield
    device.library = before
    cublaslt.library, cudnn.find_spec = libraries
    device._opened.clear()
    for key in [k for k in invoke._runtimes if "orpheus_cuda" in k[0]]:
        del invoke._runtimes[key]
    invoke._runtimes.update(kept)
