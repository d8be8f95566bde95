"""Graph to ModelProto. Orpheus's own operators become functions of the model, so that any runtime can run it."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from orpheus_core.errors import UnsupportedModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer.attributes import attribute_kind, write_attribute
from orpheus_core.importer.protos import write_type
from orpheus_core.importer.tensors import write_tensor
from orpheus_core.ops.spec import ORPHEUS_DOMAIN, OpSpec, find_spec, latest_version
from orpheus_core.types import UnknownType, type_of_array

_PRODUCER = "orpheus"


def to_onnx(
    graph: Graph, *, opset: int | None = None, ir_version: int | None = None, metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """The model of a graph.

    ``opset`` is the version of the default domain to declare: by default the smallest at which every node means what
    it says. Raises UnsupportedModelError when there is none, that is when two nodes are of forms that no single
    opset has, or ``opset`` is not one at which every node keeps its meaning.
    """
    writer = _Writer()
    model = onnx.ModelProto(producer_name=_PRODUCER)
    writer.graph(graph, model.graph, main=True)
    versions = writer.opsets(opset)
    for domain in sorted(versions):
        model.opset_import.add(domain=domain, version=versions[domain])
    for function in writer.functions.values():
        for domain in sorted(versions):
            function.opset_import.add(domain=domain, version=versions[domain])
        model.functions.append(function)
    model.ir_version = ir_version or onnx.helper.find_min_ir_version_for(model.opset_import, True)
    if model.functions and ir_version is None:
        model.ir_version = max(model.ir_version, 10)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    return model


class _Names:
    """Gives every value a name of its own, its present one where that is free."""

    def __init__(self, prefix: str = "") -> None:
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._prefix = prefix

    def name(self, value: Value) -> str:
        found = self._names.get(value)
        if found is None:
            base = found = self._prefix + (value.name or "v")
            number = 1
            while found in self._taken:
                found = f"{base}_{number}"
                number += 1
            self._taken.add(found)
            self._names[value] = found
        return found


class _Writer:
    def __init__(self) -> None:
        self._names = _Names()
        self._ranges: dict[str, tuple[int, int, str, str]] = {}
        self.functions: dict[str, onnx.FunctionProto] = {}

    def graph(self, graph: Graph, into: onnx.GraphProto, *, main: bool = False, outer: frozenset[Value] = frozenset()) -> None:
        into.name = graph.name or "graph"
        # Inputs and outputs get their names first, so that these are the ones that stay as they are.
        for value in graph.inputs:
            info = into.input.add(name=self._names.name(value))
            if not isinstance(value.type, UnknownType):
                write_type(value.type, info.type)
        returned = self._returned(graph)
        for value, array in graph.defaults.items():
            into.initializer.append(write_tensor(array, self._names.name(value)))
        constants = [v for v in graph.constants if v not in outer]
        for value in constants:
            assert value.const is not None
            into.initializer.append(write_tensor(value.const, self._names.name(value)))
        visible = outer | frozenset(constants)
        for node in graph.nodes:
            self._node(node, into.node.add(), self._names, visible)
        for name, value, source in returned:
            if source is not None:
                into.node.add(op_type="Identity", input=[self._names.name(source)], output=[name])
                self._need("", 13, 2**31, "Identity")
            info = into.output.add(name=name)
            if not isinstance(value.type, UnknownType):
                write_type(value.type, info.type)

    def _returned(self, graph: Graph) -> list[tuple[str, Value, Value | None]]:
        """Output names; an output that no node of this graph makes, or that repeats, is made by an Identity."""
        made = {v for node in graph.nodes for v in node.results}
        found: list[tuple[str, Value, Value | None]] = []
        for value in graph.outputs:
            if value in made:
                made.discard(value)
                found.append((self._names.name(value), value, None))
            else:
                found.append((self._names.name(Value(value.name)), value, value))
        return found

    def _node(
        self, node: Node, into: onnx.NodeProto, names: _Names, visible: frozenset[Value] = frozenset()
    ) -> None:
        spec = find_spec(node.domain, node.op, node.version)
        into.op_type, into.domain, into.name = node.op, node.domain, node.name
        into.input.extend("" if v is None else names.name(v) for v in node.inputs)
        into.output.extend("" if v is None else names.name(v) for v in node.outputs)
        if spec is not None and spec.decompose is not None:
            into.op_type = self._function(node, spec)
            into.input[:] = [name for name in into.input if name]
            into.output[:] = [name for name in into.output if name]
            self._need(node.domain, 1, 2**31, node.op)
            return
        self._need(node.domain, node.version, _last_opset(node), node.op_id)
        for name, value in node.attributes.items():
            write_attribute(
                name,
                value,
                attribute_kind(spec, name, value),
                into.attribute.add(),
                lambda body, proto: self.graph(body, proto, outer=visible),
            )

    def _function(self, node: Node, spec: OpSpec) -> str:
        """The name of the function that computes this node: one per node, as its body holds the attributes."""
        assert spec.decompose is not None
        name = f"{node.op}_{len(self.functions)}"
        function = onnx.FunctionProto(name=name, domain=ORPHEUS_DOMAIN)
        body = spec.decompose(node)
        names = _Names()
        function.input.extend(names.name(v) for v in body.inputs)
        for value in body.constants:
            assert value.const is not None
            constant = function.node.add(op_type="Constant", output=[names.name(value)])
            write_attribute("value", value.const, onnx.AttributeProto.TENSOR, constant.attribute.add())
        for part in body.nodes:
            self._node(part, function.node.add(), names)
        function.output.extend(names.name(v) for v in body.outputs)
        self.functions[name] = function
        return name

    def _need(self, domain: str, low: int, high: int, op: str) -> None:
        old_low, old_high, old_op, capped = self._ranges.get(domain, (1, 2**31, op, op))
        if low > old_low:
            old_low, old_op = low, op
        if high < old_high:
            old_high, capped = high, op
        self._ranges[domain] = (old_low, old_high, old_op, capped)

    def opsets(self, wanted: int | None) -> dict[str, int]:
        found = {}
        self._ranges.setdefault("", (latest_version(""), 2**31, "", ""))
        for domain, (low, high, op, capped) in self._ranges.items():
            version = wanted if wanted is not None and domain == "" else low
            if not low <= version <= high:
                raise UnsupportedModelError(
                    f"no opset of domain {domain or 'ai.onnx'!r} suits every node: {op} needs {low} or newer, "
                    f"{capped} changes its meaning after {high}"
                    + ("" if wanted is None else f"; opset {wanted} was asked for")
                )
            found[domain] = version
        return found


def _last_opset(node: Node) -> int:
    """The last opset at which the node's form is the current one."""
    if node.domain in (ORPHEUS_DOMAIN,):
        return 2**31
    newest = latest_version(node.domain)
    spec = find_spec(node.domain, node.op, newest)
    if spec is not None and spec.version == node.version:
        return 2**31
    version = node.version
    while version < newest:
        following = find_spec(node.domain, node.op, version + 1)
        if following is None or following.version != node.version:
            break
        version += 1
    return version


__all__ = ["to_onnx", "type_of_array"]
