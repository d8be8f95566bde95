"""Which instruction set computes: the machine's best, or the one that ``ORPHEUS_ISA`` names.

The choice fixes the blocked layout (NCHW16c for AVX-512, NCHW8c for AVX2, NCHW4c for NEON and plain C++), and so what
the manifest declares. It is made once a process, when the backend is first looked into.
"""

from __future__ import annotations

import os
from types import ModuleType

from orpheus_core.errors import BackendError
from orpheus_core.plugin import Ready, Unavailable

VARIABLE = "ORPHEUS_ISA"
#: Name, as ORPHEUS_ISA has it -> name in print.
NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "neon": "NEON", "generic": "plain C++"}
_FIX = "pip install --force-reinstall orpheus-openmp: a wheel, or from source with CMake and GCC 11, Clang 14 or newer"


def native() -> ModuleType:
    """The native module; BackendError when it was not built or does not load."""
    try:
        from orpheus_openmp import _native
    except ImportError as error:
        raise BackendError(
            f"orpheus-openmp's native module does not load: {error}; to fix: {_FIX}"
        ) from error
    found: ModuleType = _native
    return found


def available() -> tuple[str, ...]:
    """Instruction sets that this build has and this machine can run, best first."""
    return tuple(native().isas())


def current() -> str:
    """The instruction set in use; BackendError, naming those there are, when the one asked for cannot be."""
    names = available()
    asked = os.environ.get(VARIABLE, "").strip().lower()
    if not asked:
        return names[0]
    if asked not in NAMES:
        raise BackendError(f"{VARIABLE}={asked} is no instruction set; this machine has {', '.join(names)}")
    if asked not in names:
        raise BackendError(
            f"{VARIABLE}={asked} asks for {NAMES[asked]}, which this machine or this build lacks;"
            f" it has {', '.join(names)}"
        )
    return asked


def tile(name: str | None = None) -> tuple[int, int, int]:
    """(block, pixels, vectors) of an instruction set's register tile."""
    block, pixels, vectors = native().tile(name or current())
    return block, pixels, vectors


def block_for_manifest() -> int:
    """Channels in a block; that of AVX-512 where nothing can run, so that the manifest still lists everything."""
    try:
        return tile()[0]
    except BackendError:
        return 16


def probe() -> Ready | Unavailable:
    """Ready with the instruction set and the threads there may be, or why nothing can run."""
    from orpheus_core.processors import default_threads

    try:
        name = current()
    except BackendError as error:
        fix = f"unset {VARIABLE}, or name another" if os.environ.get(VARIABLE) else _FIX
        return Unavailable(str(error), fix)
    if not native().has_openmp:
        return Ready(f"{NAMES[name]}, 1 thread (built without OpenMP)")
    threads = default_threads()
    return Ready(f"{NAMES[name]}, {threads} thread{'s' if threads > 1 else ''}")
