"""Losses over class scores [N, C, ...] and class numbers [N, ...]."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Evidence

_OPEN = {"special": "what a NaN score of an ignored class gives is left open"}


def _length(case: Case) -> int:
    x = case.inputs[0]
    assert isinstance(x, Operand)
    return math.prod(x.shape)


def _term(e: Evidence) -> float:
    return 2 * float(np.abs(e.inputs[0]).max(initial=0.0)) + 2


def _loss(op: str, score: str, label: str, weight: str) -> None:
    @space(op, Conditioned(_length, "logarithms of sums, weighted and added", magnitude=_term), without=_OPEN)
    def draw(d: Draw) -> Layer:
        dtype = d.dtype("T")
        batch, classes = d.choose((2, 1, 3)), d.choose((3, 1, 2, 5))
        spatial = tuple(d.choose((1, 2, 3)) for _ in range(d.choose((0, 1, 2))))
        count = batch * math.prod(spatial)
        labels = [d.integer(0, classes - 1) for _ in range(count)]
        attributes: dict[str, Any] = {"reduction": d.attribute("reduction", (OMIT, "mean", "sum", "none"))}
        ignored: Any = d.choose((OMIT, 0, -1, classes))
        attributes["ignore_index"] = ignored
        if ignored is not OMIT:
            # The first is never ignored, so that a mean has something to divide by.
            labels = [ignored if n and d.flag() else v for n, v in enumerate(labels)]
            labels[0] = next((c for c in range(classes) if c != ignored), labels[0])
        target = Operand(d.dtype("Tind"), (batch, *spatial), "normal", tuple(labels))
        present = weight if d.present(weight) else None
        weights = d.tensor(weight, dtype, (classes,), low=0.25, constant=None) if present else None
        outputs = (True, True) if op.startswith("Softmax") and d.present("log_prob") else (True,)
        return Layer(
            (d.tensor(score, dtype, (batch, classes, *spatial)), target, weights), attributes, outputs
        )


_loss("NegativeLogLikelihoodLoss", "input", "target", "weight")
_loss("SoftmaxCrossEntropyLoss", "scores", "labels", "weights")
