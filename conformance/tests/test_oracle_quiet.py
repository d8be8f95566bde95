"""What the oracle does with a signalling NaN is its own matter: nothing of it reaches a user's stderr."""

from __future__ import annotations

import warnings

import numpy as np
from orpheus_conformance.case import Case, Operand
from orpheus_conformance.instance import instantiate
from orpheus_conformance.oracle import flushed, widened


def test_widening_a_signalling_nan_is_silent():
    case = Case("Relu", 14, (Operand("float32", (2,)),))
    instance = instantiate(case)
    signalling = np.array([0x7F800001, 0x00000001], np.uint32).view(np.float32)
    instance = type(instance)(case, instance.node, instance.problem, (signalling,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide = widened(instance, flush=True).arrays[0]
        flat = flushed(instance).arrays[0]
    assert np.isnan(wide[0]) and wide[1] == 0
    assert np.isnan(flat[0]) and flat[1] == 0
