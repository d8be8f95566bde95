"""Mutants of fused epilogues."""

from __future__ import annotations

from mutants import plain
from mutants.mutant import mutant
from orpheus_core.plugin import Rule

_ACTIVATIONS = ("", "Relu", "Clip", "LeakyRelu")
FUSED = {"domain": "ai.orpheus", "where": (Rule("activation", "in", _ACTIVATIONS),)}


@mutant("FusedConv", **FUSED)
def fused_activates_before_residual(X, W, B=None, R=None, scale=None, shift=None, **attributes):
    """The residual is added last."""
    if R is None or scale is not None:
        return plain.fused_conv(X, W, B, R, scale, shift, **attributes)
    Y, S = plain.fused_conv(X, W, B, **attributes)
    return Y + R, S + R


@mutant("FusedConv", **FUSED)
def fused_forgets_bias_with_residual(X, W, B=None, R=None, scale=None, shift=None, **attributes):
    """The residual takes the accumulator's place, which held the bias."""
    return plain.fused_conv(X, W, B if R is None else None, R, scale, shift, **attributes)


@mutant("FusedConv", **FUSED)
def fused_stores_activated_sum(X, W, B=None, R=None, scale=None, shift=None, **attributes):
    """The second output is the activated value, not the sum before it."""
    Y, _ = plain.fused_conv(X, W, B, R, scale, shift, **attributes)
    return Y, Y


@mutant("FusedConv", **FUSED)
def fused_scales_before_residual(X, W, B=None, R=None, scale=None, shift=None, **attributes):
    """Scale and shift are folded into the weights, though the residual comes between."""
    if scale is None or R is None:
        return plain.fused_conv(X, W, B, R, scale, shift, **attributes)
    Y, S = plain.fused_conv(X, W, B, None, scale, shift, **{**attributes, "activation": ""})
    return plain.activate(Y + R, attributes["activation"], attributes["activation_params"]), S + R
