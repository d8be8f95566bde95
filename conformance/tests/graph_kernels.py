"""Kernels that are right alone, or nearly, and go wrong in a graph, in a session or at a probe."""

from __future__ import annotations

import numpy as np

from orpheus_core.plugin import Ready


def relu(X):
    return np.maximum(X, 0)


def neg(X):
    return -X


def add(A, B):
    return A + B


def matmul(A, B):
    return np.matmul(A, B)


def relu_by_the_reference(X):
    """Small layers are computed here, others silently by the reference."""
    if X.size > 8:
        from orpheus_numpy.math.elementwise import relu as reference

        return reference(X)
    return np.maximum(X, 0)


_seen = {}


def matmul_keeps_weights(A, B):
    """Takes weights of one shape for the same weights."""
    return np.matmul(A, _seen.setdefault((B.shape, B.dtype.num), B.copy()))


def relu_slightly_off(X):
    return np.maximum(X, 0) * X.dtype.type(1.01)


class Scratch:
    """A prepared object with one scratch buffer for all its calls."""

    def __init__(self, problem):
        type_ = problem.outputs[0]
        self.scratch = np.empty(type_.static_shape, type_.dtype.numpy)

    def bind(self, inputs, outputs, workspace):
        def step():
            np.maximum(inputs[0], 0, out=self.scratch)
            outputs[0][...] = self.scratch

        return step


class BoundOnce:
    """Keeps the operands of the latest bind, so that an earlier step computes the later one's layer."""

    def __init__(self, problem):
        pass

    def bind(self, inputs, outputs, workspace):
        self.inputs, self.outputs = inputs, outputs

        def step():
            np.maximum(self.inputs[0], 0, out=self.outputs[0])

        return step


class Plain:
    def __init__(self, problem):
        pass

    def bind(self, inputs, outputs, workspace):
        return lambda: np.maximum(inputs[0], 0, out=outputs[0])


class HalfOfTheTeam:
    """Shares its work out among threads, and only one of them comes."""

    def __init__(self, problem):
        self.share = -(-problem.outputs[0].size // problem.threads)

    def bind(self, inputs, outputs, workspace):
        x, y = inputs[0].reshape(-1), outputs[0].reshape(-1)
        return lambda: np.maximum(x[: self.share], 0, out=y[: self.share])


def seal_forgets_the_last(steps):
    """Turns neighbouring steps into one call, and leaves one of them out."""

    def run():
        for step in steps[: max(1, len(steps) - 1)]:
            step()

    return run


def seal(steps):
    def run():
        for step in steps:
            step()

    return run


def ready():
    return Ready("looks fine")


def no_device(X):
    raise OSError("libdevice.so: cannot open shared object file")


def softmax_of_the_last_axis(input, *, axis=-1):
    e = np.exp(input - input.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def dies(X):
    import os

    os.abort()
