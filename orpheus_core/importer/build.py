"""GraphProto to Graph: names become values, functions are inlined, old operator forms become new ones.

Everything is checked as it is met: single assignment, order, arity, attributes, operand types, and what the
operator's own validator and type inference say.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import onnx

from orpheus_core.errors import ModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer import upgrade, validate
from orpheus_core.importer.attributes import AttributeReader
from orpheus_core.importer.constants import constant_array
from orpheus_core.importer.infer import Inference
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.operands import check_arity, check_types
from orpheus_core.importer.protos import read_type
from orpheus_core.importer.relations import agree
from orpheus_core.importer.scope import Scope
from orpheus_core.importer.survey import (
    FunctionKey,
    Survey,
    check_text,
    domain_name,
    function_key,
    shorten,
)
from orpheus_core.importer.tensors import TensorReader
from orpheus_core.ops.build import make_node
from orpheus_core.ops.spec import OpSpec, find_spec
from orpheus_core.types import (
    Array,
    UnknownType,
    ValueType,
)

_A = onnx.AttributeProto
_PLAIN = frozenset((_A.INT, _A.FLOAT, _A.STRING, _A.INTS, _A.FLOATS, _A.STRINGS))
_LONG = 4096  # bytes of a constant; longer ones are not compared with other nodes'
_WEIGHTS = 16  # constants of more floats are weights, whose values no check of a node looks at


@dataclass
class _Env:
    """Where nodes are being read: their names, opsets, function attributes, and the list they go to."""

    scope: Scope
    opsets: Mapping[str, int]
    place: str
    prefix: str = ""
    bindings: Mapping[str, onnx.AttributeProto] | None = None
    nodes: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class _Outcome:
    """What became of a node: the node, and for each output its type and its value where that is known."""

    node: Node
    outputs: tuple[tuple[ValueType, Array | None] | None, ...]


class Builder:
    """Builds the Graph of one surveyed model."""

    def __init__(self, survey: Survey, tensors: TensorReader, ir_version: int, limits: Limits) -> None:
        self._survey = survey
        self._tensors = tensors
        self._attributes = AttributeReader(tensors, limits)
        self._ir_version = ir_version
        self._limits = limits
        self._inference = Inference(limits)
        self._alike: dict[Hashable, _Outcome] = {}

    def main(self, proto: onnx.GraphProto) -> Graph:
        """The model's graph. Raises a ModelError that names the place of whatever is wrong."""
        env = _Env(Scope(), self._survey.opsets, f"graph {shorten(str(proto.name))!r}")
        return self._graph(proto, env, main=True)

    def _graph(self, proto: onnx.GraphProto, env: _Env, *, main: bool) -> Graph:
        check_text(env.place, proto.name)
        stored = {t.name for t in proto.initializer} | {t.values.name for t in proto.sparse_initializer}
        inputs: list[Value] = []
        defaulted: dict[str, Value] = {}
        for info in proto.input:
            if main and info.name in stored and self._ir_version < 4:
                continue  # before IR version 4 every initializer had to be listed as an input too
            check_text(env.place, info.name)
            place = f"{env.place}, input {shorten(info.name)!r}"
            type_ = read_type(info.type, place, self._limits)
            if main and isinstance(type_, UnknownType):
                raise ModelError(f"{place}: has no type; graph inputs must declare one")
            if not info.name:
                raise ModelError(f"{env.place}: an input has no name")
            value = Value(env.prefix + info.name, type_)
            env.scope.define(info.name, value, place)
            inputs.append(value)
            if info.name in stored:
                defaulted[info.name] = value
        defaults = self._initializers(proto, env, defaulted, main)
        for node in proto.node:
            self._node(node, env)
        outputs = tuple(self._output(info, env, main) for info in proto.output)
        return Graph(tuple(inputs), outputs, tuple(env.nodes), proto.name or "graph", defaults)

    def _initializers(
        self, proto: onnx.GraphProto, env: _Env, defaulted: Mapping[str, Value], main: bool
    ) -> dict[Value, Array]:
        defaults: dict[Value, Array] = {}
        seen: set[str] = set()
        stored = chain(
            ((t.name, partial(self._tensors.dense, t, env.place)) for t in proto.initializer),
            ((t.values.name, partial(self._tensors.sparse, t, env.place)) for t in proto.sparse_initializer),
        )
        for name, read in stored:
            check_text(env.place, name)
            place = f"{env.place}, initializer {shorten(name)!r}"
            if not name or name in seen:
                raise ModelError(f"{place}: initializers need names of their own")
            seen.add(name)
            array = read()
            value = Value.constant(env.prefix + name, array)
            if name not in defaulted:
                env.scope.define(name, value, place)
            elif main:
                _check_agrees(defaulted[name].type, value.type, f"{place} and the input it is the default of")
                defaults[defaulted[name]] = array
        return defaults

    def _output(self, info: onnx.ValueInfoProto, env: _Env, main: bool) -> Value:
        check_text(env.place, info.name)
        place = f"{env.place}, output {shorten(info.name)!r}"
        value = env.scope.find(info.name, place)
        if value is None:
            raise ModelError(f"{place}: is an omitted optional input")
        declared = read_type(info.type, place, self._limits)
        _check_agrees(declared, value.type, place, dims=main)
        return value

    def _node(self, proto: onnx.NodeProto, env: _Env) -> None:
        op_id = f"{proto.domain}:{proto.op_type}" if domain_name(proto.domain) else proto.op_type
        place = (
            f"{env.place}, node {shorten(proto.name or next(iter(proto.output), ''))!r} ({shorten(op_id)})"
        )
        given = _given_attributes(proto, env, place)
        key = function_key(proto)
        inputs = [env.scope.find(name, place) if name else None for name in proto.input]
        if key in self._survey.functions:
            self._call(key, proto, inputs, given, env, place)
            return
        domain = domain_name(proto.domain)
        spec = find_spec(domain, proto.op_type, env.opsets[domain])
        assert spec is not None  # the survey refused unknown operators
        while inputs and inputs[-1] is None:
            inputs.pop()
        names = list(proto.output)
        while names and not names[-1]:
            names.pop()
        check_arity(spec, inputs, place)
        check_arity(spec, names, place, outputs=True)
        if proto.op_type == "Constant" and not domain:
            constant = Value.constant(
                env.prefix + names[0], constant_array(spec, given, self._attributes, place)
            )
            self._define(names[0], constant, env, place)
            return
        alike = self._likeness(spec, inputs, names, given)
        known = None if alike is None else self._alike.get(alike)
        if known is not None:
            self._repeat(known, proto, inputs, names, env, place)
            return
        attributes = self._attributes.read(
            spec, given, lambda body, name: self._subgraph(body, name, env, place), place
        )
        bodies = [a for a in attributes.values() if isinstance(a, Graph)]
        declared = [(v, v.type) for body in bodies for v in body.inputs]
        check_types(spec, inputs, (), place)
        outputs = tuple(Value(env.prefix + name) if name else None for name in names)
        node = Node(
            proto.op_type,
            tuple(inputs),
            outputs,
            attributes,
            env.prefix + proto.name if proto.name else "",
            domain,
            spec.version,
        )
        parts = self._emit(node, env, place)
        check_types(spec, inputs, outputs, place)
        if (
            alike is not None
            and len(parts) == 1
            and parts[0].inputs == node.inputs
            and parts[0].outputs == outputs
        ):
            self._alike[alike] = _Outcome(
                parts[0],
                tuple(None if v is None else (v.type, self._inference.known.get(v)) for v in outputs),
            )
        for value, type_ in declared:
            _check_agrees(type_, value.type, f"{place}, body input {value.name!r}", dims=False)
        for name, output in zip(names, outputs):
            if output is not None:
                self._define(name, output, env, place)

    def _likeness(
        self,
        spec: OpSpec,
        inputs: Sequence[Value | None],
        names: Sequence[str],
        given: Mapping[str, onnx.AttributeProto],
    ) -> Hashable | None:
        """Equal for nodes of which all checks and type inference say the same; None where that cannot be told."""
        for attribute in given.values():
            if attribute.type not in _PLAIN:
                return None
        operands: list[Hashable] = []
        for value in inputs:
            content = None
            if value is not None and value.const is not None:
                content = _content(value.const)
                if content is None:
                    return None
            elif value in self._inference.known:
                return None
            operands.append(None if value is None else (value.type, content))
        attributes = tuple((name, attribute.SerializeToString()) for name, attribute in given.items())
        return spec, attributes, tuple(operands), tuple(map(bool, names))

    def _repeat(
        self,
        known: _Outcome,
        proto: onnx.NodeProto,
        inputs: Sequence[Value | None],
        names: Sequence[str],
        env: _Env,
        place: str,
    ) -> None:
        """A node like one that has passed every check."""
        outputs: list[Value | None] = []
        for name, found in zip(names, known.outputs):
            value = None if found is None else Value(env.prefix + name, found[0])
            outputs.append(value)
            if value is not None and found is not None and found[1] is not None:
                self._inference.known[value] = found[1]
        like = known.node
        name = env.prefix + proto.name if proto.name else ""
        env.nodes.append(
            Node(like.op, tuple(inputs), tuple(outputs), like.attributes, name, like.domain, like.version)
        )
        for name, value in zip(names, outputs):
            if value is not None:
                self._define(name, value, env, place)

    def _emit(self, node: Node, env: _Env, place: str) -> tuple[Node, ...]:
        try:
            parts = upgrade.to_newest(node)
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError) as error:
            raise ModelError(f"{place}: {error}") from error
        for part in parts:
            validate.check(part, place)
            try:
                self._inference.node(part)
            except ModelError as error:
                raise type(error)(f"{env.place}, {error}") from None
            env.nodes.append(part)
        return parts

    def _define(self, name: str, value: Value, env: _Env, place: str) -> None:
        if env.scope.shadows(name):
            raise ModelError(f"{place}: output {name!r} hides a value of an enclosing graph; rename it")
        env.scope.define(name, value, place)

    def _subgraph(self, proto: onnx.GraphProto, name: str, env: _Env, place: str) -> Graph:
        inner = _Env(Scope(env.scope), env.opsets, f"{place}, subgraph {name!r}", env.prefix, env.bindings)
        return self._graph(proto, inner, main=False)

    def _call(
        self,
        key: FunctionKey,
        proto: onnx.NodeProto,
        inputs: list[Value | None],
        given: Mapping[str, onnx.AttributeProto],
        env: _Env,
        place: str,
    ) -> None:
        """Inline a call of a model-local function."""
        function = self._survey.functions[key]
        if len(inputs) > len(function.input) or len(proto.output) > len(function.output):
            raise ModelError(
                f"{place}: function {function.name!r} takes {len(function.input)} inputs and gives "
                f"{len(function.output)} outputs, the call has {len(inputs)} and {len(proto.output)}"
            )
        bindings = {a.name: a for a in function.attribute_proto}
        unknown = sorted(set(given) - set(bindings) - set(function.attribute))
        if unknown:
            raise ModelError(f"{place}: function {function.name!r} has no attribute {', '.join(unknown)}")
        bindings.update(given)
        label = (proto.name or next(iter(proto.output), function.name))[:40]
        inner = _Env(
            Scope(),
            self._survey.function_opsets[key],
            f"{place}, function {shorten(function.name)!r}",
            f"{env.prefix}{label}/",
            bindings,
            env.nodes,
        )
        for index, name in enumerate(function.input):
            inner.scope.define(name, inputs[index] if index < len(inputs) else None, inner.place)
        start = len(env.nodes)
        for node in function.node:
            self._node(node, inner)
        made = {v for node in env.nodes[start:] for v in node.results}
        for formal, name in zip(function.output, proto.output):
            if not name:
                continue
            value = inner.scope.find(formal, inner.place)
            if value is None:
                raise ModelError(f"{inner.place}: output {formal!r} is an omitted optional input")
            if value in made:
                made.discard(value)
                value.name = env.prefix + name
            else:
                copy = Value(env.prefix + name)
                self._emit(make_node("Identity", [value], [copy]), env, place)
                value = copy
            self._define(name, value, env, place)


