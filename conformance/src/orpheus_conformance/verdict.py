"""Judging one case: run the kernel, ask the oracle, compare element by element, say what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from orpheus_conformance.case import Case, CaseError
from orpheus_conformance.distribution import Distribution
from orpheus_conformance.instance import Instance, InvalidCase, instantiate
from orpheus_conformance.oracle import Oracle, OracleError, flushed, widened, with_values
from orpheus_conformance.space import find_space
from orpheus_conformance.split import observe_split
from orpheus_conformance.subject import Manner, Observed, Subject, format_of, is_broken, observe
from orpheus_conformance.tiers import TIERS
from orpheus_conformance.tolerance import Evidence, Tolerance, finfo, tiny
from orpheus_core.types import Array, DType, TensorType

PASSED, FAILED, REFUSED, INVALID, UNJUDGED = "passed", "failed", "refused", "invalid", "unjudged"
#: A case that a declared defect covers (:mod:`.expect`): it is not run.
EXPECTED = "expected"
#: The kind of an invalid case that is a valid layer, of which the tier has nothing to say.
UNFIT = "unfit"


@dataclass(frozen=True)
class Verdict:
    """``passed``, ``failed``, ``refused`` (by the kernel, with its reason), ``invalid`` (no case of the tier, or no
    layer at all) or ``unjudged`` (the oracle cannot compute it).

    ``kind`` of a failure: ``wrong``, ``raises:TypeOfError``, and from another process ``crash`` and ``timeout``.
    """

    outcome: str
    message: str = ""
    kind: str = "wrong"


#: Judges a case; what the engine calls, in this process or another.
Judge: TypeAlias = Callable[[Case], Verdict]


@dataclass(frozen=True, eq=False)
class Court:
    """Judges cases of one kernel with one oracle.

    ``note(index, got, right)`` is told of each output that is compared, with its right answers and their bounds.
    """

    subject: Subject
    oracle: Oracle
    note: Callable[[int, Any, Sequence[tuple[Any, Array | None]]], object] | None = None

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
            raise CaseError(
                f"no tier of generated cases is called {case.tier!r}; there are {', '.join(TIERS)}"
            )
        if not tier.admits(instance, space):
            return Verdict(INVALID, f"not a case of tier {case.tier}", UNFIT)
        found, refusal = self.subject.answer(instance.problem)
        if refusal is not None:
            if is_broken(refusal):
                return Verdict(FAILED, f"refused without a reason: {refusal.text or 'empty text'}")
            return Verdict(REFUSED, refusal.text)
        wanted = [c for c in found if c.format == format_of(case) and not c.late]
        if not wanted:
            shown = ", ".join(c.label for c in found)
            return Verdict(
                REFUSED, f"takes the layer in another format ({shown}), or only once shapes are known"
            )
        answer = self.subject.supports(instance.problem, wanted[0])
        if answer is not None:
            return Verdict(
                FAILED, f"supports returned {answer!r}: None accepts, a text of some length refuses"
            )
        try:
            manner = Manner.of(case.variant)
            if manner.split:
                observed = observe_split(self.subject, instance, space)
            else:
                observed = observe(self.subject, wanted[0], instance, manner)
        except (CaseError, KeyboardInterrupt):
            raise
        except BaseException as error:
            name = type(error).__name__
            message = f"accepted the layer, then raised {name}: {_short(error)}"
            return Verdict(FAILED, message, f"raises:{name}")
        try:
            tolerance = space.tolerance_of(case)
            message = "; ".join(observed.violations)
            if isinstance(tolerance, Distribution):
                again = partial(observe, self.subject, wanted[0], instance, manner)
                message = message or tolerance.judge(instance, observed.outputs, lambda: again().outputs)
            else:
                message = message or self._compare(instance, observed, tolerance)
        except OracleError as error:
            return Verdict(UNJUDGED, str(error))
        return Verdict(FAILED, message) if message else Verdict(PASSED)

    def _compare(self, instance: Instance, observed: Observed, tolerance: Tolerance) -> str:
        case, accuracy = instance.case, self.subject.kernel.accuracy
        exact = case.tier == "exact" and tolerance.exact_integers and accuracy.exact_integers
        spreads = self._transforms and _has_strange(instance)
        judged = [instance if tolerance.native else widened(instance)]
        if case.tier == "special" and not tolerance.signed_zero:
            judged.append(flushed(instance) if tolerance.native else widened(instance, flush=True))
        answers = [(of, self.oracle(of)) for of in judged]
        for index, got in enumerate(observed.outputs):
            if index >= len(case.outputs) or not case.outputs[index]:
                continue
            want = answers[0][1][index]
            type_ = instance.problem.outputs[index]
            right: list[tuple[Any, Array | None]] = [(want, None)]
            message = _kind_mismatch(got, want, type_.dtype if isinstance(type_, TensorType) else None)
            if not message and isinstance(got, np.ndarray) and got.dtype != object:
                right = []
                for of, expected in answers:
                    if np.shape(expected[index]) != got.shape:
                        continue  # with denormals as zeros a result may even have another size (NonZero)
                    bound = None if exact else self._bound(of, expected, index, got, tolerance)
                    scaled = None if bound is None else bound * accuracy.factor
                    right.append((np.asarray(expected[index]), scaled))
                message = difference(got, right, signed_zero=tolerance.signed_zero, spreads=spreads)
            elif not message:
                message = "" if _equal(got, want) else f"got {_short(got)}, expected {_short(want)}"
            if self.note is not None:
                self.note(index, got, right)
            if message:
                return f"output {index}: {message}"
        return ""

    def _bound(
        self, instance: Instance, expected: tuple[Any, ...], index: int, got: Array, tolerance: Tolerance
    ) -> Array | None:
        def evaluate(attributes: Any, inputs: Any) -> Any:
            return self.oracle(with_values(instance, attributes, inputs))

        dtype = DType.from_numpy(got.dtype).value
        case, attributes = instance.case, instance.node.attributes
        with np.errstate(all="ignore"):
            return tolerance.bound(
                Evidence(
                    case,
                    attributes,
                    instance.arrays,
                    expected,
                    index,
                    dtype,
                    evaluate,
                    self._transforms,
                    self.subject.kernel.accuracy.normwise,
                )
            )

    @property
    def _transforms(self) -> bool:
        accuracy = self.subject.kernel.accuracy
        return accuracy.factor > 1 or not accuracy.exact_integers


def _kind_mismatch(got: Any, want: Any, promised: DType | None) -> str:
    if isinstance(want, np.ndarray) or np.isscalar(want):
        if not isinstance(got, np.ndarray) and not np.isscalar(got):
            return f"got {type(got).__name__}, expected a tensor"
        if np.shape(got) != np.shape(want):
            return f"got shape {list(np.shape(got))}, expected {list(np.shape(want))}"
        if (
            promised is not None
            and isinstance(got, np.ndarray)
            and DType.from_numpy(got.dtype) is not promised
        ):
            return f"got element type {got.dtype}, expected {promised}"
    elif isinstance(got, np.ndarray):
        return f"got a tensor, expected {type(want).__name__}"
    return ""


def difference(
    got: Array,
    right: Sequence[tuple[Array, Array | None]],
    *,
    signed_zero: bool = False,
    spreads: bool = False,
) -> str:
    """What is wrong with a result, the worst element first; empty when nothing is.

    ``right``: answers that are all right, element by element, each with its bound; None demands equality after rounding
    once. Answers may be in a wider type than ``got``. ``spreads``: a transform may turn finite results near a NaN or an
    infinity into NaN and infinities.
    """
    if got.dtype == np.bool_ and (got.view(np.uint8) > 1).any():
        return f"a boolean holds byte {int(got.view(np.uint8).max())}, neither 0 nor 1"
    wrong = np.ones(got.shape, bool)
    with np.errstate(all="ignore"):
        for want, bound in right:
            wrong &= _wrong(got, want, bound, signed_zero)
        if spreads:
            wrong &= np.isfinite(got.astype(np.float64))
        want, bound = right[0]
        return _report(got, want.astype(got.dtype) if bound is None else want, wrong, bound)


def _wrong(got: Array, want: Array, bound: Array | None, signed_zero: bool) -> Array:
    rounded = want.astype(got.dtype)
    if got.dtype.kind == "c":
        return np.asarray((got != rounded) & ~(np.isnan(got) & np.isnan(rounded)))
    if bound is None and got.dtype.kind in "biu":
        return np.asarray(got != rounded)
    mine, target = got.astype(np.float64), want.astype(np.float64)
    near = rounded.astype(np.float64)
    same = (mine == near) | (np.isnan(mine) & np.isnan(near))
    if bound is None:
        if signed_zero:
            same &= (near != 0) | (np.signbit(mine) == np.signbit(near))
        return np.asarray(~same)
    slack = np.nan_to_num(bound, nan=0.0, posinf=0.0)
    close = np.abs(mine - target) <= slack
    # Overflow: a value within its bound of the type's largest may end on either side.
    over = (
        (np.abs(target) + slack > _largest(got.dtype)) & np.isinf(mine) & (np.sign(mine) == np.sign(target))
    )
    return np.asarray(~(close | over | same))


def _report(got: Array, want: Array, wrong: Array, slack: Array | None) -> str:
    if not wrong.any():
        return ""
    with np.errstate(all="ignore"):
        error = (
            np.abs(got.astype(np.float64) - want.astype(np.float64))
            if got.dtype.kind != "c"
            else np.abs(got - want)
        )
        ratio = error if slack is None else error / np.maximum(slack, tiny("float64"))
    ratio = np.where(wrong, np.nan_to_num(ratio, nan=math.inf, posinf=math.inf), -1.0)
    place = np.unravel_index(int(np.argmax(ratio)), got.shape) if got.ndim else ()
    where = f"[{','.join(map(str, place))}]"
    allowed = "" if slack is None else f", allowed error {float(slack[place]):.3g}"
    worst = f"{where} is {got[place]!s}, expected {want[place]!s}{allowed}"
    return f"{int(wrong.sum())} of {got.size} elements wrong; {worst}"


def _largest(dtype: np.dtype[Any]) -> float:
    kind = DType.from_numpy(dtype)
    return float(finfo(kind.value).max) if kind.is_float else math.inf


def _has_strange(instance: Instance) -> bool:
    floats = (
        a for a in instance.arrays
        if isinstance(a, np.ndarray) and a.dtype != object and DType.from_numpy(a.dtype).is_float
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        return any(not np.isfinite(a.astype(np.float64)).all() for a in floats)


def _equal(got: Any, want: Any) -> bool:
    if isinstance(want, np.ndarray):
        if not isinstance(got, np.ndarray) or got.shape != want.shape:
            return False
        if want.dtype.kind in "OUT":  # strings
            return bool(got.tolist() == want.tolist())
        if got.dtype != want.dtype:
            return False
        return not difference(got, [(want, None)], signed_zero=True)
    if isinstance(want, (list, tuple)):
        return isinstance(got, (list, tuple)) and len(got) == len(want) and all(map(_equal, got, want))
    if isinstance(want, dict):
        return (
            isinstance(got, dict) and got.keys() == want.keys() and all(_equal(got[k], want[k]) for k in want)
        )
    return bool(got == want) or (got is None and want is None)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 300 else text[:297] + "..."
