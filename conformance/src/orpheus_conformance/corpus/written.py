"""A case of the corpus written out as a layer of its own, data and all, so that it is judged and replayed like any."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Input, Operand
from orpheus_conformance.case import Sequence as Listed
from orpheus_conformance.corpus.cases import values
from orpheus_core.graph import Graph
from orpheus_core.types import DType


def as_case(graph: Graph, data: Any, kernel: str) -> Case | None:
    """The one node of a graph on a data set's inputs; None where that cannot be written."""
    node = graph.nodes[0]
    feeds = dict(zip((v.name for v in graph.inputs), values(data)))
    inputs: list[Input] = []
    for value in node.inputs:
        if value is None:
            inputs.append(None)
            continue
        operand = _operand(
            value.const if value.const is not None else feeds.get(value.name), value.const is not None
        )
        if operand is None:
            return None
        inputs.append(operand)
    attributes: dict[str, Any] = {}
    for name, given in node.attributes.items():
        if isinstance(given, Graph):
            return None
        attributes[name] = _operand(given, False) if isinstance(given, np.ndarray) else given
    present = tuple(v is not None for v in node.outputs)
    return Case(
        op=node.op, domain=node.domain, version=node.version, inputs=tuple(inputs), attributes=attributes,
        outputs=present, kernel=kernel, tier="bounded",
    )  # fmt: skip


def _operand(value: Any, constant: bool) -> Operand | Listed | None:
    if isinstance(value, list):
        parts = [_operand(v, False) for v in value]
        if not parts or not all(isinstance(p, Operand) for p in parts):
            return None
        return Listed(parts[0].dtype, tuple(parts))  # type: ignore[union-attr, arg-type]
    if not isinstance(value, np.ndarray) or value.dtype.kind == "c":
        return None
    dtype = "string" if value.dtype.kind in "OUST" else DType.from_numpy(value.dtype).value
    plain = value.astype(np.float64) if dtype != "string" and DType(dtype).is_float else value
    data = tuple(v.item() if hasattr(v, "item") else v for v in plain.ravel())
    return Operand(dtype, value.shape, data=data, constant=constant)
