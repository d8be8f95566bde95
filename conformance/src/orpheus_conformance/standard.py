"""One standard operator on arrays, by ``onnx.reference``: what decompositions are made of."""

from __future__ import annotations

from typing import Any

from onnx.reference import ReferenceEvaluator

from orpheus_core.graph import Graph, Value
from orpheus_core.importer.export import to_onnx
from orpheus_core.ops.build import make_node
from orpheus_core.types import type_of_array


def standard(op: str, *inputs: Any, **attributes: Any) -> Any:
    """The first output of the newest form of ``op``; inputs that are None are left out."""
    values = [None if x is None else Value(f"x{n}", type_of_array(x)) for n, x in enumerate(inputs)]
    node = make_node(op, values, [Value("y")], attributes)
    present = tuple(v for v in values if v is not None)
    feeds = {f"x{n}": x for n, x in enumerate(inputs) if x is not None}
    return ReferenceEvaluator(to_onnx(Graph(present, node.results, (node,)))).run(None, feeds)[0]  # type: ignore[index]
