"""RNN, GRU and LSTM: gates, biases, directions, layouts and states against the equations in float64; refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType

pytest.importorskip("orpheus_onednn", reason="orpheus-onednn is not installed")

STEPS, BATCH, WIDTH, HIDDEN = 5, 3, 7, 18
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
NAMES = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
EPS = np.finfo(np.float32).eps


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(op, x, h, c, w, r, b, p, at):
    """The operator page's equations for a batch; weights, biases and peepholes by gate."""
    inner, outer = (x @ v.T + u for v, u in zip(w, b[0])), (h @ v.T + u for v, u in zip(r, b[1]))
    sums = [i + o for i, o in zip(inner, outer)]
    if op == "RNN":
        return {"Tanh": np.tanh, "Relu": lambda v: v.clip(0), "Sigmoid": sigmoid}[at["activations"][0]](
            sums[0]
        ), c
    if op == "GRU":
        z, reset = sigmoid(sums[0]), sigmoid(sums[1])
        late = reset * (h @ r[2].T + b[1, 2])
        late = late if at["linear_before_reset"] else (reset * h) @ r[2].T + b[1, 2]
        return (1 - z) * np.tanh(x @ w[2].T + b[0, 2] + late) + z * h, c
    cell = sigmoid(sums[2] + p[2] * c) * c + sigmoid(sums[0] + p[0] * c) * np.tanh(sums[3])
    return sigmoid(sums[1] + p[1] * cell) * np.tanh(cell), cell


def exact(op, operands, at):
    """Y [T, D, N, H] and the last states [D, N, H] in float64; with layout 1 the batch comes first."""
    x, w, r, b, _, h0, c0, p = (None if v is None else v.astype(np.float64) for v in operands)
    ways, swap = len(w), (lambda v: v.swapaxes(0, 1)) if at["layout"] else (lambda v: v)
    x, gates = swap(x), GATES[op]
    states = [np.zeros((ways, BATCH, HIDDEN)) if v is None else swap(v).copy() for v in (h0, c0)]
    b = np.zeros((ways, 2 * gates * HIDDEN)) if b is None else b
    p = np.zeros((ways, 3 * HIDDEN)) if p is None else p
    y = np.zeros((STEPS, ways, BATCH, HIDDEN))
    for way in range(ways):
        split = [v[way].reshape(gates, HIDDEN, -1) for v in (w, r)]
        vectors = b[way].reshape(2, gates, HIDDEN), p[way].reshape(3, HIDDEN)
        h, c = (s[way] for s in states)
        backwards = way == 1 or at["direction"] == "reverse"
        for t in range(STEPS)[:: -1 if backwards else 1]:
            h, c = step(op, x[t], h, c, *split, *vectors, at)
            y[t, way] = h
        states[0][way], states[1][way] = h, c
    return y.transpose(2, 0, 1, 3) if at["layout"] else y, *map(swap, states)


def drawn(op, rng, at, kind="float32", absent=()):
    """Operands of a layer, all that the operator has but those that are absent, and sequence_lens."""
    ways, gates = 2 if at["direction"] == "bidirectional" else 1, GATES[op]
    states, batches = (ways, BATCH, HIDDEN), (STEPS, BATCH, WIDTH)
    shapes = {
        "X": (batches[1], batches[0], WIDTH) if at["layout"] else batches,
        "W": (ways, gates * HIDDEN, WIDTH),
        "R": (ways, gates * HIDDEN, HIDDEN),
        "B": (ways, 2 * gates * HIDDEN),
        "initial_h": (BATCH, ways, HIDDEN) if at["layout"] else states,
    }
    if op == "LSTM":
        shapes |= {"initial_c": shapes["initial_h"], "P": (ways, 3 * HIDDEN)}
    given = {name: rng.uniform(-0.5, 0.5, shape) for name, shape in shapes.items() if name not in absent}
    return [given[n].astype(DType(kind).numpy) if n in given else None for n in NAMES]


def layer(op, operands, results, at, **more):
    """The problem: weights, biases and peepholes are constants."""
    kinds = [None if v is None else TensorType(DType(v.dtype.name), v.shape) for v in (*operands, *results)]
    constants = {i: operands[i] for i in (1, 2, 3, 7) if operands[i] is not None}
    inputs, outputs = tuple(kinds[:8]), tuple(kinds[8:])
    return Problem(op, "", 14, {**at, **more}, inputs, outputs, constants, NAMES, ("Y", "Y_h", "Y_c"))


def run(problem, name, operands, results):
    """The layer twice in this implementation, in place: the second time may not hang on the first."""
    from orpheus_onednn.call import Walk
    from orpheus_onednn.layer import Layer
    from orpheus_onednn.recurrent import recurrent

    prepared = Layer(problem, Walk(recurrent, "plain", "plain"), name)
    inputs = [None if i in prepared.packed else v for i, v in enumerate(operands)]
    bound = prepared.bind(inputs, results, np.empty(prepared.workspace, np.uint8))
    bound()
    bound()


def implementations(problem):
    from orpheus_onednn.call import Walk
    from orpheus_onednn.recurrent import recurrent

    return Walk(recurrent, "plain", "plain")(problem)


