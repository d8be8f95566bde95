"""LSTM and GRU on plain tensors; the native side is native/kernels/recurrent.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_core.types import Array
from orpheus_openmp import epilogue
from orpheus_openmp import isa as isas
from orpheus_openmp.layer import Layer, seal

_X, _W, _R, _B, _LENGTHS, _H, _C, _P = range(8)


class _Recurrent(Layer):
    """A product for the inputs of all steps, then the loop over time. Weights are constant."""

    kernel = "recurrent"
    gates = 4
    results: tuple[str | None, ...] = ("y", "y_h", "y_c")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.names = ("x", None, None, None, None, "initial_h", "initial_c", None)
        self.steps, self.batch, self.width = self.input_shape(_X)
        self.recurrent = np.asarray(problem.constants[_R], np.float32)
        self.directions, _, self.hidden = self.recurrent.shape
        self.weights = self._panels(np.asarray(problem.constants[_W], np.float32))
        bias = problem.constants.get(_B)
        zeros = np.zeros((self.directions, 2 * self.gates * self.hidden), np.float32)
        both = (zeros if bias is None else np.asarray(bias, np.float32)).reshape(self.directions, 2, -1)
        self.bias, self.recurrent_bias = both[:, 0].copy(), both[:, 1]
        self.values = {
            "kind": 0, "steps": self.steps, "batch": self.batch, "hidden": self.hidden, "directions": self.directions,
            "reverse": int(problem.attributes.get("direction", "forward") == "reverse"), "r_size": 0, "r_h_size": 0,
        }  # fmt: skip
        self.packed = tuple(i for i in (_W, _R, _B, _P) if i in problem.constants)
        rows = self.directions * self.batch
        width = self.gates * self.hidden
        self.sizes = (rows * self.steps * width, rows * 2 * self.hidden, rows * width)
        self.workspace = 4 * sum(self.sizes)

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One call: the products, then the loop."""
        bound = self.arrays(inputs, outputs, workspace)
        x, space = bound.pop("x"), bound.pop("workspace")
        ends = np.cumsum(self.sizes)
        bound.update(gates=space[: ends[0]], state=space[ends[0] : ends[1]], sums=space[ends[1] :])
        each = self.sizes[0] // self.directions
        steps = []
        m, k, n = self.steps * self.batch, self.width, self.gates * self.hidden
        for d in range(self.directions):
            values = {
                "batch": 1, "m": m, "k": k, "n": n, "a_batch": 0, "b_batch": 0, "lda": k, "trans_a": 0, "trans_b": 0,
                "packed": 1, "c_rows": 0, "c_cols": 1, "alpha": 1.0, "beta": 1.0, **epilogue.activation(""),
                "a": x, "b": self.weights[d], "c": self.bias[d],
                "y": bound["gates"][d * each : (d + 1) * each],
            }  # fmt: skip
            steps.append(isas.native().Step(self.isa, "gemm", self.threads, values))
        return seal([*steps, self.step(bound)])

    def _panels(self, rows: Array) -> Array:
        """Rows [direction, n, k] of W or R as right factors in panels, [direction, floats]."""
        _, n, k = rows.shape
        return self.packer.panels(rows, True, k, n, self.directions).reshape(self.directions, -1)


class Lstm(_Recurrent):
    """LSTM with its usual activations; peepholes where given."""

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.bias += self.recurrent_bias
        r = self._panels(self.recurrent)
        self.values.update(r=r, r_size=r[0].size)
        if self.has(_P):
            self.values["peepholes"] = np.ascontiguousarray(problem.constants[_P], np.float32)


class Gru(_Recurrent):
    """GRU with its usual activations, the reset gate before or after the product."""

    gates = 3
    results = ("y", "y_h")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        after = bool(problem.attributes.get("linear_before_reset", 0))
        split = 2 * self.hidden
        self.bias[:, : split if after else None] += self.recurrent_bias[:, : split if after else None]
        r, r_h = self._panels(self.recurrent[:, :split]), self._panels(self.recurrent[:, split:])
        self.values.update(kind=2 if after else 1, r=r, r_h=r_h, r_size=r[0].size, r_h_size=r_h[0].size)
        if after:
            self.values["h_bias"] = np.ascontiguousarray(self.recurrent_bias[:, split:])
