"""Oracles: the expected results, in float64, from code that is not the kernel's.

The usual oracle is the reference backend's short, plain kernels on float64 inputs. The reference itself is judged by
``onnx.reference``, on float64 too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from onnx.reference import ReferenceEvaluator

from orpheus_conformance.bodies import callables
from orpheus_conformance.case import Case, Input, Operand, Sequence
from orpheus_conformance.formulas import Formula, find_formula
from orpheus_conformance.formulas.resized import shrunk_to_one
from orpheus_conformance.instance import Instance, assemble, spec_of_case
from orpheus_conformance.tolerance import tiny
from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Graph, Value
from orpheus_core.importer.export import to_onnx
from orpheus_core.plugin import Kernel
from orpheus_core.selection.candidates import Candidate
from orpheus_core.selection.invoke import function_of, keywords, prepare
from orpheus_core.types import DType, TensorType


class OracleError(OrpheusError):
    """The oracle cannot compute a case that the operator allows."""


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:197] + '...'}"


class Oracle(Protocol):
    """Computes the outputs of an instance, in the element types it has."""

    name: str

    def __call__(self, instance: Instance) -> tuple[Any, ...]:
        """One value per output, None where it is not wanted. Raises OracleError."""


class NumpyOracle:
    """The reference backend's kernel, the plainest where there are several; a formula where it has none."""

    name = "orpheus-numpy"

    def __init__(self) -> None:
        import orpheus_numpy

        self.backend = orpheus_numpy.orpheus_backend()
        self._table: dict[tuple[str, str], list[Kernel]] = {}
        for kernel in self.backend.kernels:
            self._table.setdefault((kernel.domain, kernel.op), []).append(kernel)

    def __call__(self, instance: Instance) -> tuple[Any, ...]:
        """See :class:`Oracle`."""
        case = instance.case
        version = instance.node.version
        known = self._table.get((case.domain, case.op), [])
        fitting = [
            k for k in known if k.opset[0] <= version and (k.opset[1] is None or version <= k.opset[1])
        ]
        kernel = next((k for k in fitting if k.run is not None), fitting[0] if fitting else None)
        if kernel is None and spec_of_case(case).decompose is not None:
            # Reorder: of Orpheus's own operators, one that backends need not have.
            return by_reference(instance)
        if kernel is None:
            known_formula = find_formula(case)
            if known_formula is not None:
                return _computed(known_formula, instance)
            raise OracleError(f"the reference has no kernel for {case.op_id} of version {version}")
        candidate = Candidate(self.backend, kernel, kernel.formats[0])
        try:
            with np.errstate(all="ignore"):
                results = self._run(candidate, instance)
        except Exception as error:
            raise OracleError(f"the reference cannot compute {case.op_id}: {_brief(error)}") from error
        return tuple(r if wanted else None for r, wanted in zip(results, case.outputs))

    def _run(self, candidate: Candidate, instance: Instance) -> tuple[Any, ...]:
        kernel, problem = candidate.kernel, instance.problem
        if kernel.run is not None:
            words = keywords(candidate, problem, callables(problem.attributes))
            if kernel.writes_out:
                words["out"] = (None,) * len(problem.outputs)
            result = function_of(kernel.run)(*instance.arrays, **words)
            return result if type(result) is tuple else (result,)
        outputs = []
        for type_ in problem.outputs:
            shape = type_.static_shape if isinstance(type_, TensorType) else None
            outputs.append(None if shape is None else np.zeros(shape, type_.dtype.numpy))  # type: ignore[union-attr]
        prepared = prepare(candidate, problem)
        size = getattr(prepared, "workspace", 0)
        prepared.bind(instance.arrays, outputs, np.zeros(size, np.uint8) if size else None)()
        return tuple(outputs)


def _dilated_specials(case: Case) -> bool:
    dilated = any(d > 1 for d in case.attributes.get("dilations", ()))
    return case.tier == "special" and dilated


