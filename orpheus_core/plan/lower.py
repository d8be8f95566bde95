"""Lowering: a graph and its decisions become operations on operands, conversions inserted, views resolved."""

from __future__ import annotations

from dataclasses import dataclass, field

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.plan.operands import Kind, Operand, Operation, Storage
from orpheus_core.selection.assignment import input_place, output_place
from orpheus_core.selection.candidates import in_format, placed
from orpheus_core.selection.conversion import HOME, Conversions, Place, Reorder, reorder_node
from orpheus_core.selection.decision import Decision, Selection
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.reorder import to_layout
from orpheus_core.types import CPU, DType, Layout, TensorType, ValueType


@dataclass
class Program:
    """The lowered graph: operands of its inputs and outputs, and operations in order."""

    inputs: list[Operand]
    outputs: list[Operand]
    operations: list[Operation]
    operands: list[Operand] = field(default_factory=list)
    elided: list[tuple[Node, str]] = field(default_factory=list)


def lower(graph: Graph, selection: Selection, options: SelectionOptions) -> Program:
    """Operations for every decision, with each value at every place where something reads it."""
    return _Lowering(graph, selection, options).run()


class _Lowering:
    def __init__(self, graph: Graph, selection: Selection, options: SelectionOptions) -> None:
        self.graph = graph
        self.selection = selection
        self.conversions = Conversions(options)
        self.operands: list[Operand] = []
        self.operations: list[Operation] = []
        self.elided: list[tuple[Node, str]] = []
        self.places: dict[tuple[Value, Place], Operand] = {}
        self.source: dict[Value, Place] = {}

    def run(self) -> Program:
        inputs = [self._define(v, HOME) for v in self.graph.inputs]
        captured = [self._define(v, HOME) for v in self.graph.captures]
        for decision in self.selection.decisions:
            self._lower(decision)
        outputs = [self._at(v, HOME) for v in self.graph.outputs]
        operations = _moves_first(self.operations, frozenset((*inputs, *captured)))
        return Program([*inputs, *captured], outputs, operations, self.operands, self.elided)

    def _lower(self, decision: Decision) -> None:
        node, scored = decision.node, decision.chosen
        inputs = tuple(
            None if v is None else self._at(v, input_place(scored, node, i))
            for i, v in enumerate(node.inputs)
        )
        captures = tuple(self._at(v, HOME) for graph in node.subgraphs for v in graph.captures)
        outputs = tuple(
            None if v is None else self._define(v, output_place(scored, node, o))
            for o, v in enumerate(node.outputs)
        )
        candidate = decision.candidate
        if candidate.backend.name == "core":
            self._view(inputs[0], outputs[0])
            self.elided.append((node, f"{candidate.id}"))
            return
        self.operations.append(
            Operation(
                Kind.KERNEL,
                node,
                inputs,
                outputs,
                candidate,
                in_format(decision.problem, candidate),
                captures,
                why=decision.why,
            )
        )

    def _view(self, source: Operand | None, target: Operand | None) -> None:
        """Make ``target`` a view of ``source``; constants are viewed at once."""
        assert source is not None and target is not None
        assert isinstance(target.type, TensorType) and target.type.static_shape is not None
        if source.storage is Storage.CONSTANT and source.array is not None:
            target.storage = Storage.CONSTANT
            target.array = source.array.reshape(target.type.static_shape)
        else:
            target.parent = source

    def _define(self, value: Value, place: Place) -> Operand:
        type_ = placed(value.type, *place)
        operand = Operand(value.name, type_, _storage(type_))
        self.operands.append(operand)
        self.places[value, place] = operand
        self.source[value] = place
        return operand

    def _at(self, value: Value, place: Place) -> Operand:
        """The operand of ``value`` at ``place``, converted when it is not there yet."""
        known = self.places.get((value, place))
        if known is not None:
            return known
        if value.const is not None:
            return self._constant(value, place)
        hub = self.selection.hubs.get(value)
        start = self.source[value]
        if hub is not None and (value, hub) in self.places:
            start = hub  # type: ignore[assignment]
        elif hub is not None and hub != place:
            self._at(value, hub)  # type: ignore[arg-type]
            start = hub  # type: ignore[assignment]
        return self._convert(value, start, place)

    def _constant(self, value: Value, place: Place) -> Operand:
        assert value.const is not None
        array = to_layout(value.const, Layout(place[0])) if place[0] != "plain" else value.const
        operand = Operand(value.name, placed(value.type, *place), Storage.CONSTANT, array)
        self.operands.append(operand)
        self.places[value, place] = operand
        return operand

    def _convert(self, value: Value, start: Place, goal: Place) -> Operand:
        """A chain of operations from one place to another: reorder where a kernel exists, else on the host."""
        if start[0] != goal[0]:
            for device in dict.fromkeys((start[1], goal[1])):
                kernel = self.conversions.reorder(value.type, start[0], goal[0], device)
                if kernel is not None or device == CPU:
                    middle = self._step(value, start, (start[0], device), None)
                    middle = self._step(value, (start[0], device), (goal[0], device), kernel)
                    return self._step(value, (goal[0], device), goal, None) if device != goal[1] else middle
            self._step(value, start, (start[0], CPU), None)
            self._step(value, (start[0], CPU), (goal[0], CPU), None)
            return self._step(value, (goal[0], CPU), goal, None)
        if CPU not in (start[1], goal[1]) and start[1] != goal[1]:
            self._step(value, start, (start[0], CPU), None)
            start = (start[0], CPU)
        return self._step(value, start, goal, None)

    def _step(self, value: Value, start: Place, goal: Place, kernel: Reorder | None) -> Operand:
        known = self.places.get((value, goal))
        if known is not None:
            return known
        source, origin = self.places[value, start], self.source[value]
        target = self._define(value, goal)
        self.source[value] = origin
        node = reorder_node(value, start[0], goal[0])
        candidate, problem = (None, None) if kernel is None else kernel[:2]
        kind = Kind.KERNEL if kernel else Kind.REORDER if start[0] != goal[0] else Kind.MOVE
        self.operations.append(
            Operation(kind, node, (source,), (target,), candidate, problem, why="conversion")
        )
        return target


def _moves_first(operations: list[Operation], inputs: frozenset[Operand]) -> list[Operation]:
    """Inputs are brought to devices before all else, so that what follows there is one run of neighbours."""
    first = [o for o in operations if o.kind is Kind.MOVE and o.reads[0].root()[0] in inputs]
    early = set(first)
    return [*first, *(o for o in operations if o not in early)]


def _storage(type_: ValueType) -> Storage:
    fixed = isinstance(type_, TensorType) and type_.is_static and type_.dtype is not DType.STRING
    return Storage.ARENA if fixed else Storage.SLOT