CELLS = [
    ("LSTM", {}),
    ("GRU", {"linear_before_reset": 0}),
    ("GRU", {"linear_before_reset": 1}),
    *(("RNN", {"activations": [name] * 2}) for name in ("Tanh", "Relu", "Sigmoid")),
]


@pytest.mark.parametrize(("op", "own"), CELLS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_every_cell_in_every_direction_and_layout(onednn, op, own, direction, layout):
    at = {"direction": direction, "layout": layout, **own}
    if direction == "reverse" and "activations" in at:
        at["activations"] = at["activations"][:1]  # two are the operator's default in one direction as well
    rng, ran = np.random.default_rng(3), []
    optional = ["B", "initial_h", *(["initial_c", "P"] if op == "LSTM" else [])]
    absences = [(), *((name,) for name in optional), tuple(optional)]
    for absent, kept in itertools.product(
        absences, itertools.product((1, 0), repeat=3 if op == "LSTM" else 2)
    ):
        if not any(kept):
            continue
        operands = drawn(op, rng, at, absent=absent)
        wanted = exact(op, operands, at)
        results = [np.full(w.shape, 7, np.float32) if k else None for w, k in zip(wanted, kept)]
        problem = layer(op, operands, results, at)
        names = implementations(problem)
        assert isinstance(names, tuple), names
        for name in names:
            run(problem, name, operands, results)
            for got, want in zip(results, wanted):
                # Sums of 27 terms of at most 1/4 (Relu: of up to some 7, whose errors the next step takes over).
                assert (
                    got is None or np.abs(got - want).max() <= 32 * EPS * max(1, np.abs(want).max()) * STEPS
                )
            ran.append(name)
    assert ran


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_weights_in_bfloat16(onednn, op):
    at = {"direction": "bidirectional", "layout": 0, "linear_before_reset": 0, "activations": None}
    operands = drawn(op, np.random.default_rng(4), at, "bfloat16")
    wanted = exact(op, operands, {**at, "activations": ["Tanh"]})
    results = [np.zeros(w.shape, DType("bfloat16").numpy) for w in wanted][: 3 if op == "LSTM" else 2]
    problem = layer(op, operands, results, at)
    names = implementations(problem)
    if isinstance(names, str):
        pytest.skip(names)
    for name in names:
        run(problem, name, operands, results)
        for got, want in zip(results, wanted):
            # States are rounded to 2**-9 of at most 1 in every step; what cells forget they do not multiply.
            assert np.abs(got.astype(np.float64) - want).max() <= STEPS * 2**-8


@pytest.mark.parametrize(
    ("op", "change", "words"),
    [
        (
            "LSTM",
            {"activations": ["Sigmoid", "Relu", "Tanh"]},
            "needs activations Sigmoid, Tanh, Tanh, has Sigm",
        ),
        ("RNN", {"activations": ["Softsign"]}, "needs activations Tanh|Relu|Sigmoid, has Softsign"),
        ("LSTM", {"clip": 1.0}, "needs clip == None, has 1.0"),
        ("LSTM", {"input_forget": 1}, "needs input_forget in (0, None), has 1"),
    ],
)
def test_what_the_library_cannot_express_is_refused_with_the_reason(onednn, op, change, words):
    from orpheus_onednn.manifest import ENTRIES, kernels

    at = {"direction": "forward", "layout": 0}
    operands = drawn(op, np.random.default_rng(5), at)
    problem = layer(op, operands, [np.zeros((STEPS, 1, BATCH, HIDDEN), np.float32)], at, **change)
    mine = [k for k in kernels() if k.op == op and "float32" in k.dtypes["T"]]
    assert mine
    for kernel in mine:
        entry = getattr(ENTRIES, kernel.supports.split(".")[-2])
        reasons = [entry.supports(problem), *(rule.refusal(problem) for rule in kernel.where)]
        assert any(words in reason for reason in reasons if reason), reasons


@pytest.mark.parametrize("index", [4, 5])
def test_lengths_and_states_of_another_shape_are_refused(onednn, index):
    from orpheus_onednn.manifest import kernels

    at = {"direction": "forward", "layout": 0}
    operands = drawn("GRU", np.random.default_rng(6), at)
    operands[index] = (
        np.zeros((1, BATCH + 1, HIDDEN), np.float32) if index == 5 else np.zeros(BATCH, np.int32)
    )
    problem = layer("GRU", operands, [np.zeros((STEPS, 1, BATCH, HIDDEN), np.float32)], at)
    if index == 5:
        assert "needs input 5 of shape [1, 3, 18], has [1, 4, 18]" in implementations(problem)
        return
    for kernel in (k for k in kernels() if k.op == "GRU"):
        assert "needs sequence_lens.present == False, has True" in [r.refusal(problem) for r in kernel.where]


def test_no_layer_is_offered_that_matrix_tiles_would_end_the_process_in(onednn):
    from orpheus_onednn.manifest import kernels

    assert not [k.name for k in kernels() if k.op in ("GRU", "LSTM", "RNN") and "_amx" in k.name]
