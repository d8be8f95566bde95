"""A device whose memory numpy must not touch by accident."""

from __future__ import annotations

import numpy as np


class Tensor:
    def __init__(self, array):
        self.hidden = array

    @property
    def shape(self):
        return self.hidden.shape

    def __array__(self, *_, **__):
        raise AssertionError("device memory was read as if it were the host's")


class Runtime:
    def __init__(self, device):
        assert device.kind == "toy"

    def empty(self, shape, dtype):
        return Tensor(np.empty(shape, dtype))

    def arena(self, nbytes):
        return np.empty(nbytes, np.uint8)

    def view(self, arena, offset, shape, dtype):
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return Tensor(arena[offset : offset + count].view(dtype).reshape(shape))

    def upload(self, source, target):
        np.copyto(target.hidden, source)

    def download(self, source, target):
        np.copyto(target, source.hidden)

    def synchronize(self):
        pass


def relu(X, *, out):
    np.maximum(X.hidden, 0, out=out[0].hidden)
    return out[0]


def wrong_relu(X, *, out):
    np.maximum(X.hidden, 1, out=out[0].hidden)
    return out[0]


def relu_writes_past_its_output(X, *, out):
    """One element more, as a kernel whose last group of work items is not cut off."""
    Y = out[0].hidden
    np.maximum(X.hidden, 0, out=Y)
    if Y.size:
        np.lib.stride_tricks.as_strided(Y.reshape(-1), (Y.size + 1,))[-1] = 0
    return out[0]


class OverrunsItsWorkspace:
    workspace = 64

    def __init__(self, problem):
        pass

    def bind(self, inputs, outputs, workspace):
        def step():
            np.lib.stride_tricks.as_strided(workspace.hidden, (self.workspace + 4,))[:] = 0
            np.maximum(inputs[0].hidden, 0, out=outputs[0].hidden)

        return step
