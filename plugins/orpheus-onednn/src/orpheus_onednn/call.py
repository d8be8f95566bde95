"""A call of a oneDNN primitive as data, and the implementations that the library has for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_float, c_int64, c_void_p
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from orpheus_core.errors import KernelError
from orpheus_core.geometry import window
from orpheus_core.graph import Node, Value
from orpheus_core.plugin import Problem
from orpheus_core.types import Array, TensorType, layout_of
from orpheus_onednn import dnnl
from orpheus_onednn.library import Handle, library

#: dnnl_data_type_t by ONNX's element types.
DTYPES = {"float16": 1, "bfloat16": 2, "float32": 3, "int32": 4, "int8": 5, "uint8": 6}
#: dnnl_format_tag_t of Orpheus's layouts by rank.
_TAGS = {"plain": (2, 2, 3, 4, 5, 6, 7), "NHWC": (0, 0, 0, 0, 22), "NCHW16c": (0, 0, 0, 0, 78),
         "NCHW8c": (0, 0, 0, 0, 102)}  # fmt: skip
_ANY, _EXEC_ARG_MD = 1, 255
#: In names of implementations whose sums of integers are exact; others saturate, on a processor with VNNI too.
_EXACT = "vnni|amx|gemm"


class Refusal(Exception):
    """Why a layer is none for this library; the text is shown to the user."""


def dims(values: Sequence[int]) -> Any:
    """dnnl_dims_t."""
    return (c_int64 * 12)(*values)


@dataclass(frozen=True)
class Md:
    """A memory descriptor to be: shape, element type, and a layout, strides, or neither for the library to choose.

    ``within`` makes it a part of another one, from these offsets on.
    """

    shape: tuple[int, ...]
    dtype: str
    layout: str | None = "plain"
    strides: tuple[int, ...] = ()
    within: tuple[Md, tuple[int, ...]] | None = None

    @cached_property
    def handle(self) -> Handle:
        """The library's own; Refusal when the layout does not fit."""
        shape, make = self.shape or (1,), partial(Handle, library(), "memory_desc")
        if self.dtype not in DTYPES:
            raise Refusal(f"oneDNN has no {self.dtype}")
        if self.within is not None:
            whole, offsets = self.within
            return make("memory_desc_create_submemory", whole.handle, dims(shape), dims(offsets))
        facts = (len(shape), dims(shape), DTYPES[self.dtype])
        if self.strides:
            return make("memory_desc_create_with_strides", *facts, dims(self.strides))
        tags = (_ANY,) * 13 if self.layout is None else _TAGS.get(self.layout, ())
        if len(shape) >= len(tags) or not tags[len(shape)]:
            raise Refusal(f"layout {self.layout} does not fit {len(shape)} axes")
        return make("memory_desc_create_with_tag", *facts, tags[len(shape)])


@dataclass(frozen=True, eq=False)
class Operand:
    """An argument: its number in the library, its descriptor, and where it comes from.

    ``source`` is the index of an input, or ~index of an output, from element ``offset`` on; where that is left out, it
    stands for zeros. ``constant`` is an array to pack in advance, in a layout that is the library's choice.
    """

    arg: int
    md: Md
    source: int
    constant: Array | None = None
    offset: int = 0

    @property
    def handle(self) -> Handle:
        """The descriptor to ask for."""
        return self.md.handle if self.constant is None else Md(self.md.shape, self.md.dtype, None).handle


@dataclass(frozen=True, eq=False)
class Call:
    """``dnnl_<function>_primitive_desc_create(&pd, engine, *parameters, attributes)`` and what it is executed on.

    Parameters are numbers, arrays, and operands, which stand for their descriptors; ``more`` are operands that are no
    parameters. ``post`` are post-ops in order: ("eltwise", algorithm, alpha, beta) or ("binary", algorithm, operand).
    ``settings``: ("scales" or "zero_points", argument, mask of the axes along which they differ).
    """

    function: str
    parameters: tuple[Any, ...]
    more: tuple[Operand, ...] = ()
    post: tuple[tuple[Any, ...], ...] = ()
    settings: tuple[tuple[str, int, int], ...] = ()

    def implementations(self) -> Iterator[tuple[str, Handle]]:
        """The library's implementations, best first: name and descriptor, which is good until the next one."""
        found = library()
        given = [getattr(p, "handle", p) for p in self.parameters]
        engine = found.engine  # a reorder has one beside each of its descriptors
        given = [given[0], engine, given[1], engine] if self.function == "reorder" else [engine, *given]
        function = f"{self.function}_primitive_desc_create"
        try:
            descriptor = Handle(found, "primitive_desc", function, *given, self._attributes())
        except KernelError:
            return
        more = True
        while more:
            yield found.implementation(descriptor), descriptor
            more = found.c.dnnl_primitive_desc_next_impl(descriptor) == 0

    @property
    def operands(self) -> list[Operand]:
        """All that it is executed on."""
        found = [p for p in (*self.parameters, *self.more) if isinstance(p, Operand)]
        binaries = [(i, step[2]) for i, step in enumerate(self.post, 1) if step[0] == "binary"]
        return [*found, *(Operand(dnnl.POST_OP * i | dnnl.SRC_1, o.md, o.source) for i, o in binaries)]

    def _attributes(self) -> Handle:
        found = library()
        attributes = Handle(found, "primitive_attr", "primitive_attr_create")
        found.call("primitive_attr_set_scratchpad_mode", attributes, 1)
        for name, arg, mask in self.settings:
            found.call(f"primitive_attr_set_{name}_mask", attributes, arg, mask)
        if self.post:
            steps = Handle(found, "post_ops", "post_ops_create")
            for kind, algorithm, *rest in self.post:
                numbers = (rest[0].md.handle,) if kind == "binary" else map(c_float, rest)
                found.call(f"post_ops_append_{kind}", steps, algorithm, *numbers)
            found.call("primitive_attr_set_post_ops", attributes, steps)
        return attributes


