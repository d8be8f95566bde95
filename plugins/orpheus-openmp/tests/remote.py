"""Kernels of another processor, run by an emulator: a stand-in for the native module.

``ORPHEUS_RUNNER`` holds the command of native/runner/runner.cpp's program, for example
``qemu-aarch64-static build/runner``; ``nox -s neon`` sets it. Arrays that share memory here share it there.
"""

from __future__ import annotations

import os
import shlex
import struct
import subprocess
from types import SimpleNamespace

import numpy as np

VARIABLE = "ORPHEUS_RUNNER"
#: The instruction set that the runner's processor is there for.
ISA = "neon"


class Runner:
    """The process at the other end of two pipes."""

    def __init__(self, command):
        self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *parts):
        """Send integers, text and bytes."""
        for part in parts:
            if isinstance(part, str):
                part = struct.pack("q", len(part)) + part.encode()
            self.process.stdin.write(struct.pack("q", part) if isinstance(part, int) else part)

    def answer(self, count):
        """The next ``count`` bytes; RuntimeError when the runner has ended, having said why."""
        self.process.stdin.flush()
        got = self.process.stdout.read(count)
        if len(got) != count:
            raise RuntimeError(f"the runner ended with code {self.process.wait()}, see standard error")
        return got

    def tiles(self, isa):
        self.ask(b"T", isa)
        return struct.unpack("5q", self.answer(40))

    def tile(self, isa):
        return self.tiles(isa)[:3]

    def tall_tile(self, isa):
        return self.tiles(isa)[3:]

    def run(self, isa, kernel, threads, values):
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        blocks, places = shared_blocks(arrays)
        self.ask(b"R", isa, kernel, threads, len(blocks))
        for block in blocks:
            self.ask(len(block), bytes(block))
        numbers = {name: value for name, value in values.items() if name not in arrays and value is not None}
        self.ask(len(arrays) + len(numbers))
        for name, (block, offset) in places.items():
            self.ask(name, b"p", block, offset)
        for name, value in numbers.items():
            real = isinstance(value, float)
            self.ask(name, b"f" if real else b"i", struct.pack("fxxxx", value) if real else int(value))
        results = [self.answer(len(block)) for block in blocks]
        for name, (block, offset) in places.items():
            if arrays[name].flags.writeable:
                memory = results[block][offset : offset + arrays[name].nbytes]
                arrays[name][...] = np.frombuffer(memory, arrays[name].dtype).reshape(arrays[name].shape)


def shared_blocks(arrays):
    """The memory of contiguous arrays as disjoint blocks, and (block, offset) of each array."""
    blocks, places, end = [], {}, 0
    for name, array in sorted(arrays.items(), key=lambda item: item[1].ctypes.data):
        assert array.flags.c_contiguous
        start = array.ctypes.data
        if not blocks or start >= end:
            blocks.append(bytearray())
            first = end = start
        end = max(end, start + array.nbytes)
        blocks[-1].extend(bytes(end - first - len(blocks[-1])))
        blocks[-1][start - first : start - first + array.nbytes] = array.tobytes()
        places[name] = (len(blocks) - 1, start - first)
    return blocks, places


def stand_in():
    """What orpheus_openmp.isa.native() is to give while the runner computes, or None when there is no runner."""
    command = os.environ.get(VARIABLE)
    if not command:
        return None
    runner = Runner(command)

    class Step:
        def __init__(self, isa, kernel, threads, arguments):
            self.arguments = (isa, kernel, threads, arguments)

        def __call__(self):
            runner.run(*self.arguments)

    class Segment(list):
        def __call__(self):
            for step in self:
                step()

    class Beside:
        def __init__(self, threads):
            self.threads = threads

        def add(self, step, bytes):
            step()

        def wait(self):
            pass

    class Native(SimpleNamespace):
        __hash__ = object.__hash__  # as a module has

    return Native(
        isas=lambda: [ISA],
        tile=runner.tile,
        tall_tile=runner.tall_tile,
        Step=Step,
        Segment=Segment,
        Beside=Beside,
        has_openmp=False,
        runner=runner,
    )