def _hard_swish(case: Case) -> bool:
    return case.attributes.get("activation") == "HardSwish"


def _capped_scores(case: Case) -> bool:
    scores = len(case.outputs) > 3 and case.attributes.get("qk_matmul_output_mode", 0) < 3
    return scores and bool(case.attributes.get("softcap"))


def _ignored_minus_one(case: Case) -> bool:
    weighted = len(case.inputs) > 2 and case.inputs[2] is not None
    mean = case.attributes.get("reduction", "mean") == "mean"
    return case.attributes.get("ignore_index") == -1 and mean and not weighted


def _softmax_zero(case: Case) -> bool:
    return case.attributes.get("post_transform") == "SOFTMAX_ZERO"


#: (domain, operator) -> when ``onnx.reference`` is no judge, and why. Such cases are counted as unjudged, by reason.
FAULTS: dict[tuple[str, str], tuple[tuple[Callable[[Case], bool], str], ...]] = {
    ("", "Conv"): ((_dilated_specials, "it fills dilated filters with zeros, and multiplies NaN by them"),),
    ("ai.orpheus", "FusedConv"): (
        (_dilated_specials, "it fills dilated filters with zeros, and multiplies NaN by them"),
        (_hard_swish, "its HardSwish takes 1/6 as a float32"),
    ),
    ("", "NegativeLogLikelihoodLoss"): (
        (
            _ignored_minus_one,
            "it takes an ignore_index of -1 for none when it divides by the number of targets",
        ),
    ),
    ("", "Resize"): (
        (
            shrunk_to_one,
            "it asks whether the exact length is one, the page whether the resized length is; and puts the one"
            " element at -0.5, the page at 0",
        ),
    ),
    ("ai.onnx.ml", "LinearClassifier"): (
        (
            _softmax_zero,
            "it labels by transformed scores, in which a zero stays below; runtimes by the scores",
        ),
    ),
    ("", "Attention"): ((_capped_scores, "its qk_matmul_output of mode 0 has the softcap applied"),),
    ("ai.orpheus", "FusedMatMul"): ((_hard_swish, "its HardSwish takes 1/6 as a float32"),),
    ("ai.orpheus", "ScaleShift"): ((_hard_swish, "its HardSwish takes 1/6 as a float32"),),
    ("ai.orpheus", "FusedGemm"): ((_hard_swish, "its HardSwish takes 1/6 as a float32"),),
}


class OnnxOracle:
    """``onnx.reference`` on a model of the one node; Orpheus's own operators through their decomposition."""

    name = "onnx.reference"

    def __call__(self, instance: Instance) -> tuple[Any, ...]:
        """See :class:`Oracle`."""
        node = instance.node
        known = find_formula(instance.case)
        if known is not None:
            return _computed(known, instance)
        for when, why in FAULTS.get((node.domain, node.op), ()):
            if when(instance.case):
                raise OracleError(f"onnx.reference is no judge of {node.op_id} here: {why}")
        return by_reference(instance)


def by_reference(instance: Instance) -> tuple[Any, ...]:
    """What ``onnx.reference`` gives for the node of an instance. Raises OracleError."""
    node = instance.node
    feeds = {v.name: a for v, a in zip(node.inputs, instance.arrays) if v is not None and v.const is None}
    inputs = tuple(v for v in node.inputs if v is not None and v.const is None)
    try:
        model = to_onnx(Graph(inputs, node.results, (node,)))
        with np.errstate(all="ignore"):
            results = iter(ReferenceEvaluator(model).run(None, feeds))
    except Exception as error:
        case = instance.case
        raise OracleError(f"onnx.reference cannot compute {case.op_id}: {_brief(error)}") from error
    return tuple(None if v is None else next(results) for v in node.outputs)


