"""Inputs for a model: from files, or random from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from orpheus_core.errors import InputError, UsageError
from orpheus_core.types import Array, Dim, DType

# How onnx and ONNX Runtime spell the types that are not called as in numpy.
_SPELLING = {"float": "float32", "double": "float64"}


class Input(Protocol):
    """What a session tells of an input."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def type(self) -> str:
        """``tensor(float)`` and the like."""

    @property
    def shape(self) -> Sequence[Dim]:
        """Its dimensions; a str or None where the model leaves one open."""


def make_feeds(
    inputs: Sequence[Input],
    files: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    seed: int,
) -> dict[str, Array]:
    """An array for each input: read from ``files``, else random with the shape from ``shapes`` or the model.

    An open first dimension is taken as 1 (the batch). Raises UsageError for a name that is not an input, an open
    dimension that nothing fixes, and a type that cannot be made up.
    """
    known = [i.name for i in inputs]
    unknown = sorted({*files, *shapes} - set(known))
    if unknown:
        raise UsageError(f"the model has no input {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    generator = np.random.default_rng(seed)
    return {
        i.name: load(i.name, files[i.name])
        if i.name in files
        else random_array(i.type, static_shape(i, shapes.get(i.name)), generator, i.name)
        for i in inputs
    }


def load(name: str, path: str) -> Array:
    """The array in a ``.npy`` file; InputError when there is none."""
    try:
        return np.asarray(np.load(Path(path), allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"input {name!r}: {path} cannot be read as .npy: {error}") from error


def static_shape(input_: Input, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape to feed: ``given``, else the model's with an open first dimension taken as 1."""
    if given is not None:
        return given
    dims: list[int] = []
    for axis, dim in enumerate(input_.shape):
        if isinstance(dim, int):
            dims.append(dim)
        elif axis == 0:
            dims.append(1)
        else:
            shown = ",".join("?" if d is None else str(d) for d in input_.shape)
            raise UsageError(
                f"input {input_.name!r} has the open shape [{shown}]; "
                f'give --shape "{input_.name}:[...]" or -i {input_.name}=FILE.npy'
            )
    return tuple(dims)


def random_array(type_: str, shape: tuple[int, ...], generator: np.random.Generator, name: str) -> Array:
    """Floats from a standard normal, integers over what a byte can hold (64-bit ones, often indices: 0 or 1)."""
    if not (type_.startswith("tensor(") and type_.endswith(")")):
        raise UsageError(f"input {name!r} is a {type_}; random inputs are tensors only")
    word = type_[len("tensor(") : -1]
    compact = {d.value.replace("_", ""): d for d in DType}
    dtype = compact.get(_SPELLING.get(word, word).replace("_", ""))
    if dtype is None or dtype is DType.STRING:
        raise UsageError(f"input {name!r} is a {type_}, which cannot be made up; give -i {name}=FILE.npy")
    values: Any
    if dtype.is_float or dtype.value.startswith("complex"):
        values = generator.standard_normal(shape)
    elif dtype in (DType.BOOL, DType.INT64, DType.UINT2, DType.INT2):
        values = generator.integers(0, 2, shape)
    elif dtype in (DType.INT4, DType.UINT4):
        values = generator.integers(0, 8, shape)
    else:
        low, high = (-128, 128) if dtype.value.startswith("int") else (0, 256)
        values = generator.integers(low, high, shape)
    return np.asarray(values).astype(dtype.numpy)
