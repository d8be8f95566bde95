"""The network as it is executed, as ONNX: fused groups as functions, and on each node what ran it and how long.

Netron shows a node's metadata and description beside its attributes, and the standard operators that a fused one
stands for when its function is opened. The model is a whole one: any runtime that knows functions can run it.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from orpheus_core.graph import Graph, Node
from orpheus_core.importer import to_onnx
from orpheus_core.importer.protos import write_type
from orpheus_core.ops.spec import find_spec
from orpheus_core.plan.operands import Operand
from orpheus_core.plan.plan import Plan
from orpheus_core.types import TensorType
from orpheus_experiments.layer.work import name_of
from orpheus_experiments.profile.layers import LayerProfile, LayerTime

__all__ = ["PREFIX", "annotated", "seconds_by_name"]

#: Of every key of the metadata.
PREFIX = "orpheus."
#: The first IR version whose nodes have metadata.
_IR_VERSION = 10


def annotated(plan: Plan, found: LayerProfile, facts: Mapping[str, str]) -> onnx.ModelProto:
    """The plan's graph with the profile's times; ``facts`` go into the model's own metadata.

    Keys of a node: ``kernel``, ``why``, ``group`` (the operators that a fused one stands for), ``layouts``, ``us``
    (median), ``share`` (of the sum of all steps), ``gflops``, ``conversion_us`` (steps that change the layout or the
    device of what the node reads, or of an output). A node without a kernel has no time: its memory is its input's.
    """
    graph = _named(plan.graph)
    model = to_onnx(graph, metadata={PREFIX + k: v for k, v in facts.items()})
    model.ir_version = max(model.ir_version, _IR_VERSION)
    times = _times(plan, found)
    decisions = dict(zip(plan.graph.nodes, plan.selection.decisions))
    conversions = _conversions(plan, found)
    total = found.seconds or 1.0
    taken = {v.name for v in (*model.graph.input, *model.graph.output)}
    for original, node, proto in zip(plan.graph.nodes, graph.nodes, model.graph.node):
        decision = decisions[original]
        kept = {"kernel": decision.candidate.label, "why": decision.why}
        group = _group(node)
        if len(group) > 1 or group[0] != node.op:
            kept["group"] = " + ".join(group)
        time = times.get(original)
        if time is not None:
            kept["us"] = f"{time.seconds * 1e6:.2f}"
            kept["share"] = f"{100 * time.seconds / total:.2f}%"
            if time.flops:
                kept["gflops"] = f"{time.flops / 1e9:.2f}"
        if original in conversions:
            kept["conversion_us"] = f"{conversions[original] * 1e6:.2f}"
        for key, value in kept.items():
            proto.metadata_props.add(key=PREFIX + key, value=value)
        proto.doc_string = _sentence(kept)
        _write_types(node, proto, model.graph, taken)
    return model


def seconds_by_name(plan: Plan, found: LayerProfile) -> dict[str, float]:
    """Seconds of each node, by its name in the annotated model, conversions of what it reads included."""
    times, conversions = _times(plan, found), _conversions(plan, found)
    named = zip(plan.graph.nodes, _named(plan.graph).nodes)
    spent = {new.name: (times.get(old), conversions.get(old, 0.0)) for old, new in named}
    return {name: own.seconds + moved for name, (own, moved) in spent.items() if own is not None}


def _sentence(kept: Mapping[str, str]) -> str:
    time = f", {kept['us']} us ({kept['share']})" if "us" in kept else ""
    return f"{kept.get('group', '')}{': ' if 'group' in kept else ''}{kept['kernel']}{time}"


def _named(graph: Graph) -> Graph:
    """Every node with a name of its own, since what is laid over the graph finds nodes by name."""
    taken: set[str] = set()
    nodes = []
    for node in graph.nodes:
        base = name = name_of(node)
        number = 1
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        nodes.append(node if node.name == name else node.replace(name=name))
    return graph.replace(nodes=tuple(nodes))


def _group(node: Node) -> list[str]:
    spec = find_spec(node.domain, node.op, node.version) if node.domain else None
    if spec is None or spec.decompose is None:
        return [node.op]
    return [part.op for part in spec.decompose(node).nodes]


def _times(plan: Plan, found: LayerProfile) -> dict[Node, LayerTime]:
    """The time of each node's own step."""
    nodes = set(plan.graph.nodes)
    return {o.node: time for o, time in zip(plan.program.operations, found.layers) if o.node in nodes}


def _conversions(plan: Plan, found: LayerProfile) -> dict[Node, float]:
    """Seconds of conversions by the first node that reads what they make, or, for outputs, by the node before."""
    nodes = set(plan.graph.nodes)
    spent: dict[Node, float] = {}
    waiting: dict[Operand, tuple[float, Node | None]] = {}
    makers: dict[Operand, Node] = {}
    for operation, time in zip(plan.program.operations, found.layers):
        carried = [waiting.pop(o) for o in operation.reads if o in waiting]
        seconds = sum(s for s, _ in carried)
        if operation.node in nodes:
            makers.update(dict.fromkeys(operation.writes, operation.node))
            if carried:
                spent[operation.node] = spent.get(operation.node, 0.0) + seconds
            continue
        origin = carried[0][1] if carried else next((makers.get(o.root()[0]) for o in operation.reads), None)
        for operand in operation.writes:
            waiting[operand] = (seconds + time.seconds, origin)
    for seconds, origin in waiting.values():
        if origin is not None:
            spent[origin] = spent.get(origin, 0.0) + seconds
    return spent


def _write_types(node: Node, proto: onnx.NodeProto, graph: onnx.GraphProto, taken: set[str]) -> None:
    """Types of what the node gives, so that edges show their shapes."""
    present = (v for v in node.outputs if v is not None)
    for name, value in zip(filter(None, proto.output), present):
        if name not in taken and isinstance(value.type, TensorType):
            taken.add(name)
            info = graph.value_info.add(name=name)
            write_type(TensorType(value.type.dtype, value.type.shape), info.type)
