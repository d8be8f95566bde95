"""Making nodes in passes and decompositions, with defaults filled in from the OpSpec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orpheus_core.graph import Node, Value
from orpheus_core.ops.spec import find_spec, latest_version


def make_node(
    op: str,
    inputs: Sequence[Value | None],
    outputs: Sequence[Value | None],
    attributes: dict[str, Any] | None = None,
    *,
    name: str = "",
    domain: str = "",
) -> Node:
    """A node of the newest form of ``op``, with the defaults of attributes that are not given.

    Raises ValueError for an operator or an attribute that does not exist.
    """
    spec = find_spec(domain, op, latest_version(domain))
    if spec is None:
        raise ValueError(f"there is no operator {domain or 'ai.onnx'}:{op}")
    given = {k: v for k, v in (attributes or {}).items() if v is not None}
    unknown = given.keys() - spec.attribute_names
    if unknown:
        raise ValueError(f"{op} has no attribute {sorted(unknown)}")
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    return Node(op, tuple(inputs), tuple(outputs), {**spec.defaults, **given}, name, domain, spec.version)
