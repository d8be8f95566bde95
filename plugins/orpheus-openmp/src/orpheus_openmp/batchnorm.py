"""BatchNormalization in inference, plain and NCHWc: a scale and a shift a channel; native/kernels/batchnorm.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_openmp import isa as isas
from orpheus_openmp.elementwise import scale_shift
from orpheus_openmp.layer import Layer, checked, padded, seal

_NAMES = ("gain", "bias", "mean", "variance")


class BatchNorm(Layer):
    """Constant statistics become a scale and a shift beforehand, others in a step of their own before each run."""

    kernel = "elementwise"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.epsilon = float(problem.attributes.get("epsilon", 1e-5))
        self.values = scale_shift(self)
        self.length = self.values["channels"] * self.values["block"]
        self.constant = all(i in problem.constants for i in range(1, 5))
        if self.constant:
            gain, bias, mean, variance = (np.asarray(problem.constants[i], np.float64) for i in range(1, 5))
            scale = gain / np.sqrt(variance + self.epsilon)
            self.values["scale"] = padded(scale, self.length)
            self.values["shift"] = padded(bias - mean * scale, self.length)
            self.packed = (1, 2, 3, 4)
        else:
            self.workspace = 4 * 2 * self.length

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One step, or two where the statistics come at run time."""
        bound = self.arrays(inputs[:1], outputs[:1], workspace)
        if self.constant:
            return self.step(bound)
        space = bound.pop("workspace")
        both = {"scale": space[: self.length], "shift": space[self.length :]}
        given = {
            name: checked(array, type_, f"BatchNormalization {name}")
            for name, array, type_ in zip(_NAMES, inputs[1:], self.problem.inputs[1:])
        }
        sizes = {"channels": self.input_shape(1)[0], "padded": self.length, "epsilon": self.epsilon}
        first = isas.native().Step(self.isa, "batch_norm", self.threads, {**sizes, **given, **both})
        return seal([first, self.step({**bound, **both})])
