"""An ONNX file as a TVM module whose convolutions are in NHWC, with what its importer leaves in the way put right.

The importer writes Clip as two opaque functions, behind which every layout ends, and TVM folds constants by compiling
each transposition. So Clip becomes operators that TVM knows, and constants are moved by numpy.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from orpheus_core.errors import BackendError
from orpheus_core.types import Array

__all__ = ["fused"]


def fused(path: Path, target: Any) -> Any:
    """The model in ``path`` as fused functions that are not scheduled yet, constants inside.

    Raises BackendError, with the operator, for what TVM does not import.
    """
    module = _imported(path)
    layouts = relax.transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "HWIO"]})
    with target:
        module = _mutated(_Known, _mutated(_Folded, relax.transform.DecomposeOpsForInference()(module)))
        module = _mutated(_Folded, relax.transform.CanonicalizeBindings()(layouts(module)))
        return relax.get_pipeline("zero")(module)


def _imported(path: Path) -> Any:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):  # where it names the operator that an error is of
            return from_onnx(onnx.load(path))
    except Exception as error:  # of any type: its converters check little
        operator = re.search(r"converting operator (\w+)", said.getvalue())
        where = f" at {operator[1]}" if operator else ""
        reason = " ".join(str(error).split())[:300]
        raise BackendError(
            f"TVM does not import {path.name}{where}: {type(error).__name__}: {reason}"
        ) from error


def _mutated(mutator: Any, module: Any) -> Any:
    made = mutator(module)
    for variable, function in module.functions.items():
        if isinstance(function, relax.Function):
            made.builder_.update_func(variable, made.visit_expr(function))
    clean = (relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination())
    return tvm.transform.Sequential(clean)(made.builder_.get())


_FOLDED: dict[str, Callable[[Any, list[Array]], Array]] = {
    "relax.permute_dims": lambda call, x: np.transpose(x[0], _axes(call.attrs.axes)),
    "relax.expand_dims": lambda call, x: np.expand_dims(x[0], tuple(_axes(call.attrs.axis) or ())),
    "relax.reshape": lambda call, x: x[0].reshape([int(n) for n in call.args[1].values]),
    "relax.isnan": lambda call, x: np.isnan(x[0]),
    "relax.where": lambda call, x: np.where(*x),
}


def _axes(given: Any) -> list[int] | None:
    return None if given is None else [int(axis) for axis in given]


def _constant(mutator: Any, expression: Any) -> Any:
    """The constant that ``expression`` is, or is bound to; else None."""
    if isinstance(expression, relax.Var):
        expression = mutator.lookup_binding(expression)
    return expression if isinstance(expression, tvm.ir.GenericConst) else None


@relax.expr_functor.mutator
class _Folded(relax.PyExprMutator):  # type: ignore[misc]
    """Moved constants as constants."""

    def visit_call_(self, call: Any) -> Any:
        call = super().visit_call_(call)
        fold = _FOLDED.get(getattr(call.op, "name", ""))
        tensors = [a for a in call.args if not isinstance(a, relax.ShapeExpr)]
        constants = [_constant(self, a) for a in tensors]
        if fold is None or any(c is None for c in constants):
            return call
        value = fold(call, [c.value.numpy() for c in constants])
        return relax.const(np.ascontiguousarray(value).reshape(value.shape), str(value.dtype))


@relax.expr_functor.mutator
class _Known(relax.PyExprMutator):  # type: ignore[misc]
    """``maximum`` and ``minimum`` of the importer's own as operators, where the bound is a constant."""

    def visit_call_(self, call: Any) -> Any:
        call = super().visit_call_(call)
        if getattr(call.op, "name", "") != "relax.call_tir" or len(call.args[1]) != 2:
            return call
        bound = _constant(self, call.args[1][1])
        name = call.args[0].name_hint.rstrip("0123456789")
        if bound is None or bound.value.numpy().ndim or name not in ("maximum", "minimum"):
            return call
        return getattr(relax.op, name)(call.args[1][0], bound)
