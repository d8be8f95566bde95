"""Engines and a backend that misbehave in every way that a trial must survive."""

from __future__ import annotations

ENGINES = """
import ctypes, mmap, os, subprocess, sys, time
import numpy as np
from orpheus_core.errors import BackendError
from orpheus_core.plugin import Meter, RuntimeSpec, hookimpl

class Right:
    def __init__(self, path, threads):
        from orpheus_core.session import InferenceSession
        self.session = InferenceSession(path, providers=["numpy"], threads=threads)
        self.settings = {"threads": threads, "isa": os.environ.get("FAKE_ISA", "any")}
    def bind(self, inputs):
        feeds = {i.name: x for i, x in zip(self.session.get_inputs(), inputs)}
        if inputs[0].shape == (1, 8, 8, 8):  # the tiny first model
            return lambda: self.session.run(None, feeds)
        return lambda: self.act(self.session.run(None, feeds))
    def act(self, outputs):
        return outputs

class Segfault(Right):
    def act(self, outputs):
        ctypes.string_at(0)

class Abort(Right):
    def act(self, outputs):
        print("assertion failed: the engine gives up", file=sys.stderr, flush=True)
        os.abort()

class Spin(Right):
    def act(self, outputs):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # a grandchild that holds the pipe
        while True:
            pass

class Exits(Right):
    def act(self, outputs):
        os._exit(0)

class Hog(Right):
    def act(self, outputs):
        held = []
        while True:
            held.append(mmap.mmap(-1, 2**28))

class BadAlloc(Right):
    def act(self, outputs):
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'")
        os.abort()

class Flood(Right):
    def act(self, outputs):
        for _ in range(50):
            os.write(1, b"x" * 100_000)
        return outputs

class Shape(Right):
    def act(self, outputs):
        return [x[:, :-1] for x in outputs]

class Wrong(Right):
    def act(self, outputs):
        return [x + np.float32(0.5) for x in outputs]

class Raises(Right):
    def act(self, outputs):
        raise RuntimeError("no luck today")

class Refuses(Right):
    def __init__(self, path, threads):
        raise ValueError("no such device")

class Later(Right):
    left = 40
    def act(self, outputs):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), 11)
        return outputs

class Watts:
    joules = {}
    def __enter__(self):
        pass
    def __exit__(self, *_):
        self.joules = {"board": 5.0}

def open_watts():
    if "FAKE_METER" not in os.environ:
        raise BackendError("this meter is switched off")
    return Watts()

@hookimpl
def orpheus_meters():
    return (Meter(name="fake", unit="J", open="fake_hostile:open_watts"),)

def spec(name, **more):
    return RuntimeSpec(name=name.lower(), load="fake_hostile:" + name, **more)

@hookimpl
def orpheus_runtimes():
    names = ("Segfault", "Abort", "Spin", "Exits", "Hog", "BadAlloc", "Flood", "Shape", "Wrong", "Raises", "Refuses",
             "Later")
    return (
        spec("Right", isa={"avx2": {"FAKE_ISA": "avx2"}}),
        *(spec(name) for name in names),
        RuntimeSpec(name="absent", load="fake_hostile:Right", modules=("no_such_module",), install="pip install it"),
    )
"""

BACKEND = """
import ctypes
from orpheus_core.plugin import Backend, Kernel, hookimpl

@hookimpl
def orpheus_backend():
    return Backend(name="hurt", api=1, kernels=(
        Kernel(op="Gemm", name="segfault", dtypes={"T": ("float32",)}, run="fake_hurt:gemm"),
    ))

def gemm(*_, **__):
    ctypes.string_at(0)
"""
