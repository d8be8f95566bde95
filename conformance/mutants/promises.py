"""Mutants that break a promise of the plugin interface."""

from __future__ import annotations

import numpy as np

from mutants import plain
from mutants.mutant import MUTANTS, Trial, kernel_of, mutant
from orpheus_core.plugin import API, Backend, Ready, Rule


@mutant("Relu")
def relu_declines_by_exception(X):
    """Opts out when it runs, not by a rule."""
    if X.ndim > 2:
        raise NotImplementedError("rank above 2")
    return plain.relu(X)


def empty_reason(problem):
    """A refusal that says nothing."""
    return "" if problem.field("X.rank") == 3 else None


def raising_supports(problem):
    """Fails on problems that it should refuse."""
    rows, columns = problem.inputs[0].static_shape[-2:]
    return None if rows * columns else "needs elements"


@mutant("Relu", supports="mutants.promises:empty_reason")
def relu_refuses_without_a_reason(X):
    """Says no, not why."""
    return plain.relu(X)


@mutant("Relu", supports="mutants.promises:raising_supports")
def relu_fails_to_refuse(X):
    """Its ``supports`` raises on vectors."""
    return plain.relu(X)


@mutant("Conv")
def conv_calls_the_reference(X, W, B=None, *, group=1, **attributes):
    """Silently hands groups to the reference."""
    if group > 1:
        from orpheus_numpy.nn.conv import conv

        return conv(X, W, B, group=group, **attributes)
    return plain.conv(X, W, B, group=group, **attributes)


@mutant("MatMul")
def matmul_calls_onnx(A, B):
    """Silently hands stacks to onnx.reference."""
    if A.ndim > 2 or B.ndim > 2:
        from onnx import TensorProto, helper
        from onnx.reference import ReferenceEvaluator

        kind = TensorProto.FLOAT if A.dtype == np.float32 else TensorProto.DOUBLE
        infos = [helper.make_tensor_value_info(n, kind, None) for n in "ABY"]
        graph = helper.make_graph([helper.make_node("MatMul", ["A", "B"], ["Y"])], "g", infos[:2], infos[2:])
        return ReferenceEvaluator(helper.make_model(graph)).run(None, {"A": A, "B": B})[0]
    return plain.matmul(A, B)


def _whole(name: str, doc: str, *kernels, manifest=None, **more):
    MUTANTS[name] = Trial(name, doc, Backend(name=f"toy_{name}", api=API, kernels=kernels, **more), manifest)


def ready():
    """A probe that has not looked."""
    return Ready("everything is fine")


def absent_device(X):
    """What the probe would have found."""
    raise OSError("libdevice.so: cannot open shared object file")


def raising_probe():
    """A probe that fails in place of saying no."""
    raise OSError("no device")


_RELU = kernel_of("Relu", "mutants.plain:relu")
_whole(
    "reference_does_not_resolve",
    "The kernel's code is not there.",
    kernel_of("Relu", "mutants.plain:rectify"),
)
_whole(
    "reference_is_another_backends_kernel",
    "The manifest names the reference's own code.",
    kernel_of("Conv", "orpheus_numpy.nn.conv:conv"),
)
_whole(
    "probe_is_dishonest", "Ready, and then nothing runs.", kernel_of("Relu", "mutants.promises:absent_device"),
    probe="mutants.promises:ready",
)  # fmt: skip
_whole(
    "probe_raises", "Raises in place of saying Unavailable.", _RELU, probe="mutants.promises:raising_probe"
)
_whole("manifest_is_heavy", "Listing the backend imports its kernels.", _RELU, manifest="mutants.heavy")
_whole(
    "rule_names_nothing", "A rule on an attribute that the operator does not have is never looked at.",
    kernel_of("Conv", "mutants.plain:conv", where=(Rule("groups", "==", None),)),
)  # fmt: skip
_whole(
    "rules_leave_nothing", "Two rules contradict each other, so that nothing is ever run.",
    kernel_of("Relu", "mutants.plain:relu", where=(Rule("X.rank", "==", 2), Rule("X.rank", "==", 3))),
)  # fmt: skip
_whole("backend_is_empty", "A backend that implements nothing has not passed.")
