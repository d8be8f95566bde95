"""Programs: CUDA C++ made into the device's own code by NVRTC, which needs no device, and kept on disk.

A kept file begins with a digest of the rest, so that one that was cut short or changed is made anew.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from orpheus_core.errors import KernelError
from orpheus_core.kept import cache_folder, read_sealed, write_sealed

_MAGIC = b"orpheus-cuda 1\n"
OPTIONS = ("-std=c++17", "--extra-device-vectorization")
#: How programs came about since the start: "built", "kept" (read from disk).
counts = {"built": 0, "kept": 0}


@cache
def read(name: str) -> str:
    """A file of the folder ``cu``."""
    return files("orpheus_cuda").joinpath("cu", name).read_text(encoding="utf-8")


@cache
def text(source: str) -> str:
    """What is compiled: what all use, definitions (the lines after a file's name), and the family's own file."""
    name, _, definitions = source.partition("\n")
    activation = ("activation.cuh",) if "#define ACT " in definitions else ()
    return "\n".join((read("ptx.cuh"), read("common.cuh"), definitions, *map(read, (*activation, name))))


def define(file: str, **definitions: object) -> str:
    """A source: the family's file, and what is defined before it is compiled."""
    lines = [f"#define {name} {value}" for name, value in definitions.items()]
    return "\n".join((file, *lines))


def build(code: str, arch: str) -> bytes:
    """Code for one architecture ("sm_90"). KernelError with the compiler's log; ImportError without NVRTC."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(code, "orpheus.cu", [], [])
    try:
        nvrtc.compileProgram(program, [*OPTIONS, f"-arch={arch}"])
        # CuPy takes the last byte off, as if it ended a string; it is one of the file's own, and zero.
        made: bytes = nvrtc.getCUBIN(program) + b"\0"
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise KernelError(f"a CUDA program does not build for {arch}: {error}\n{log}") from error
    finally:
        nvrtc.destroyProgram(program)
    counts["built"] += 1
    return made


def compiler() -> str:
    """NVRTC's version."""
    from cupy.cuda import nvrtc

    return ".".join(map(str, nvrtc.getVersion()))


def kept_as(code: str, arch: str) -> Path:
    """The file of a program, beside the measured times. Another compiler, target, option or source: another name."""
    facts = (compiler(), arch, OPTIONS, code)
    digest = hashlib.sha256("\0".join(map(str, facts)).encode()).hexdigest()
    return cache_folder() / "cuda" / f"{digest[:40]}.cubin"


def cubin(code: str, arch: str) -> bytes:
    """As :func:`build`, from disk where it has been made before."""
    path = kept_as(code, arch)
    known = read_sealed(path, _MAGIC)
    if known is not None:
        counts["kept"] += 1
        return known
    made = build(code, arch)
    write_sealed(path, _MAGIC, made)
    return made
