"""A walk over the whole model before any of it is used: sizes, nesting, functions, opsets, operators.

Expansion of functions is counted by arithmetic, so that a model of a kilobyte cannot ask for a billion nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import onnx

from orpheus_core.errors import LimitError, ModelError, UnsupportedModelError
from orpheus_core.importer.limits import Limits
from orpheus_core.ops.spec import find_spec, latest_version

#: What names a model-local function: domain, name, overload.
FunctionKey: TypeAlias = tuple[str, str, str]


def domain_name(domain: str) -> str:
    """The domain with the default one written as the empty string."""
    return "" if domain == "ai.onnx" else domain


def function_key(node: onnx.NodeProto) -> FunctionKey:
    """The key of the function that a node would call."""
    return domain_name(node.domain), node.op_type, node.overload


def read_opsets(entries: Iterable[onnx.OperatorSetIdProto], place: str) -> dict[str, int]:
    """Domain to version. Raises ModelError when one is listed with two versions or is not positive."""
    opsets: dict[str, int] = {}
    for entry in entries:
        domain = domain_name(entry.domain)
        if opsets.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"{place}: imports domain {domain or 'ai.onnx'!r} with two versions")
        if entry.version < 1:
            raise ModelError(f"{place}: opset {entry.version} of domain {domain or 'ai.onnx'!r} does not exist")
    return opsets


class Survey:
    """Facts of a model that passed: its functions by key, opsets, and how many nodes it has when expanded."""

    def __init__(self, model: onnx.ModelProto, limits: Limits) -> None:
        self._limits = limits
        self._unknown: dict[str, None] = {}
        self._cost: dict[FunctionKey, tuple[int, int]] = {}
        self._open: list[FunctionKey] = []
        self.opsets = read_opsets(model.opset_import, "the model")
        if not self.opsets and model.ir_version < 3:
            self.opsets = {"": 1}
        self.functions = self._read_functions(model.functions)
        self.function_opsets = {
            key: read_opsets(f.opset_import, f"function {f.name!r}") for key, f in self.functions.items()
        }
        self.nodes, _ = self._graph(model.graph, self.opsets, 0, "the model's graph")
        for key in self.functions:
            if key not in self._cost:
                self._function(key, known_only=True)
        if self._unknown:
            raise UnsupportedModelError(
                f"unknown operators: {', '.join(self._unknown)}. They are in no opset of the installed onnx "
                f"{onnx.__version__}, not among Orpheus's contrib operators, and not functions of this model"
            )

    def _read_functions(self, protos: Iterable[onnx.FunctionProto]) -> dict[FunctionKey, onnx.FunctionProto]:
        functions: dict[FunctionKey, onnx.FunctionProto] = {}
        for function in protos:
            key = (domain_name(function.domain), function.name, function.overload)
            if key in functions:
                raise ModelError(f"function {function.domain}:{function.name} is defined twice")
            functions[key] = function
            if len(functions) > self._limits.functions:
                raise LimitError(f"the model has more than {self._limits.functions} functions")
        return functions

    def _graph(
        self, graph: onnx.GraphProto, opsets: Mapping[str, int], depth: int, place: str, known_only: bool = False
    ) -> tuple[int, int]:
        return self._nodes(graph.node, opsets, depth, place, known_only)

    def _nodes(
        self,
        nodes: Iterable[onnx.NodeProto],
        opsets: Mapping[str, int],
        depth: int,
        place: str,
        known_only: bool,
    ) -> tuple[int, int]:
        """How many nodes these are when expanded, and how deep they nest below here."""
        if depth > self._limits.depth:
            raise LimitError(f"{place}: subgraphs and functions nest more than {self._limits.depth} deep")
        count = deepest = 0
        for node in nodes:
            key = function_key(node)
            if key in self.functions:
                size, below = self._function(key, known_only)
                count += size
                deepest = max(deepest, below + 1)
            else:
                count += 1
                if not known_only:
                    self._check_operator(node, opsets, place)
            for attribute in node.attribute:
                for body in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                    inner = f"{place}, node {node.name!r} ({node.op_type}), subgraph {attribute.name!r}"
                    size, below = self._graph(body, opsets, depth + 1, inner, known_only)
                    count += size
                    deepest = max(deepest, below + 1)
            if depth + deepest > self._limits.depth:
                raise LimitError(f"{place}: subgraphs and functions nest more than {self._limits.depth} deep")
            if count > self._limits.nodes:
                raise LimitError(
                    f"{place}: has more than {self._limits.nodes} nodes once functions are expanded"
                )
        return count, deepest

    def _function(self, key: FunctionKey, known_only: bool = False) -> tuple[int, int]:
        if key in self._cost:
            return self._cost[key]
        name = f"function {key[0]}:{key[1]}"
        if key in self._open:
            raise ModelError(f"{name} calls itself, through {' -> '.join(k[1] for k in self._open)} -> {key[1]}")
        if len(self._open) > self._limits.depth:
            raise LimitError(f"{name}: functions nest more than {self._limits.depth} deep")
        self._open.append(key)
        found = self._nodes(self.functions[key].node, self.function_opsets[key], 0, name, known_only)
        self._open.pop()
        self._cost[key] = found
        return found

    def _check_operator(self, node: onnx.NodeProto, opsets: Mapping[str, int], place: str) -> None:
        domain = domain_name(node.domain)
        shown = f"{domain}:{node.op_type}" if domain else node.op_type
        version = opsets.get(domain)
        newest = latest_version(domain)
        if newest == 0:
            self._unknown[f"{shown} (unknown domain)"] = None
            return
        if version is None:
            raise ModelError(
                f"{place}, node {node.name!r} ({shown}): domain {domain or 'ai.onnx'!r} is not in opset_import"
            )
        if version > newest:
            raise UnsupportedModelError(
                f"{place} uses opset {version} of domain {domain or 'ai.onnx'!r}; the newest known here is {newest} "
                f"(onnx {onnx.__version__}). Install a newer onnx, or export for opset {newest}"
            )
        if find_spec(domain, node.op_type, version) is None:
            self._unknown[f"{shown} (opset {version})"] = None
