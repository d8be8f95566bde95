"""A prepared layer: primitives, packed constants, and steps that call ``dnnl_primitive_execute``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import c_int, c_void_p
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from orpheus_core import memory
from orpheus_core.errors import KernelError
from orpheus_core.plugin import Problem, Step
from orpheus_core.types import Array
from orpheus_onednn import dnnl
from orpheus_onednn.call import Call, Operand, Walk, actual, pick, shape_of, type_of
from orpheus_onednn.library import Handle, library

#: What is called, on what, and what has to live as long. It gives a status, 0 or None for success.
_Execution: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], object]


class _Arg(ctypes.Structure):
    _fields_ = (("arg", c_int), ("memory", c_void_p))


class Primitive:
    """One call in one implementation: what is executed, on which descriptors, its packed constants."""

    def __init__(self, call: Call, name: str | None) -> None:
        found = library()
        descriptor = next((d for has, d in call.implementations() if name in (has, None)), None)
        if descriptor is None:
            raise KernelError(f"oneDNN has no {name or call.function} for this layer")
        self.handle = Handle(found, "primitive", "primitive_create", descriptor)
        self.descriptor = descriptor  # owns the memory descriptors
        own = dnnl.SCALES | dnnl.ZERO_POINTS  # of which the descriptor does not tell
        self.operands = [
            (o, o.md.handle if o.arg & own else actual(descriptor, o.arg)) for o in call.operands
        ]
        self.scratch = actual(descriptor, dnnl.SCRATCHPAD)
        self.workspace = found.c.dnnl_memory_desc_get_size(self.scratch) if self.scratch else 0
        self.packed = {o.arg: _pack(o, md) for o, md in self.operands if o.constant is not None}

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any) -> _Execution:
        """Its execution on these arrays."""
        found = library()
        memories = [(dnnl.SCRATCHPAD, self.scratch, workspace)] if self.workspace else []
        for operand, md in self.operands:
            array = self.packed.get(operand.arg, pick(inputs, outputs, operand.source))
            if array is None:  # a state that begins with zero, or a result that nobody wants
                array = np.zeros(found.c.dnnl_memory_desc_get_size(md), np.uint8)
            elif operand.offset:
                array = array.reshape(-1)[operand.offset :]
            memories.append((operand.arg, md, array))
        objects = [
            Handle(found, "memory", "memory_create", md, found.engine, c_void_p(array.ctypes.data))
            for _, md, array in memories
        ]
        pairs = [_Arg(arg, o._as_parameter_.value) for (arg, _, _), o in zip(memories, objects)]
        stream = Handle(found, "stream", "stream_create", found.engine, 1)
        args = (self.handle, stream, c_int(len(pairs)), (_Arg * len(pairs))(*pairs))
        plain = tuple(getattr(a, "_as_parameter_", a) for a in args)
        return found.c.dnnl_primitive_execute, plain, (self, memories, objects, stream)


class Layer:
    """What ``prepare`` makes of a problem: the calls of a walk, the first in the implementation called ``name``.

    None takes the library's first choice.
    """

    def __init__(self, problem: Problem, walk: Walk, name: str | None) -> None:
        self.problem = problem
        with library().threads(problem.threads):  # primitives divide their work when they are made
            calls = walk.describe(problem, walk.x, walk.y)
            names = [name, *[None] * (len(calls) - 1)]
            self.primitives = [Primitive(*pair) for pair in zip(calls, names)]
        self.workspace = max(p.workspace for p in self.primitives)
        read = {o.source for c in calls for o in c.operands if o.constant is None}
        self.packed = tuple(problem.constants.keys() - read)

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A step that executes the primitives on these arrays."""
        executions = [p.bind(inputs, outputs, workspace) for p in self.primitives]
        for index, array in enumerate(outputs):
            type_ = type_of(self.problem, ~index)
            block = 1 if type_ is None else type_.layout.block
            rest = shape_of(self.problem, ~index)[1] % block if block > 1 else 0
            if rest:  # infinity times the zeros that fill up the weights leaves NaN in the padding
                padding = array[:, -1, ..., rest:]
                executions.append((padding.fill, (0,), padding))
        return Segment(executions, self.problem.threads)


class Segment:
    """Executions in a row on one number of threads: the step of a layer, or of several."""

    def __init__(self, executions: list[_Execution], threads: int) -> None:
        self.executions, self.threads = executions, threads
        self._calls = [e[:2] for e in executions]
        self._library = library()

    def __call__(self) -> None:
        """Execute them all; KernelError when one fails."""
        with self._library.threads(self.threads):
            for execute, args in self._calls:
                if execute(*args):
                    raise KernelError("oneDNN's primitive_execute failed")
        self._library.settle(self.threads)


def seal(steps: Sequence[Segment]) -> Step:
    """Neighbouring layers as one loop."""
    return Segment(list(chain.from_iterable(s.executions for s in steps)), steps[0].threads)


def _pack(operand: Operand, md: Any) -> Array:
    """A constant in the layout that an implementation wants."""
    assert operand.constant is not None
    source = np.ascontiguousarray(operand.constant)
    target = memory.zeros(library().c.dnnl_memory_desc_get_size(md), np.uint8)
    ends = (Operand(dnnl.SRC, operand.md, 0), Operand(dnnl.DST, operand.md, ~0))
    primitive = Primitive(Call("reorder", (ends[0], md), ends[1:]), None)
    execute, args, _ = primitive.bind([source], [target], np.empty(primitive.workspace, np.uint8))
    if execute(*args):
        raise KernelError("oneDNN cannot bring this constant into the layout that it wants")
    return target
