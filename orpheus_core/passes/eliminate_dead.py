"""Drop nodes that nothing reads, and unused outputs that may be left out."""

from __future__ import annotations

from collections.abc import Mapping

from onnx.defs import OpSchema

from orpheus_core.graph import Attribute, Graph, Node, Value
from orpheus_core.ops import find_spec


def run(graph: Graph) -> Graph:
    """Keep what the outputs need, in subgraphs too; unused outputs of If leave both branches."""
    return _clean(graph)


def _clean(graph: Graph) -> Graph:
    live: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if live.isdisjoint(node.results):
            continue
        node = _trimmed(node, live)
        live.update(node.reads)
        kept.append(node)
    kept.reverse()
    if len(kept) == len(graph.nodes) and all(a is b for a, b in zip(kept, graph.nodes)):
        return graph
    return graph.replace(nodes=tuple(kept))


def _trimmed(node: Node, live: set[Value]) -> Node:
    if node.op == "If" and not node.domain:
        node = _trim_branches(node, live)
    elif any(v is not None and v not in live for v in node.outputs):
        node = _trim_optional(node, live)
    if not node.subgraphs:
        return node
    attributes: Mapping[str, Attribute] = {
        k: _clean(a) if isinstance(a, Graph) else a for k, a in node.attributes.items()
    }
    if all(attributes[k] is a for k, a in node.attributes.items()):
        return node
    return node.replace(attributes=attributes)


def _trim_branches(node: Node, live: set[Value]) -> Node:
    keep = [i for i, v in enumerate(node.outputs) if v is not None and v in live]
    if len(keep) == len(node.outputs):
        return node
    attributes = {
        k: a.replace(outputs=tuple(a.outputs[i] for i in keep)) if isinstance(a, Graph) else a
        for k, a in node.attributes.items()
    }
    return node.replace(outputs=tuple(node.outputs[i] for i in keep), attributes=attributes)


def _trim_optional(node: Node, live: set[Value]) -> Node:
    spec = find_spec(node.domain, node.op, node.version)
    if spec is None:
        return node
    formal = spec.schema.outputs
    optional = OpSchema.FormalParameterOption.Optional
    outputs = [
        None if v is not None and v not in live and i < len(formal) and formal[i].option == optional else v
        for i, v in enumerate(node.outputs)
    ]
    while outputs and outputs[-1] is None:
        outputs.pop()
    return (
        node
        if len(outputs) == len(node.outputs) and all(a is b for a, b in zip(outputs, node.outputs))
        else node.replace(outputs=tuple(outputs))
    )
