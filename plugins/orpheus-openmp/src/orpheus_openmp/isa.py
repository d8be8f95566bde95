"""Which instruction set computes: the machine's best, or the one that ``ORPHEUS_ISA`` names.

The choice fixes the blocked layout (NCHW16c for AVX-512, NCHW8c for AVX2, NCHW4c for NEON and plain C++), and so what
the manifest declares. It is made once a process, when the backend is first looked into.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from orpheus_core.errors import BackendError
from orpheus_core.plugin import Problem, Ready, Unavailable
from orpheus_core.waiting import brief

VARIABLE = "ORPHEUS_ISA"
#: Name, as ORPHEUS_ISA has it -> name in print.
NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "neon": "NEON", "generic": "plain C++"}
_ROOT = Path(__file__).resolve().parents[2]  # of the sources, in a checkout
_FIX = "pip install --force-reinstall orpheus-openmp: a wheel, or from source with CMake and GCC 11, Clang 14 or newer"


@cache  # what does not load is looked for again
def native() -> ModuleType:
    """The native module; BackendError when it was not built, does not load, or is older than the Python sources."""
    try:
        found, _ = brief(lambda: import_module("orpheus_openmp._native"))
    except ImportError as error:
        raise BackendError(
            f"orpheus-openmp's native module does not load: {error}; to fix: {_FIX}"
        ) from error
    check_build(found, _ROOT)
    return found


def check_build(module: ModuleType, root: Path) -> None:
    """Raise BackendError when ``module`` was built for another interface than that of the sources at ``root``.

    A wheel has no such sources beside it: its module and its Python files were installed together.
    """
    source = root / "native" / "args.hpp"
    if not source.is_file():
        return
    digests = (
        hashlib.sha256(p.read_bytes()).hexdigest() for p in (source, Path(__file__).with_name("_native.pyi"))
    )
    wanted, built = hashlib.sha256("".join(digests).encode()).hexdigest(), getattr(module, "build", None)
    if built != wanted:
        raise BackendError(
            f"orpheus-openmp's native module {module.__file__} was built from other sources than those at {root}:"
            f" its interface is {str(built)[:12]}, not {wanted[:12]};"
            f" to fix: pip install --force-reinstall --no-deps {root}"
        )


def available() -> tuple[str, ...]:
    """Instruction sets that this build has and this machine can run, best first."""
    return tuple(native().isas())


def current() -> str:
    """The instruction set in use; BackendError, naming those there are, when the one asked for cannot be."""
    asked = ""
    if VARIABLE in os.environ:  # get() takes three times as long where there is none
        asked = os.environ[VARIABLE]
    return _chosen(native(), asked.strip().lower())


@cache  # asked for hundreds of times while a session is made
def _chosen(module: ModuleType, asked: str) -> str:
    names: tuple[str, ...] = tuple(module.isas())
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
    return _tile(native(), name or current())


def name_for(problem: Problem) -> str:
    """The current instruction set; rules and costs of a layer ask for it many times over."""
    return problem.once(_name_here)


def _name_here(_: Problem) -> str:
    return current()


def tile_for(problem: Problem) -> tuple[int, int, int]:
    """The tile of the current one, likewise."""
    return problem.once(_tile_here)


def _tile_here(_: Problem) -> tuple[int, int, int]:
    return tile()


@cache
def _tile(module: ModuleType, name: str) -> tuple[int, int, int]:
    block, pixels, vectors = module.tile(name)
    return block, pixels, vectors


@cache
def tall_tile(name: str) -> tuple[int, int]:
    """(pixels, vectors) of the register tile for rows that are too short to fill the other."""
    pixels, vectors = native().tall_tile(name)
    return pixels, vectors


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
        reason, _, fix = str(error).partition("; to fix: ")
        return Unavailable(reason, fix or f"unset {VARIABLE}, or name another")
    threads = default_threads()
    how = "" if native().has_openmp else " (built without OpenMP: each run starts its own)"
    return Ready(f"{NAMES[name]}, {threads} thread{'s' if threads > 1 else ''}{how}")
