"""Graph to ModelProto. Orpheus's own operators become functions of the model, so that any runtime can run it."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from orpheus_core.errors import UnsupportedModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer.attributes import attribute_kind, write_attribute
from orpheus_core.importer.infer import infer_types
from orpheus_core.importer.protos import write_type
from orpheus_core.importer.tensors import write_tensor
from orpheus_core.importer.upgrade import oldest_form
from orpheus_core.ops.spec import ORPHEUS_DOMAIN, find_spec, latest_version
from orpheus_core.types import UnknownType

_PRODUCER = "orpheus"
_FOREVER = 2**31
# Old opsets are written only when a node needs one: runtimes drop their oldest kernels.
_USUAL_OPSET = 17


def to_onnx(
    graph: Graph,
    *,
    opset: int | None = None,
    ir_version: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The model of a graph.

    ``opset`` is the version of the default domain to declare: by default the smallest from 17 on that has all nodes.
    Forms whose newest version only widened the older one are written as the older. Raises UnsupportedModelError when
    two nodes are of forms that no single opset has, or when ``opset`` is not one at which all nodes keep their
    meaning.
    """
    parts = _Parts(graph)
    versions = parts.opsets(opset)
    writer = _Writer(versions, parts)
    model = onnx.ModelProto(producer_name=_PRODUCER)
    writer.graph(graph, model.graph)
    for domain in sorted(versions):
        model.opset_import.add(domain=domain, version=versions[domain])
    model.functions.extend(writer.functions)
    needed = onnx.helper.find_min_ir_version_for(model.opset_import, True)
    model.ir_version = ir_version or max(needed, 10 if writer.functions else 7)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    return model


class _Parts:
    """The decomposition of every Orpheus operator in a graph, and the opsets that all nodes together allow."""

    def __init__(self, graph: Graph) -> None:
        self.of: dict[Node, Graph] = {}
        self._ranges: dict[str, tuple[int, int, str, str]] = {"": (1, _FOREVER, "", "")}
        self._collect(graph)

    def _collect(self, graph: Graph) -> None:
        made = {v for node in graph.nodes for v in node.results}
        if len(made.intersection(graph.outputs)) < len(graph.outputs):
            self._need("", 13, _FOREVER, "Identity")
        for node in graph.walk():
            spec = find_spec(node.domain, node.op, node.version)
            if spec is not None and spec.decompose is not None:
                self.of[node] = infer_types(spec.decompose(node))
                self._need(node.domain, 1, _FOREVER, node.op)
                self._need("", 13, _FOREVER, "Constant")
                self._collect(self.of[node])
            else:
                oldest = oldest_form(node)
                self._need(
                    node.domain, oldest.version if oldest else node.version, _last_opset(node), node.op_id
                )

    def _need(self, domain: str, low: int, high: int, op: str) -> None:
        old_low, old_high, old_op, capped = self._ranges.get(domain, (1, _FOREVER, op, op))
        if low > old_low:
            old_low, old_op = low, op
        if high < old_high:
            old_high, capped = high, op
        self._ranges[domain] = (old_low, old_high, old_op, capped)

    def opsets(self, wanted: int | None) -> dict[str, int]:
        found = {}
        for domain, (low, high, op, capped) in self._ranges.items():
            version = wanted if wanted is not None and domain == "" else low
            if wanted is None and domain == "":
                version = max(low, min(_USUAL_OPSET, high))
            if not low <= version <= high:
                raise UnsupportedModelError(
                    f"no opset of domain {domain or 'ai.onnx'!r} suits every node: {op} needs {low} or newer"
                    + (f", {capped} changes its meaning after {high}" if high < _FOREVER else "")
                    + ("" if wanted is None else f"; opset {wanted} was asked for")
                )
            found[domain] = version
        return found


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
    def __init__(self, versions: Mapping[str, int], parts: _Parts) -> None:
        self._names = _Names()
        self._versions = versions
        self._parts = parts
        self.functions: list[onnx.FunctionProto] = []

    def graph(self, graph: Graph, into: onnx.GraphProto, outer: frozenset[Value] = frozenset()) -> None:
        into.name = graph.name or "graph"
        # Inputs and outputs are named first, so that theirs are the names that stay as they are.
        for value in graph.inputs:
            _write_info(self._names.name(value), value, into.input.add())
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
            _write_info(name, value, into.output.add())

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
        into.op_type, into.domain, into.name = node.op, node.domain, node.name
        if node in self._parts.of:
            into.input.extend(names.name(v) for v in node.inputs if v is not None)
            into.output.extend(names.name(v) for v in node.results)
            into.op_type = self._function(node)
            return
        into.input.extend("" if v is None else names.name(v) for v in node.inputs)
        into.output.extend("" if v is None else names.name(v) for v in node.outputs)
        spec = find_spec(node.domain, node.op, self._versions.get(node.domain, node.version))
        for name, value in node.attributes.items():
            if spec is not None and name not in spec.schema.attributes:
                continue  # newer than the opset that is written, and at its default
            write_attribute(
                name,
                value,
                attribute_kind(spec, name, value),
                into.attribute.add(),
                lambda body, proto: self.graph(body, proto, visible),
            )

    def _function(self, node: Node) -> str:
        """The name of a new function that computes this node; its body holds the attributes."""
        body = self._parts.of[node]
        name = f"{node.op}_{len(self.functions)}"
        function = onnx.FunctionProto(name=name, domain=ORPHEUS_DOMAIN)
        self.functions.append(function)
        names = _Names()
        function.input.extend(names.name(v) for v in body.inputs)
        for value in body.constants:
            assert value.const is not None
            constant = function.node.add(op_type="Constant", output=[names.name(value)])
            write_attribute("value", value.const, onnx.AttributeProto.TENSOR, constant.attribute.add())
        for part in body.nodes:
            self._node(part, function.node.add(), names)
        function.output.extend(names.name(v) for v in body.outputs)
        for domain in sorted(self._versions):
            function.opset_import.add(domain=domain, version=self._versions[domain])
        return name


def _write_info(name: str, value: Value, into: onnx.ValueInfoProto) -> None:
    into.name = name
    if not isinstance(value.type, UnknownType):
        write_type(value.type, into.type)


def _last_opset(node: Node) -> int:
    """The last opset at which the node's form is the current one."""
    newest = latest_version(node.domain)
    version = node.version
    while version < newest:
        following = find_spec(node.domain, node.op, version + 1)
        if following is None or following.version != node.version:
            return version
        version += 1
    return _FOREVER
