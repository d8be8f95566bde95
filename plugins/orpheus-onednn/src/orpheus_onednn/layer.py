"""A prepared layer: primitives, packed constants, and steps that call ``dnnl_primitive_execute``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int, c_void_p
from itertools import chain
from typing import Any

import numpy as np

from orpheus_core import memory
from orpheus_core.errors import KernelError
from orpheus_core.plugin import Problem, Step
from orpheus_core.types import Array
from orpheus_onednn import dnnl
from orpheus_onednn.call import Call, Operand, Walk, actual
from orpheus_onednn.library import Handle, library


class _Arg(ctypes.Structure):
    _fields_ = (("arg", c_int), ("memory", c_void_p))


class Primitive:
    """One call in one implementation: what is executed, on which descriptors, its packed constants."""

    def __init__(self, call: Call, name: str | None) -> None:
        found = library()
        for has, descriptor in call.implementations():  # noqa: B007, it is used after the loop
            if name in (has, None):
                break
        else:
            raise KernelError(f"oneDNN has no {name} for this layer")
        self.handle = Handle(found, "primitive", "primitive_create", descriptor)
        self.descriptor = descriptor  # owns the memory descriptors
        self.operands = [(o, actual(descriptor, o.arg)) for o in call.all_operands]
        self.scratch = actual(descriptor, dnnl.SCRATCHPAD)
        self.workspace = found.c.dnnl_memory_desc_get_size(self.scratch) if self.scratch else 0
        self.packed = {o.arg: pack(o, md) for o, md in self.operands if o.constant is not None}

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any) -> _Bound:
        """The arguments of ``dnnl_primitive_execute`` for these arrays."""
        memories = []
        for operand, md in self.operands:
            source = operand.source
            array = self.packed.get(operand.arg)
            if array is None:
                array = inputs[source] if source >= 0 else outputs[~source]
            memories.append((operand.arg, memory_on(md, array)))
        if self.workspace:
            memories.append((dnnl.SCRATCHPAD, memory_on(self.scratch, workspace)))
        return _Bound(self, memories)


class _Bound:
    """A primitive with its memories, which it keeps alive."""

    def __init__(self, primitive: Primitive, memories: Sequence[tuple[int, tuple[Handle, Array]]]) -> None:
        self.keep = (primitive, memories)
        pairs = [_Arg(arg, handle._as_parameter_.value) for arg, (handle, _) in memories]
        self.stream = Handle(library(), "stream", "stream_create", library().engine, 1)
        array = (_Arg * len(pairs))(*pairs)
        self.args = (primitive.handle._as_parameter_, self.stream._as_parameter_, c_int(len(pairs)), array)


class Layer:
    """What ``prepare`` makes of a problem: the calls of a walk, the first in the implementation called ``name``."""

    def __init__(self, problem: Problem, walk: Walk, name: str) -> None:
        self.threads = problem.threads
        with library().threads(self.threads):  # primitives divide their work when they are made
            calls = walk.describe(problem, walk.x, walk.y)
            names = [None if name == "any" else name, *[None] * (len(calls) - 1)]
            self.primitives = [Primitive(*pair) for pair in zip(calls, names)]
        self.workspace = max(p.workspace for p in self.primitives)
        sources = [(o.source, o.constant is not None) for c in calls for o in c.all_operands]
        self.packed = tuple({s for s, _ in sources if s >= 0} - {s for s, packed in sources if not packed})

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A step that executes the primitives on these arrays."""
        return Segment([p.bind(inputs, outputs, workspace) for p in self.primitives], self.threads)


class Segment:
    """Primitives in a row on one number of threads: the step of a layer, or of several."""

    def __init__(self, bound: list[_Bound], threads: int) -> None:
        self.bound, self.threads = bound, threads
        self._calls = [b.args for b in bound]
        self._library = library()

    def __call__(self) -> None:
        """Execute them all; KernelError with the library's word when one fails."""
        execute = self._library.c.dnnl_primitive_execute
        with self._library.threads(self.threads):
            for args in self._calls:
                if execute(*args):
                    raise KernelError("oneDNN's primitive_execute failed")
        self._library.settle(self.threads)


def seal(steps: Sequence[Segment]) -> Step:
    """Neighbouring layers as one loop."""
    return Segment(list(chain.from_iterable(s.bound for s in steps)), steps[0].threads)


def memory_on(md: Any, array: Array) -> tuple[Handle, Array]:
    """The library's memory object on an array's bytes, and the array."""
    place = c_void_p(array.ctypes.data)
    return Handle(library(), "memory", "memory_create", md, library().engine, place), array


def pack(operand: Operand, md: Any) -> Array:
    """A constant in the layout that an implementation wants."""
    assert operand.constant is not None
    found = library()
    target = memory.zeros(found.c.dnnl_memory_desc_get_size(md), np.uint8)
    source = np.ascontiguousarray(operand.constant)
    call = Call("reorder", (operand.md, md), (), engines=True)
    for _, descriptor in call.implementations():
        primitive = Handle(found, "primitive", "primitive_create", descriptor)
        break
    else:
        raise KernelError("oneDNN cannot bring this constant into the layout that it wants")
    ends = ((dnnl.SRC, memory_on(operand.md.handle, source)), (dnnl.DST, memory_on(md, target)))
    args = (_Arg * 2)(*(_Arg(arg, handle._as_parameter_.value) for arg, (handle, _) in ends))
    stream = Handle(found, "stream", "stream_create", found.engine, 1)
    found.call("primitive_execute", primitive, stream, 2, args)
    return target