def _given_attributes(proto: onnx.NodeProto, env: _Env, place: str) -> dict[str, onnx.AttributeProto]:
    """The attributes by name, references to function attributes replaced by what the call gave."""
    given: dict[str, onnx.AttributeProto] = {}
    for attribute in proto.attribute:
        if attribute.name in given:
            raise ModelError(f"{place}: attribute {attribute.name!r} is given twice")
        if not attribute.ref_attr_name:
            given[attribute.name] = attribute
            continue
        if env.bindings is None:
            raise ModelError(
                f"{place}: attribute {attribute.name!r} refers to {attribute.ref_attr_name!r}, outside any function"
            )
        bound = env.bindings.get(attribute.ref_attr_name)
        if bound is not None:
            given[attribute.name] = bound
    return given


def _content(array: Array) -> Hashable | None:
    """What checks may look at in a constant: all of it, but for weights; None when that is too much to keep."""
    if array.dtype.kind in "fV" and array.size > _WEIGHTS:
        return ()
    return array.tobytes() if array.dtype.kind in "biufV" and array.nbytes <= _LONG else None


def _check_agrees(declared: ValueType, found: ValueType, place: str, *, dims: bool = True) -> None:
    if not agree(declared, found, dims=dims):
        raise ModelError(f"{place}: is declared {declared}, but is {found}")
