"""A call of a oneDNN primitive as data, and the implementations that the library has for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ctypes import c_float, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

from orpheus_core.errors import KernelError
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
    strides: tuple[int, ...] | None = None
    within: tuple[Md, tuple[int, ...]] | None = None

    @property
    def handle(self) -> Handle:
        """The library's own; Refusal when the layout does not fit."""
        return _descriptor(self)


@cache
def _descriptor(md: Md) -> Handle:
    shape = md.shape or (1,)
    if md.dtype not in DTYPES:
        raise Refusal(f"oneDNN has no {md.dtype}")
    if md.within is not None:
        whole, offsets = md.within
        parts = (whole.handle, dims(shape), dims(offsets))
        return Handle(library(), "memory_desc", "memory_desc_create_submemory", *parts)
    facts = (len(shape), dims(shape), DTYPES[md.dtype])
    if md.strides is not None:
        return Handle(library(), "memory_desc", "memory_desc_create_with_strides", *facts, dims(md.strides))
    tags = (_ANY,) * 13 if md.layout is None else _TAGS.get(md.layout, ())
    if len(shape) >= len(tags) or not tags[len(shape)]:
        raise Refusal(f"layout {md.layout} does not fit {len(shape)} axes")
    return Handle(library(), "memory_desc", "memory_desc_create_with_tag", *facts, tags[len(shape)])


@dataclass(frozen=True)
class Operand:
    """An argument: its number in the library, its descriptor, and where it comes from.

    ``source`` is the index of an input, or ~index of an output. ``constant`` is an array to pack in advance.
    """

    arg: int
    md: Md
    source: int
    constant: Array | None = None

    @property
    def wanted(self) -> Md:
        """The descriptor to ask for: a constant's layout is the library's choice."""
        return self.md if self.constant is None else Md(self.md.shape, self.md.dtype, None)


@dataclass(frozen=True)
class Call:
    """``dnnl_<function>_primitive_desc_create(&pd, engine, *parameters, attributes)`` and what it is executed on.

    Parameters are numbers, arrays and :class:`Md`. ``post`` are post-ops in order: ("eltwise", algorithm, alpha, beta)
    or ("binary", algorithm, Md, source).
    """

    function: str
    parameters: tuple[Any, ...]
    operands: tuple[Operand, ...]
    post: tuple[tuple[Any, ...], ...] = ()
    engines: bool = False  # Reorder's has an engine beside each of its descriptors

    def implementations(self) -> Iterator[tuple[str, Handle]]:
        """The library's implementations, best first: name and descriptor, which is good until the next one."""
        found = library()
        given = [p.handle if isinstance(p, Md) else p for p in self.parameters]
        if self.engines:
            given = [part for p in given for part in (p, found.engine)]
        engine = () if self.engines else (found.engine,)
        function = f"{self.function}_primitive_desc_create"
        try:
            descriptor = Handle(found, "primitive_desc", function, *engine, *given, self._attributes())
        except KernelError:
            return
        while True:
            yield found.implementation(descriptor), descriptor
            if not found.advance(descriptor):
                return

    @property
    def all_operands(self) -> tuple[Operand, ...]:
        """Operands, those of binary post-ops too."""
        extra = [
            Operand(dnnl.POST_OP * (i + 1) | dnnl.SRC_1, step[2], step[3])
            for i, step in enumerate(self.post)
            if step[0] == "binary"
        ]
        return (*self.operands, *extra)

    def _attributes(self) -> Handle:
        found = library()
        attributes = Handle(found, "primitive_attr", "primitive_attr_create")
        found.call("primitive_attr_set_scratchpad_mode", attributes, 1)
        if self.post:
            steps = Handle(found, "post_ops", "post_ops_create")
            for kind, algorithm, *rest in self.post:
                numbers = (rest[0].handle,) if kind == "binary" else (c_float(rest[0]), c_float(rest[1]))
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
        if any(not isinstance(t, TensorType) or t.static_shape is None for t in types):
            return "needs tensors whose shapes are known"
        if any(0 in (t.static_shape or ()) for t in types if isinstance(t, TensorType)):
            return "needs tensors of at least one element"
        try:
            with library().threads(problem.threads):
                first, *others = self.describe(problem, self.x, self.y)
                names = dict.fromkeys(name for name, _ in first.implementations())
                found = tuple(name for name in names if not name.endswith("ref:any"))
                if not found or any(next(call.implementations(), None) is None for call in others):
                    return "oneDNN has nothing but its reference for this layer in these layouts and types"
        except (Refusal, KernelError) as refusal:
            return str(refusal)
        return found


def from_to(
    function: str, parameters: Sequence[Any], source: Md, result: Md, *more: Operand, post: Sequence[Any] = ()
) -> list[Call]:
    """A call that reads input 0 and ``more``, and writes output 0."""
    operands = (Operand(dnnl.SRC, source, 0), *more, Operand(dnnl.DST, result, ~0))
    return [Call(function, tuple(parameters), operands, tuple(post))]


def shape_of(problem: Problem, index: int) -> tuple[int, ...]:
    """The shape of input ``index``, or of output ~index."""
    type_ = problem.inputs[index] if index >= 0 else problem.outputs[~index]
    assert isinstance(type_, TensorType) and type_.static_shape is not None
    return type_.static_shape


def dtype_of(problem: Problem, index: int) -> str:
    """The element type of input ``index``, or of output ~index."""
    type_ = problem.inputs[index] if index >= 0 else problem.outputs[~index]
    assert isinstance(type_, TensorType)
    return type_.dtype.value


def has(problem: Problem, index: int) -> bool:
    """Whether input ``index``, or output ~index, is given."""
    types = problem.inputs if index >= 0 else problem.outputs
    place = index if index >= 0 else ~index
    return place < len(types) and types[place] is not None


def md_of(problem: Problem, index: int, layout: str = "plain", shape: Sequence[int] | None = None) -> Md:
    """The descriptor of input ``index``, or of output ~index, in a layout; seen in another shape if one is given."""
    seen = shape_of(problem, index) if shape is None else tuple(shape)
    if not layout_of(layout).fits(len(seen)):
        raise Refusal(f"layout {layout} does not fit {len(seen)} axes")
    return Md(seen, dtype_of(problem, index), layout)
