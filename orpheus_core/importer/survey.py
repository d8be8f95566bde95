"""A walk over the whole model before any of it is used: sizes, nesting, functions, opsets, operators.

Expansion of functions is counted by arithmetic, so that a model of a kilobyte cannot ask for a billion nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import onnx

from orpheus_core.errors import LimitError, ModelError, ParseError, UnsupportedModelError
from orpheus_core.importer.limits import Limits
from orpheus_core.ops.spec import ORPHEUS_DOMAIN, find_spec, latest_version

#: What names a model-local function: domain, name, overload.
FunctionKey: TypeAlias = tuple[str, str, str]
# After so many nodes of unknown operators the list is long enough.
_MOST_UNKNOWN = 5_000


def domain_name(domain: str) -> str:
    """The domain with the default one written as the empty string."""
    return "" if domain == "ai.onnx" else domain


def check_text(place: str, *texts: object) -> None:
    """Raise ParseError when a name is not UTF-8; protobuf hands such names out as bytes."""
    for text in texts:
        if isinstance(text, bytes):
            raise ParseError(f"{place}: the name {text[:40]!r} is not UTF-8; the file is damaged")


def function_key(node: onnx.NodeProto) -> FunctionKey:
    """The key of the function that a node would call."""
    return domain_name(node.domain), node.op_type, node.overload


def read_opsets(entries: Iterable[onnx.OperatorSetIdProto], place: str) -> dict[str, int]:
    """Domain to version. Raises ModelError when one is listed with two versions or is not positive."""
    opsets: dict[str, int] = {}
    for entry in entries:
        domain = domain_name(entry.domain)
        check_text(place, domain)
        if opsets.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"{place}: imports domain {domain or 'ai.onnx'!r} with two versions")
        if entry.version < 1:
            raise ModelError(
                f"{place}: opset {entry.version} of domain {domain or 'ai.onnx'!r} does not exist"
            )
    return opsets


class _Cost(NamedTuple):
    """What some nodes come to when expanded: how many, how deep, and what functions add to the model."""

    nodes: int = 0
    depth: int = 0
    added_nodes: int = 0
    added_bytes: int = 0


class Survey:
    """Facts of a model that passed: its functions by key, opsets, and how many nodes it has when expanded."""

    def __init__(self, model: onnx.ModelProto, limits: Limits) -> None:
        self._limits = limits
        self._unknown: dict[str, None] = {}
        self._unknown_seen = 0
        self._cost: dict[FunctionKey, _Cost] = {}
        self._open: list[FunctionKey] = []
        self.opsets = read_opsets(model.opset_import, "the model")
        if not self.opsets and model.ir_version < 3:
            self.opsets = {"": 1}
        self.functions = self._read_functions(model.functions)
        self.function_opsets = {
            key: read_opsets(f.opset_import, f"function {f.name!r}") for key, f in self.functions.items()
        }
        self.nodes = self._nodes(model.graph.node, self.opsets, 0, "the model's graph", False).nodes
        for key in self.functions:
            if key not in self._cost:
                self._function(key, known_only=True)
        if self._unknown:
            self._refuse_unknown()

    def _read_functions(self, protos: Iterable[onnx.FunctionProto]) -> dict[FunctionKey, onnx.FunctionProto]:
        functions: dict[FunctionKey, onnx.FunctionProto] = {}
        for function in protos:
            key = (domain_name(function.domain), function.name, function.overload)
            check_text("a function", *key, *function.input, *function.output, *function.attribute)
            check_text("a function", *(a.name for a in function.attribute_proto))
            if key in functions:
                raise ModelError(f"function {function.domain}:{function.name} is defined twice")
            functions[key] = function
            if len(functions) > self._limits.functions:
                raise LimitError(f"the model has more than {self._limits.functions} functions")
        return functions

    def _nodes(
        self,
        nodes: Iterable[onnx.NodeProto],
        opsets: Mapping[str, int],
        depth: int,
        place: str,
        known_only: bool,
    ) -> _Cost:
        limits = self._limits
        if depth > limits.depth:
            raise LimitError(f"{place}: subgraphs and functions nest more than {limits.depth} deep")
        count = deepest = added = size = 0
        for node in nodes:
            key = function_key(node)
            check_text(place, *key, node.name, *node.input, *node.output)
            parts = []
            if key in self.functions:
                parts.append(self._function(key, known_only))
            else:
                count += 1
                if not known_only:
                    self._check_operator(node, opsets, place)
            for attribute in node.attribute:
                check_text(place, attribute.name, attribute.ref_attr_name)
                for body in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                    inner = f"{place}, node {shorten(node.name)!r} ({shorten(node.op_type)}), a subgraph"
                    parts.append(self._nodes(body.node, opsets, depth + 1, inner, known_only))
            for part in parts:
                count += part.nodes
                deepest = max(deepest, part.depth + 1)
                added += part.added_nodes
                size += part.added_bytes
            if depth + deepest > limits.depth:
                raise LimitError(f"{place}: subgraphs and functions nest more than {limits.depth} deep")
            if count > limits.nodes or added > limits.added_nodes or size > limits.added_bytes:
                raise LimitError(
                    f"{place}: functions expand to too much: {count} nodes so far, {added} of them and {size} bytes "
                    f"added by functions (limits {limits.nodes}, {limits.added_nodes} and {limits.added_bytes})"
                )
        return _Cost(count, deepest, added, size)

    def _function(self, key: FunctionKey, known_only: bool = False) -> _Cost:
        if key in self._cost:
            return self._cost[key]
        name = f"function {shorten(key[0])}:{shorten(key[1])}"
        if key in self._open:
            through = " -> ".join(shorten(k[1]) for k in self._open)
            raise ModelError(f"{name} calls itself, through {through} -> {shorten(key[1])}")
        if len(self._open) > self._limits.depth:
            raise LimitError(f"{name}: functions nest more than {self._limits.depth} deep")
        self._open.append(key)
        function = self.functions[key]
        inner = self._nodes(function.node, self.function_opsets[key], 0, name, known_only)
        self._open.pop()
        # Each call adds the body's own nodes to what its calls add.
        own = sum(_weight(node) for node in function.node)
        found = _Cost(
            inner.nodes, inner.depth, inner.added_nodes + len(function.node), inner.added_bytes + own
        )
        self._cost[key] = found
        return found

    def _check_operator(self, node: onnx.NodeProto, opsets: Mapping[str, int], place: str) -> None:
        domain = domain_name(node.domain)
        shown = shorten(f"{domain}:{node.op_type}" if domain else node.op_type)
        version = opsets.get(domain)
        # Orpheus's own operators are made by its passes; models it writes bring them along as functions.
        newest = 0 if domain == ORPHEUS_DOMAIN else latest_version(domain)
        if newest == 0:
            self._note_unknown(f"{shown} (unknown domain)")
            return
        if version is None:
            raise ModelError(
                f"{place}, node {shorten(node.name)!r} ({shown}): domain {domain or 'ai.onnx'!r} is not in opset_import"
            )
        if version > newest:
            raise UnsupportedModelError(
                f"{place} uses opset {version} of domain {domain or 'ai.onnx'!r}; the newest known here is {newest} "
                f"(onnx {onnx.__version__}). Install a newer onnx, or export for opset {newest}"
            )
        if find_spec(domain, node.op_type, version) is None:
            self._note_unknown(f"{shown} (opset {version})")

    def _note_unknown(self, text: str) -> None:
        self._unknown[text] = None
        self._unknown_seen += 1
        if self._unknown_seen >= _MOST_UNKNOWN:
            self._refuse_unknown()

    def _refuse_unknown(self) -> None:
        raise UnsupportedModelError(
            f"unknown operators: {', '.join(self._unknown)}. They are in no opset of the installed onnx "
            f"{onnx.__version__}, not among Orpheus's contrib operators, and not functions of this model"
        )


def _weight(node: onnx.NodeProto) -> int:
    """Bytes that one more copy of a node takes; its tensors are shared by all copies."""
    shared = sum(a.t.ByteSize() for a in node.attribute if a.HasField("t"))
    return int(node.ByteSize() - shared)


def shorten(name: str) -> str:
    """A name cut to a length fit for messages."""
    return name if len(name) <= 80 else f"{name[:60]}...{name[-17:]}"