def actual(descriptor: Handle, arg: int) -> Any:
    """The memory descriptor that an implementation wants for an argument; the primitive descriptor owns it."""
    return c_void_p(library().c.dnnl_primitive_desc_query_md(descriptor, _EXEC_ARG_MD, arg))


@dataclass(frozen=True, eq=False)
class Walk:
    """A way of putting one kind of layer to the library, in one combination of layouts.

    ``describe(problem, x, y)`` gives the calls for inputs in layout ``x`` and outputs in ``y``, or raises Refusal.
    The kernel is the implementation of the first call; the others, if any, take the library's first.
    """

    describe: Callable[[Problem, str, str], list[Call]]
    x: str
    y: str

    def __call__(self, problem: Problem) -> tuple[str, ...] | str:
        """Names of the implementations there are for a problem, best first, or why there are none."""
        types = [t for t in (*problem.inputs, *problem.outputs) if t is not None]
        # An LSTM of 2 hidden values by AMX ends the process with an illegal instruction; its like are not trusted.
        left = ("ref:any", "brgemm:avx512_core_amx" if problem.op in ("GRU", "LSTM", "RNN") else "ref:any")
        if any(not isinstance(t, TensorType) or not t.size for t in types):
            return "needs tensors of known shapes and at least one element"
        try:
            with library().threads(problem.threads):
                first, *others = self.describe(problem, self.x, self.y)
                names = dict.fromkeys(n for n, _ in first.implementations() if not n.endswith(left))
                found = tuple(n for n in names if not first.settings or re.search(_EXACT, n))
                firsts = (next(call.implementations(), ("ref:any",))[0] for call in others)
                if not found or any(name.endswith("ref:any") for name in firsts):
                    return "oneDNN has nothing but its reference for this layer in these layouts and types"
        except (Refusal, KernelError) as refusal:
            return str(refusal)
        return found


def pick(inputs: Sequence[Any], outputs: Sequence[Any], index: int) -> Any:
    """Input ``index``, or output ~index; None where it is left out."""
    values, place = (inputs, index) if index >= 0 else (outputs, ~index)
    return values[place] if place < len(values) else None


def type_of(problem: Problem, index: int) -> TensorType | None:
    """The type of input ``index``, or of output ~index; None where it is left out."""
    found = pick(problem.inputs, problem.outputs, index)
    return found if isinstance(found, TensorType) else None


def shape_of(problem: Problem, index: int) -> tuple[int, ...]:
    """The shape of an operand that is there."""
    return window.shape_of(type_of(problem, index))


def node_of(problem: Problem) -> Node:
    """The problem as a node of a graph."""
    given = enumerate(problem.inputs)
    inputs = tuple(None if t is None else Value("", t, problem.constants.get(i)) for i, t in given)
    outputs = tuple(None if t is None else Value("", t) for t in problem.outputs)
    return Node(problem.op, inputs, outputs, problem.attributes, domain=problem.domain)


def operand(
    problem: Problem, arg: int, index: int, layout: str = "plain", shape: Sequence[int] | None = None
) -> Operand:
    """Input ``index``, or output ~index, as an argument in a layout; seen in another shape if one is given."""
    type_ = type_of(problem, index)
    assert type_ is not None
    seen = shape_of(problem, index) if shape is None else tuple(shape)
    if not layout_of(layout).fits(len(seen)):
        raise Refusal(f"layout {layout} does not fit {len(seen)} axes")
    return Operand(arg, Md(seen, type_.dtype.value, layout), index)
