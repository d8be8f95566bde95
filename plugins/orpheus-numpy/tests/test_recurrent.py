"""RNN, GRU and LSTM against the equations of their pages, one sequence and one step at a time."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orpheus_numpy.manifest import recurrent as manifest
from orpheus_numpy.recurrent.activations import resolve_activations
from orpheus_numpy.recurrent.cells import gru, lstm, rnn

from orpheus_core.errors import ModelError
from orpheus_core.plugin import resolve

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
KERNELS = {"rnn": rnn, "gru": gru, "lstm": lstm}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(kind, x, h, c, W, R, Wb, Rb, P, options):
    """The page's equations for one sequence; weights split by gate."""
    limit = options.get("clip")

    def clip(v):
        return v if limit is None else np.clip(v, -limit, limit)

    def gate(k, hidden=h):
        return W[k] @ x + R[k] @ hidden + Wb[k] + Rb[k]

    if kind == "rnn":
        return np.tanh(clip(gate(0))), c
    if kind == "gru":
        z, r = sigmoid(clip(gate(0))), sigmoid(clip(gate(1)))
        if options.get("linear_before_reset"):
            new = np.tanh(clip(W[2] @ x + r * (R[2] @ h + Rb[2]) + Wb[2]))
        else:
            new = np.tanh(clip(gate(2, r * h)))
        return (1 - z) * new + z * h, c
    i = sigmoid(clip(gate(0) + P[0] * c))
    f = 1 - i if options.get("input_forget") else sigmoid(clip(gate(2) + P[2] * c))
    c = f * c + i * np.tanh(clip(gate(3)))
    return sigmoid(clip(gate(1) + P[1] * c)) * np.tanh(clip(c)), c


def naive(kind, X, W, R, B, lengths, h0, c0, P, direction, options):
    steps, batch, _ = X.shape
    hidden, gates = R.shape[2], GATES[kind]
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    Y = np.zeros((steps, len(backwards), batch, hidden))
    H, C = h0.copy(), c0.copy()
    for d, n in np.ndindex(len(backwards), batch):
        w, r = W[d].reshape(gates, hidden, -1), R[d].reshape(gates, hidden, -1)
        wb, rb = B[d].reshape(2, gates, hidden)
        order = range(lengths[n] - 1, -1, -1) if backwards[d] else range(lengths[n])
        h, c = h0[d, n], c0[d, n]
        for t in order:
            h, c = step(kind, X[t, n], h, c, w, r, wb, rb, P[d].reshape(3, hidden), options)
            Y[t, d, n] = h
        H[d, n], C[d, n] = h, c
    return Y, H, C


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(("rnn", "gru", "lstm")), st.integers(0, 2**32 - 1),
    st.sampled_from(("forward", "reverse", "bidirectional")), st.sampled_from((np.float64, np.float32, np.float16)),
    st.data(),
)  # fmt: skip
def test_recurrent_operators_follow_their_equations(kind, seed, direction, dtype, data):
    rng = np.random.default_rng(seed)
    draw = data.draw
    steps, batch, width, hidden = draw(st.integers(0, 4)), draw(st.integers(1, 3)), 3, 2
    directions, gates = (2 if direction == "bidirectional" else 1), GATES[kind]

    def random(*shape):
        return rng.standard_normal(shape).astype(dtype)

    X, W, R = (
        random(steps, batch, width),
        random(directions, gates * hidden, width),
        random(directions, gates * 2, 2),
    )
    B = random(directions, 2 * gates * hidden) if draw(st.booleans()) else None
    lengths = rng.integers(0, steps + 1, batch).astype(np.int32) if draw(st.booleans()) else None
    h0 = random(directions, batch, hidden) if draw(st.booleans()) else None
    c0 = random(directions, batch, hidden) if kind == "lstm" and draw(st.booleans()) else None
    P = random(directions, 3 * hidden) if kind == "lstm" and draw(st.booleans()) else None
    options = {"clip": 0.75} if draw(st.booleans()) else {}
    if kind == "gru":
        options["linear_before_reset"] = draw(st.integers(0, 1))
    if kind == "lstm":
        options["input_forget"] = draw(st.integers(0, 1))

    def or_zeros(value, *shape):
        return np.zeros(shape) if value is None else value.astype(np.float64)

    state = (directions, batch, hidden)
    want = naive(
        kind, X.astype(np.float64), W.astype(np.float64), R.astype(np.float64),
        or_zeros(B, directions, 2 * gates * hidden), [steps] * batch if lengths is None else lengths,
        or_zeros(h0, *state), or_zeros(c0, *state), or_zeros(P, directions, 3 * hidden), direction, options,
    )  # fmt: skip
    layout = draw(st.integers(0, 1))
    operands = [X, W, R, B, lengths, h0] + ([c0, P] if kind == "lstm" else [])
    if layout:
        for index in (0, 5, 6)[: 3 if kind == "lstm" else 2]:
            operands[index] = None if operands[index] is None else operands[index].swapaxes(0, 1)
        want = (want[0].transpose(2, 0, 1, 3), *(v.swapaxes(0, 1) for v in want[1:]))
    got = KERNELS[kind](*operands, direction=direction, layout=layout, hidden_size=hidden, **options)
    eps = float(ml_dtypes.finfo(dtype).eps)
    for value, expected in zip(got, want):
        assert value.dtype == dtype
        np.testing.assert_allclose(value.astype(np.float64), expected, rtol=64 * eps, atol=64 * eps)