def _computed(known: Formula, instance: Instance) -> tuple[Any, ...]:
    """The outputs by an independent formula (:mod:`.formulas`). Raises OracleError."""
    try:
        with np.errstate(all="ignore"):
            results = known.compute(instance)
    except Exception as error:
        case = instance.case
        raise OracleError(f"no formula computes {case.op_id} here: {_brief(error)}") from error
    return tuple(r if wanted else None for r, wanted in zip(results, instance.case.outputs))


ORACLES: dict[str, Callable[[], Oracle]] = {"numpy": NumpyOracle, "onnx": OnnxOracle}


def oracle_for(backend: str, choice: str = "auto") -> Oracle:
    """The oracle to judge a backend by: ``numpy``, ``onnx``, or with ``auto`` the one that is not the backend's own."""
    name = ("onnx" if backend == "numpy" else "numpy") if choice == "auto" else choice
    return ORACLES[name]()


def widened(instance: Instance, *, flush: bool = False) -> Instance:
    """The same layer with every float operand in float64; with ``flush``, denormals as zeros."""
    case = instance.case
    operands = tuple(_wide_operand(o) for o in case.inputs)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one when it is cast
        arrays = tuple(_wide_value(a, flush) for a in instance.arrays)
    return _again(case.replace(inputs=operands), instance, arrays, instance.node.attributes)


def flushed(instance: Instance) -> Instance:
    """The same layer, in its own element types, with denormals as zeros."""
    with np.errstate(invalid="ignore"):
        arrays = tuple(_flushed(a) for a in instance.arrays)
    return _again(instance.case, instance, arrays, instance.node.attributes)


def with_values(instance: Instance, attributes: Mapping[str, Any], arrays: tuple[Any, ...]) -> Instance:
    """The same layer with other attributes and arrays."""
    return _again(instance.case, instance, arrays, attributes)


def _again(
    case: Case, instance: Instance, arrays: tuple[Any, ...], attributes: Mapping[str, Any]
) -> Instance:
    try:
        return assemble(case, spec_of_case(case), arrays, attributes)
    except OrpheusError:
        # The operator is not defined on float64; its kernels and decompositions compute it all the same.
        def wide(type_: Any) -> Any:
            floats = isinstance(type_, TensorType) and type_.dtype.is_float
            return replace(type_, dtype=DType.FLOAT64) if floats else type_

        problem = instance.problem
        given = tuple(
            None if v is None else Value(v.name, wide(v.type), None if v.const is None else a)
            for v, a in zip(instance.node.inputs, arrays)
        )
        problem = replace(
            problem,
            attributes=attributes,
            inputs=tuple(map(wide, problem.inputs)),
            outputs=tuple(map(wide, problem.outputs)),
            constants={i: arrays[i] for i in problem.constants},
        )
        return Instance(case, instance.node.replace(attributes=attributes, inputs=given), problem, arrays)


def _wide_operand(operand: Input) -> Input:
    if isinstance(operand, Operand):
        return replace(operand, dtype="float64") if DType(operand.dtype).is_float else operand
    if isinstance(operand, Sequence) and DType(operand.dtype).is_float:
        return Sequence("float64", tuple(replace(e, dtype="float64") for e in operand.elements))
    return operand


def _wide_value(value: Any, flush: bool) -> Any:
    if isinstance(value, list):
        return [_wide_value(v, flush) for v in value]
    if (
        not isinstance(value, np.ndarray)
        or value.dtype == object
        or not DType.from_numpy(value.dtype).is_float
    ):
        return value
    return (_flushed(value) if flush else value).astype(np.float64)


def _flushed(value: Any) -> Any:
    if isinstance(value, list):
        return [_flushed(v) for v in value]
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind == "O"
        or not DType.from_numpy(value.dtype).is_float
    ):
        return value
    least = tiny(DType.from_numpy(value.dtype).value)
    small = np.abs(value.astype(np.float64)) < least
    zero = value.dtype.type(0)
    return np.where(small, np.where(np.signbit(value), -zero, zero), value)
