"""Mutants whose every kernel is right alone: only whole graphs show them."""

from __future__ import annotations

from functools import partial

import numpy as np

from mutants import plain
from mutants.memory import Bound
from mutants.mutant import MUTANTS, Trial, kernel_of
from orpheus_core.plugin import API, Backend


class Relu(Bound):
    """Right."""

    def compute(self, inputs, outputs, workspace):
        """See the class."""
        outputs[0][...] = plain.relu(inputs[0])


class Neg(Bound):
    """Right."""

    def compute(self, inputs, outputs, workspace):
        """See the class."""
        np.negative(inputs[0], out=outputs[0])


class LatestRelu(Relu):
    """Keeps the operands of the latest binding, so that an earlier step computes on another caller's data."""

    def bind(self, inputs, outputs, workspace):
        """A step on whatever was bound last."""
        self.bound = (inputs, outputs, workspace)
        return lambda: self.compute(*self.bound)


def _call(steps):
    for step in steps:
        step()


def seal_without_the_last(steps):
    """Turns neighbouring steps into one call, and leaves one of them out."""
    return partial(_call, steps[: max(1, len(steps) - 1)])


def seal_backwards(steps):
    """Turns neighbouring steps into one call that runs them in the wrong order."""
    return partial(_call, steps[::-1])


def _add(name, doc, relu="Relu", seal=None):
    kernels = tuple(
        kernel_of(op, f"mutants.graphs:{code}", prepared=True)
        for op, code in (("Relu", relu), ("Neg", "Neg"))
    )
    backend = Backend(name=f"toy_{name}", api=API, kernels=kernels, seal=seal and f"mutants.graphs:{seal}")
    MUTANTS[name] = Trial(name, doc, backend)


_add("seal_forgets_the_last_step", "Of sealed steps one is left out.", seal="seal_without_the_last")
_add("seal_turns_the_order", "Sealed steps run in the wrong order.", seal="seal_backwards")
_add("relu_keeps_the_latest_binding", "Steps of two callers share what one of them bound.", relu="LatestRelu")
