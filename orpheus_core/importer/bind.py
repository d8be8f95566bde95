"""Concrete input shapes put into a graph whose shapes were symbolic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orpheus_core.errors import InputError
from orpheus_core.graph import Attribute, Graph, Node, Value
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
    fresh: dict[Value, Value] = {}
    for value in graph.inputs:
        type_ = value.type
        if isinstance(type_, TensorType):
            wanted = shapes.get(value.name, type_.shape)
            if wanted is not None:
                dims = (symbols[d][0] if isinstance(d, str) and d in symbols else d for d in wanted)
                type_ = type_.with_shape(tuple(dims))
        fresh[value] = Value(value.name, type_)
    return infer_types(_copy(graph, fresh))


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


def _copy(graph: Graph, fresh: dict[Value, Value]) -> Graph:
    """The graph with every value it defines replaced by a new one; ``fresh`` collects them."""
    for value in graph.inputs:
        fresh.setdefault(value, Value(value.name, value.type))
    nodes = tuple(_copy_node(node, fresh) for node in graph.nodes)
    return Graph(
        tuple(fresh[v] for v in graph.inputs),
        tuple(fresh.get(v, v) for v in graph.outputs),
        nodes,
        graph.name,
        {fresh[v]: array for v, array in graph.defaults.items()},
    )


def _copy_node(node: Node, fresh: dict[Value, Value]) -> Node:
    attributes = node.attributes
    if node.subgraphs:
        changed: dict[str, Attribute] = dict(attributes)
        for name, body in attributes.items():
            if isinstance(body, Graph):
                changed[name] = _copy(body, fresh)
        attributes = changed
    inputs = tuple(None if v is None else fresh.get(v, v) for v in node.inputs)
    for value in node.results:
        fresh[value] = Value(value.name, value.type)
    outputs = tuple(None if v is None else fresh[v] for v in node.outputs)
    return node.replace(inputs=inputs, outputs=outputs, attributes=attributes)
