"""Control flow. Bodies are given to a kernel as functions; what it decides is which to call, how often, on what."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Body, Input, Operand, Sequence
from orpheus_conformance.draw import DIMS, Draw
from orpheus_conformance.space import Layer, space
from orpheus_conformance.tolerance import MOVEMENT

#: Element types that bodies can compute with.
_NUMBERS = ("float32", "int64", "float64", "int32")
_BODIES = {"special": "the values inside a body are the body's own matter"}


@space("If", MOVEMENT, without=_BODIES)
def if_(d: Draw) -> Layer:
    """Branches whose shapes differ, with one output or more; tensors and sequences; a condition of any rank."""
    kind = d.choose(("tensors", "sequences"))
    dtype = d.choose(_NUMBERS)
    count = d.choose((1, 2))

    def branch() -> Body:
        shapes = tuple(
            (d.choose((2, 1, 0)), *(d.choose((3,)) for _ in range(d.choose((0, 1))))) for _ in range(count)
        )
        return Body(kind, (dtype, shapes, d.integer(0, 99)))

    condition = Operand("bool", d.choose(((), (1,), (1, 1))), "normal", (d.flag(),), d.constant("cond"))
    outputs = (True,) * (count if kind == "tensors" else 1)
    return Layer((condition,), {"then_branch": branch(), "else_branch": branch()}, outputs)


@space("Loop", MOVEMENT, without=_BODIES)
def loop(d: Draw) -> Layer:
    """Ended by the count, by the condition, by either, at once; scanned outputs of no iteration; a carried sequence."""
    limit = d.choose((3, 0, 1, 5))
    counts = d.flag()
    shape = d.choose(((), (1,)))
    stop = d.choose((2, 0, 10, -1)) if counts else 3
    trips = Operand("int64", shape, "normal", (limit,), d.constant("M")) if counts or d.flag() else None
    going = d.choose((None, True, False))
    cond = None if going is None else Operand("bool", shape, "normal", (going,), d.constant("cond"))
    dtype = d.choose(_NUMBERS)
    if counts and d.flag():
        start: Input = Sequence(
            dtype, tuple(d.tensor("v_initial", dtype, ()) for _ in range(d.choose((0, 1, 2))))
        )
        return Layer((trips, cond, start), {"body": Body("collect", (dtype,))}, (True, True))
    scans = d.choose((2, 1, 0))
    tensor = d.tensor("v_initial", dtype, [d.choose(DIMS) for _ in range(d.choose((1, 0, 2)))], constant=None)
    return Layer((trips, cond, tensor), {"body": Body("repeat", (dtype, scans, stop))}, (True,) * (1 + scans))


@space("Scan", MOVEMENT, since=8, without=_BODIES)
def scan(d: Draw) -> Layer:
    """States and scanned inputs, sliced and stacked along any axis in either direction."""
    if d.version < 9:
        return _scan_8(d)
    dtype = d.choose(_NUMBERS)
    states, elements = d.choose((1, 0, 2)), d.choose((1, 2))
    length = d.choose((3, 1, 2, 5))
    element = tuple(d.choose(DIMS) for _ in range(d.choose((1, 0, 2))))
    rank = len(element) + 1
    axes = [d.axis(rank) for _ in range(elements)]
    inputs: list[Input] = [d.tensor("state", dtype, element) for _ in range(states)]
    for axis in axes:
        place = axis % rank
        inputs.append(d.tensor("element", dtype, (*element[:place], length, *element[place:]), constant=None))
    given: dict[str, Any] = {
        "scan_input_axes": tuple(axes),
        "scan_input_directions": tuple(d.choose((0, 1)) for _ in range(elements)),
        "scan_output_axes": tuple(d.axis(rank) for _ in range(elements)),
        "scan_output_directions": tuple(d.choose((0, 1)) for _ in range(elements)),
    }
    attributes = {k: d.maybe(k, v, (0,) * elements) for k, v in given.items()}
    attributes |= {"num_scan_inputs": elements, "body": Body("running", (states, elements))}
    return Layer(tuple(inputs), attributes, (True,) * (states + elements))


def _scan_8(d: Draw) -> Layer:
    """The form of opset 8: a batch of sequences, each with a length of its own."""
    dtype = d.choose(_NUMBERS)
    states, elements = d.choose((1, 0, 2)), d.choose((1, 2))
    batch, length = d.choose((2, 1, 3)), d.choose((3, 1, 2))
    element = tuple(d.choose(DIMS) for _ in range(d.choose((1, 0))))
    lengths = [d.integer(0, length) for _ in range(batch)] if d.flag() else None
    inputs: list[Input] = [None if lengths is None else d.data("sequence_lens", "int64", lengths)]
    inputs += [d.tensor("state", dtype, (batch, *element)) for _ in range(states)]
    inputs += [d.tensor("element", dtype, (batch, length, *element)) for _ in range(elements)]
    directions = d.maybe("directions", tuple(d.choose((0, 1)) for _ in range(elements)), (0,) * elements)
    attributes = {
        "directions": directions,
        "num_scan_inputs": elements,
        "body": Body("running", (states, elements)),
    }
    return Layer(tuple(inputs), attributes, (True,) * (states + elements))


@space("SequenceMap", MOVEMENT, without=_BODIES)
def sequence_map(d: Draw) -> Layer:
    """A sequence alone, with a sequence of as many elements, and with a tensor that every call gets."""
    dtype = d.choose(_NUMBERS)
    count = d.choose((2, 1, 0, 3))
    shapes = [tuple(d.choose(DIMS) for _ in range(d.choose((1, 0, 2)))) for _ in range(count)]
    inputs: list[Input] = [Sequence(dtype, tuple(d.tensor("x", dtype, s) for s in shapes))]
    form = d.choose(("alone", "sequence", "tensor"))
    if form == "sequence":
        inputs.append(Sequence(dtype, tuple(d.tensor("y", dtype, s) for s in shapes)))
    elif form == "tensor":
        inputs.append(d.tensor("y", dtype, d.choose(((), (1,)))))
    return Layer(tuple(inputs), {"body": Body("each", (len(inputs),))}, (True, True))
