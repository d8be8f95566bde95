"""Compiled programs: once per process, and kept on disk by device, driver, source and options.

Drivers that keep them by themselves are left to do so; for all others it is done here.

A kept file begins with a digest of the rest, so that one that was cut short or changed is built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from functools import cache
from importlib.resources import files
from pathlib import Path

import pyopencl as cl
from pyopencl.characterize import has_src_build_cache

from orpheus_core.errors import KernelError
from orpheus_core.kept import cache_folder, read_sealed, write_sealed

_MAGIC = b"orpheus-opencl 1\n"
#: Without it a driver does not tell which arguments a kernel only reads, which ``queues`` asks for.
_ALWAYS = "-cl-kernel-arg-info"
_lock = threading.RLock()
_programs: dict[tuple[int, str, str], cl.Program] = {}
#: How programs came about since the start: "built", "kept" (read from disk).
counts = {"built": 0, "kept": 0}


@cache
def text(source: str) -> str:
    """What is compiled: definitions (the lines after a file's name), ``common.cl``, and the family's own file."""
    name, _, definitions = source.partition("\n")
    folder = files("orpheus_opencl").joinpath("cl")
    parts = (folder.joinpath(part).read_text(encoding="utf-8") for part in ("common.cl", name))
    return "".join((f"{definitions}\n", *parts))


def program(queue: cl.CommandQueue, source: str, options: str) -> cl.Program:
    """The program of a file, and lines of definitions, with build options; KernelError with the log."""
    context, device = queue.context, queue.device
    key = (context.int_ptr, source, options)
    with _lock:
        if key not in _programs:
            with warnings.catch_warnings():
                # Some drivers have something to say of every program that builds.
                warnings.simplefilter("ignore", cl.CompilerWarning)
                _programs[key] = _load(context, device, text(source), f"{options} {_ALWAYS}".strip())
        return _programs[key]


def keeps(device: cl.Device) -> bool:
    """Whether compiled programs are kept here: not where the driver does so by itself, as PoCL and NVIDIA's.

    PoCL would compile a program once more, for any size of work group, before it gives the binary away.
    """
    return not has_src_build_cache(device)


def folder() -> Path:
    """Where compiled programs are kept: beside the measured times."""
    return cache_folder() / "opencl"


def kept_as(device: cl.Device, source: str, options: str) -> Path:
    """The file of a program. Another driver, device, source or option makes another name."""
    platform = device.platform
    facts = (
        platform.name,
        platform.version,
        device.name,
        device.version,
        device.driver_version,
        options,
        source,
    )
    digest = hashlib.sha256("\0".join(str(f) for f in facts).encode()).hexdigest()
    return folder() / f"{digest[:40]}.bin"


def _load(context: cl.Context, device: cl.Device, source: str, options: str) -> cl.Program:
    keep = keeps(device)
    path = kept_as(device, source, options)
    binary = read_sealed(path, _MAGIC) if keep else None
    if binary is not None:
        with contextlib.suppress(cl.Error):  # a driver that refuses what it gave: build anew
            found = cl.Program(context, [device], [binary]).build(options)
            counts["kept"] += 1
            return found
    try:
        built = cl.Program(context, source).build(options, cache_dir=False)
    except cl.Error as error:
        where = str(device.name).strip()
        raise KernelError(
            f"an OpenCL program does not build for {where} with {options!r}: {error}"
        ) from error
    counts["built"] += 1
    if keep:
        with contextlib.suppress(cl.Error):  # a driver that does not give it
            (binary,) = built.get_info(cl.program_info.BINARIES)
            write_sealed(path, _MAGIC, binary)
    return built
