"""What every prepared layer is: numbers for a native kernel, arrays bound to it, a native step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.plugin import Problem, Step
from orpheus_core.types import Array, TensorType, ValueType
from orpheus_openmp import isa as isas
from orpheus_openmp.weights import Packer


class Layer:
    """One prepared layer. A subclass fills ``kernel``, ``values`` and ``names``, and packs constants.

    ``names[i]`` and ``results[i]`` are the kernel's arguments that input and output i are bound to, None for those
    that are not. ``isa`` is the instruction set, the current one when None.
    """

    kernel = ""
    names: tuple[str | None, ...] = ("x",)
    results: tuple[str | None, ...] = ("y",)

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        self.problem = problem
        self.isa = isa or isas.current()
        self.block, self.tile_pixels, self.tile_vectors = isas.tile(self.isa)
        self.threads = problem.threads
        self.values: dict[str, Any] = {}
        self.workspace = 0
        self.packed: tuple[int, ...] = ()

    @property
    def packer(self) -> Packer:
        """Packs this layer's constants."""
        return Packer(self.isa, self.threads, self.block, self.tile_vectors)

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A native step on these arrays; KernelError when one has not the shape or type that was prepared for."""
        return self.step(self.arrays(inputs, outputs, workspace))

    def arrays(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> dict[str, Any]:
        """The kernel's pointers: every operand, checked, and the workspace as floats."""
        bound: dict[str, Any] = {}
        for names, arrays, types, kept in (
            (self.names, inputs, self.problem.inputs, self.packed),
            (self.results, outputs, self.problem.outputs, ()),
        ):
            for i, (name, array, type_) in enumerate(zip(names, arrays, types)):
                if name is not None and type_ is not None and i not in kept:
                    what = f"{self.problem.op} {name}"
                    bound[name] = checked(array, type_, what, written=names is self.results)
        if self.workspace:
            if workspace is None or workspace.nbytes < self.workspace:
                has = 0 if workspace is None else workspace.nbytes
                raise KernelError(f"{self.problem.op} needs {self.workspace} bytes of workspace, has {has}")
            bound["workspace"] = workspace[: self.workspace].view(np.float32)
        return bound

    def step(self, bound: dict[str, Any], **values: Any) -> Step:
        """A native step of this layer's kernel; ``values`` are added to the layer's.

        A bind must not keep them in the layer: runs from several threads bind contexts at the same time.
        """
        given = {**self.values, **values, **bound}
        made: Step = isas.native().Step(self.isa, self.kernel, self.threads, given)
        return made

    def type_of(self, index: int) -> TensorType:
        """The type of input ``index``."""
        return _tensor(self.problem.inputs[index], self.problem.op)

    def has(self, index: int) -> bool:
        """Whether input ``index`` is given."""
        return index < len(self.problem.inputs) and self.problem.inputs[index] is not None

    def input_shape(self, index: int) -> tuple[int, ...]:
        """The logical shape of input ``index``."""
        return static(self.type_of(index), self.problem.op)

    def output_shape(self, index: int = 0) -> tuple[int, ...]:
        """The logical shape of output ``index``."""
        return static(_tensor(self.problem.outputs[index], self.problem.op), self.problem.op)


def checked(array: Any, type_: ValueType | None, what: str, *, written: bool = False) -> Array:
    """The array itself when a kernel may have it, else KernelError.

    It has to be contiguous, of its type's elements and physical shape, and writable where it is to be ``written``.
    """
    tensor = _tensor(type_, what)
    shape = tensor.layout.physical_shape(static(tensor, what))
    dtype = tensor.dtype.numpy
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        found = f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise KernelError(f"{what} was prepared for {dtype}{list(shape)}, got {found}")
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise KernelError(f"{what} must be a contiguous, aligned array; its strides are {array.strides}")
    if written and not array.flags.writeable:
        raise KernelError(f"{what} is written, and was given an array that is read-only")
    return array


def raw(array: Array) -> Array:
    """The bytes of a contiguous array, for kernels that take elements of any type."""
    return array.reshape(-1).view(np.uint8)


def static(type_: ValueType | None, what: str) -> tuple[int, ...]:
    """The shape of a tensor type; KernelError when a dimension is open."""
    shape = _tensor(type_, what).static_shape
    if shape is None:
        raise KernelError(f"{what} is prepared for one shape, its type is {type_}")
    return shape


def _tensor(type_: ValueType | None, what: str) -> TensorType:
    if not isinstance(type_, TensorType):
        raise KernelError(f"{what} needs a tensor, got {type_}")
    return type_


def padded(array: Array, length: int) -> Array:
    """A vector as float32 with zeros up to ``length``."""
    result = np.zeros(length, np.float32)
    result[: array.size] = array.reshape(-1)
    return result


def seal(steps: Sequence[Step]) -> Step:
    """Neighbouring steps as one native call that holds no GIL."""
    sealed: Step = isas.native().Segment(list(steps))
    return sealed