def test_activations_take_alpha_and_beta_in_order():
    x = np.array([-2.0, 0.5, 3.0])
    names = ["LeakyRelu", "Tanh", "HardSigmoid", "affine", "Elu", "ScaledTanh", "ThresholdedRelu"]
    functions = resolve_activations(names, [0.1, 0.3, 2.0], [0.4, 1.0], None)
    want = [
        np.where(x >= 0, x, 0.1 * x),
        np.tanh(x),
        np.clip(0.3 * x + 0.4, 0, 1),
        2 * x + 1,
        np.where(x >= 0, x, np.exp(x) - 1),
        np.tanh(x),
        np.where(x >= 1, x, 0),
    ]
    for function, expected in zip(functions, want):
        np.testing.assert_allclose(function(x), expected)
    others = resolve_activations(["Relu", "Sigmoid", "Softsign", "Softplus"], None, None, 1.0)
    y = np.clip(x, -1, 1)
    for function, expected in zip(
        others, [np.maximum(y, 0), sigmoid(y), y / (1 + abs(y)), np.log1p(np.exp(y))]
    ):
        np.testing.assert_allclose(function(x), expected)


def test_each_direction_has_its_own_activations():
    X, W, R = np.full((1, 1, 1), -2.0), np.ones((2, 1, 1)), np.zeros((2, 1, 1))
    y, _ = rnn(X, W, R, direction="bidirectional", activations=["Relu", "LeakyRelu"], activation_alpha=[0.25])
    assert y.ravel().tolist() == [0.0, -0.5]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"direction": "backward"}, "direction must be"),
        ({"direction": "bidirectional"}, "needs 2 weight sets"),
        ({"activations": ["Relu", "Gelu", "Tanh"]}, "unknown activation 'Gelu'"),
        ({"activations": ["Relu"]}, "must name 3"),
        ({"hidden_size": 5}, "hidden size 5"),
        ({"sequence_lens": np.array([9], np.int32)}, "sequence_lens"),
        ({"initial_h": np.zeros((1, 2, 2))}, "initial state"),
        ({"P": np.zeros((1, 4))}, "P must be"),
        ({"B": np.zeros((1, 8))}, "B must hold 16"),
    ],
)
def test_contradictions_are_named(options, words):
    X, W, R = np.zeros((3, 1, 4)), np.zeros((1, 8, 4)), np.zeros((1, 8, 2))
    with pytest.raises(ModelError, match=words):
        lstm(X, W, R, **options)
    with pytest.raises(ModelError, match="W is for 4 inputs"):
        lstm(X[:, :, :3], W, R)


def test_every_reference_of_the_manifest_exists():
    assert [k.op for k in manifest.KERNELS] == ["RNN", "GRU", "LSTM"]
    assert all(callable(resolve(k.run)) for k in manifest.KERNELS)
