"""Judging one case: run the kernel, ask the oracle, compare element by element, say what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from orpheus_conformance.case import Case, CaseError
from orpheus_conformance.instance import InvalidCase, Instance, instantiate
from orpheus_conformance.oracle import Oracle, OracleError, widened, with_values
from orpheus_conformance.space import find_space
from orpheus_conformance.subject import Manner, Observed, Subject, format_of, is_broken, observe
from orpheus_conformance.tolerance import MOVEMENT, Evidence, Tolerance, tiny
from orpheus_conformance.tiers import TIERS
from orpheus_core.types import Array, DType

PASSED, FAILED, REFUSED, INVALID, UNJUDGED = "passed", "failed", "refused", "invalid", "unjudged"


@dataclass(frozen=True)
class Verdict:
    """``passed``, ``failed``, ``refused`` (by the kernel, with its reason), ``invalid`` (no case of the tier, or no
    layer at all) or ``unjudged`` (the oracle cannot compute it).
    """

    outcome: str
    message: str = ""


#: Judges a case; what the engine calls, in this process or another.
Judge: TypeAlias = Callable[[Case], Verdict]


@dataclass(frozen=True, eq=False)
class Court:
    """Judges cases of one kernel with one oracle."""

    subject: Subject
    oracle: Oracle

    def __call__(self, case: Case) -> Verdict:
        """The verdict on a case. CaseError when it cannot be read."""
        space = find_space(case.domain, case.op)
        if space is None:
            raise CaseError(f"operator {case.op_id} has no problem space")
        try:
            instance = instantiate(case)
        except InvalidCase as error:
            return Verdict(INVALID, str(error))
        tier = TIERS.get(case.tier)
        if tier is None:
            raise CaseError(f"no tier of generated cases is called {case.tier!r}; there are {', '.join(TIERS)}")
        if not tier.admits(instance, space):
            return Verdict(INVALID, f"not a case of tier {case.tier}")
        found, refusal = self.subject.answer(instance.problem)
        if refusal is not None:
            if is_broken(refusal):
                return Verdict(FAILED, f"refused without a reason: {refusal.text or 'empty text'}")
            return Verdict(REFUSED, refusal.text)
        wanted = [c for c in found if c.format == format_of(case) and not c.late]
        if not wanted:
            shown = ", ".join(c.label for c in found)
            return Verdict(REFUSED, f"takes the layer in another format ({shown}), or only once shapes are known")
        try:
            observed = observe(self.subject, wanted[0], instance, Manner.of(case.variant))
        except (CaseError, KeyboardInterrupt):
            raise
        except BaseException as error:
            return Verdict(FAILED, f"accepted the layer, then raised {type(error).__name__}: {_short(error)}")
        try:
            message = "; ".join(observed.violations) or self._compare(instance, observed, space.tolerance_of(case))
        except OracleError as error:
            return Verdict(UNJUDGED, str(error))
        return Verdict(FAILED, message) if message else Verdict(PASSED)

    def _compare(self, instance: Instance, observed: Observed, tolerance: Tolerance) -> str:
        case = instance.case
        factor = self.subject.kernel.accuracy.factor
        exact = case.tier == "exact" and tolerance.exact_integers and self.subject.kernel.accuracy.exact_integers
        judged = instance if tolerance.native else widened(instance)
        expected = self.oracle(judged)
        for index, (got, want) in enumerate(zip(observed.outputs, expected)):
            if not case.outputs[index]:
                continue
            type_ = instance.problem.outputs[index]
            promised = type_.dtype if hasattr(type_, "dtype") else None
            message = _kind_mismatch(got, want, promised)
            if not message and isinstance(got, np.ndarray) and got.dtype != object:
                bound = None if exact else self._bound(judged, expected, index, got, tolerance)
                loose = factor > 1 or not self.subject.kernel.accuracy.exact_integers
                message = difference(got, np.asarray(want), bound, factor, tolerance, spreads=loose and _has_strange(instance))
                if message and not tolerance.native and case.tier == "special":
                    flushed = widened(instance, flush=True)
                    other = self.oracle(flushed)
                    bound = self._bound(flushed, other, index, got, tolerance)
                    message = message and difference(got, np.asarray(other[index]), bound, factor, tolerance,
                                                     spreads=loose and _has_strange(instance))
            elif not message:
                message = "" if _equal(got, want) else f"got {_short(got)}, expected {_short(want)}"
            if message:
                return f"output {index}: {message}"
        return ""

    def _bound(
        self, instance: Instance, expected: tuple[Any, ...], index: int, got: Array, tolerance: Tolerance
    ) -> Array | None:
        def evaluate(attributes: Any, inputs: Any) -> Any:
            return self.oracle(with_values(instance, attributes, inputs))

        dtype = DType.from_numpy(got.dtype).value
        with np.errstate(all="ignore"):
            return tolerance.bound(
                Evidence(instance.case, instance.node.attributes, instance.arrays, expected, index, dtype, evaluate)
            )


def _kind_mismatch(got: Any, want: Any, promised: DType | None) -> str:
    if isinstance(want, np.ndarray) or np.isscalar(want):
        if not isinstance(got, np.ndarray) and not np.isscalar(got):
            return f"got {type(got).__name__}, expected a tensor"
        if np.shape(got) != np.shape(want):
            return f"got shape {list(np.shape(got))}, expected {list(np.shape(want))}"
        if promised is not None and isinstance(got, np.ndarray) and DType.from_numpy(got.dtype) is not promised:
            return f"got element type {got.dtype}, expected {promised}"
    return ""


def difference(
    got: Array, want: Array, bound: Array | None, factor: float, tolerance: Tolerance, *, spreads: bool = False
) -> str:
    """What is wrong with a result, the worst element first; empty when nothing is.

    ``want`` may be wider than ``got``. ``bound`` None demands equality after rounding ``want`` once. ``spreads``: a
    transform may turn finite results near a NaN or an infinity into NaN.
    """
    if got.dtype == np.bool_:
        raw = got.view(np.uint8)
        if (raw > 1).any():
            return f"a boolean holds byte {int(raw.max())}, neither 0 nor 1"
        wrong = raw != want.astype(np.uint8)
        return _report(got, want, wrong, None)
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
    if got.dtype.kind in "iu" and bound is None or got.dtype.kind == "c":
        wrong = got != rounded
        if got.dtype.kind == "c":
            wrong &= ~(np.isnan(got) & np.isnan(rounded))
        return _report(got, rounded, wrong, None)
    mine, right = got.astype(np.float64), rounded.astype(np.float64)
    with np.errstate(all="ignore"):
        if bound is None:
            wrong = (mine != right) & ~(np.isnan(mine) & np.isnan(right))
            if tolerance.signed_zero:
                wrong |= (mine == 0) & (right == 0) & (np.signbit(mine) != np.signbit(right))
            return _report(got, rounded, wrong, None)
        slack = np.nan_to_num(bound * factor, nan=0.0, posinf=0.0)
        target = want.astype(np.float64)
        close = np.abs(mine - target) <= slack
        # Overflow: a value within its bound of the type's largest may end on either side.
        over = (np.abs(target) + slack > _largest(got.dtype)) & np.isinf(mine) & (np.sign(mine) == np.sign(target))
        same = (mine == right) | (np.isnan(mine) & np.isnan(right))
        wrong = ~(close | over | same)
        if spreads:
            wrong &= ~(np.isnan(mine))
    return _report(got, target, wrong, slack)


def _report(got: Array, want: Array, wrong: Array, slack: Array | None) -> str:
    if not wrong.any():
        return ""
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(np.float64) - want.astype(np.float64)) if got.dtype.kind != "c" else np.abs(got - want)
        ratio = error if slack is None else error / np.maximum(slack, tiny("float64"))
    ratio = np.where(wrong, np.nan_to_num(ratio, nan=math.inf, posinf=math.inf), -1.0)
    place = np.unravel_index(int(np.argmax(ratio)), got.shape) if got.ndim else ()
    where = f"[{','.join(map(str, place))}]"
    allowed = "" if slack is None else f", allowed error {float(slack[place]):.3g}"
    return f"{int(wrong.sum())} of {got.size} elements wrong; {where} is {got[place]!s}, expected {want[place]!s}{allowed}"


def _largest(dtype: np.dtype[Any]) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype).max) if DType.from_numpy(dtype).is_float else math.inf


def _has_strange(instance: Instance) -> bool:
    for array in instance.arrays:
        if isinstance(array, np.ndarray) and array.dtype != object and DType.from_numpy(array.dtype).is_float:
            if not np.isfinite(array.astype(np.float64)).all():
                return True
    return False


def _equal(got: Any, want: Any) -> bool:
    if isinstance(want, np.ndarray):
        if not isinstance(got, np.ndarray) or got.shape != want.shape:
            return False
        if want.dtype == object:
            return bool(got.tolist() == want.tolist())
        return not difference(got, want, None, 1.0, MOVEMENT)
    if isinstance(want, (list, tuple)):
        return isinstance(got, (list, tuple)) and len(got) == len(want) and all(map(_equal, got, want))
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(_equal(got[k], want[k]) for k in want)
    return bool(got == want) or (got is None and want is None)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 300 else text[:297] + "..."
