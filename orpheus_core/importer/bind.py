"""Concrete input shapes put into a graph whose shapes were symbolic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orpheus_core.errors import InputError
from orpheus_core.graph import Graph, Value
from orpheus_core.importer.infer import infer_types
from orpheus_core.types import Dim, TensorType


def bind_shapes(graph: Graph, shapes: Mapping[str, Sequence[Dim]]) -> Graph:
    """A copy of ``graph`` with fresh values in which the named inputs have the given shapes.

    A symbolic dimension that this fixes is fixed wherever it appears. Raises InputError for a name that is not an
    input, a shape that contradicts the declared one, and two numbers for one symbol. All types are inferred anew;
    constants are shared with the original.
    """
    inputs = {value.name: value for value in graph.inputs}
    symbols: dict[str, tuple[int, str]] = {}
    for name, shape in shapes.items():
        if name not in inputs:
            raise InputError(f"there is no input {name!r}; the inputs are {', '.join(inputs) or 'none'}")
        _match(inputs[name], tuple(shape), symbols)
    bound, _ = graph.fresh()
    for value in bound.inputs:
        wanted = shapes.get(value.name, value.type.shape if isinstance(value.type, TensorType) else None)
        if isinstance(value.type, TensorType) and wanted is not None:
            dims = (symbols[d][0] if isinstance(d, str) and d in symbols else d for d in wanted)
            value.type = value.type.with_shape(tuple(dims))
    return infer_types(bound)


def _match(value: Value, shape: tuple[Dim, ...], symbols: dict[str, tuple[int, str]]) -> None:
    type_ = value.type
    if not isinstance(type_, TensorType):
        raise InputError(f"input {value.name!r} is {type_}; only tensors have shapes to bind")
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise InputError(f"input {value.name!r}: shape {list(shape)} has a negative dimension")
    if type_.shape is None:
        return
    if len(shape) != len(type_.shape):
        raise InputError(f"input {value.name!r} is {type_}, rank {len(type_.shape)}; got shape {list(shape)}")
    for axis, (declared, given) in enumerate(zip(type_.shape, shape)):
        if not isinstance(given, int):
            continue
        if isinstance(declared, int) and declared != given:
            raise InputError(f"input {value.name!r} is {type_}; got shape {list(shape)}: axis {axis} differs")
        if isinstance(declared, str):
            known, where = symbols.setdefault(declared, (given, value.name))
            if known != given:
                raise InputError(
                    f"input {value.name!r} makes {declared!r} {given}, but input {where!r} makes it {known}"
                )
