"""Case: one layer with its data, as one line of JSON.

It is what Hypothesis generates and shrinks, what a failure prints, what replay accepts, and what crosses the border
to another process. Arrays are not stored but made from (element type, shape, kind, seed); see :mod:`.values`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeAlias, Union

from orpheus_core.errors import UsageError


class CaseError(UsageError):
    """A line that is not a case, or a case of something that does not exist."""


@dataclass(frozen=True)
class Operand:
    """A tensor: element type, shape, and either explicit ``data`` (flat) or the ``kind`` of values to make.

    ``low`` and ``high`` bound finite made values. ``special``: whether kind ``special`` may put NaN and the like here.
    """

    dtype: str
    shape: tuple[int, ...]
    kind: str = "normal"
    data: tuple[Any, ...] | None = None
    constant: bool = False
    low: float | None = None
    high: float | None = None
    special: bool = True


@dataclass(frozen=True)
class Sequence:
    """A list of tensors of one element type; the type counts when the list is empty."""

    dtype: str
    elements: tuple[Operand, ...] = ()


@dataclass(frozen=True)
class Dictionary:
    """A map (ai.onnx.ml): key and value types, and its items."""

    key: str
    value: str
    items: tuple[tuple[Any, Any], ...] = ()


@dataclass(frozen=True)
class Maybe:
    """An optional of type ``of`` (written as in :class:`Literal`) that holds a value, or nothing."""

    of: str
    held: Union[Operand, Sequence, None] = None


@dataclass(frozen=True)
class Body:
    """A graph attribute: the name of a registered builder (:mod:`.bodies`) and its arguments."""

    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Literal:
    """A value of a type attribute: ``tensor``, ``sequence`` or ``optional`` of an element type, by name."""

    text: str


Input: TypeAlias = Union[Operand, Sequence, Dictionary, Maybe, None]


@dataclass(frozen=True)
class Case:
    """One problem for one kernel.

    ``outputs``: which outputs the node has. ``kernel`` is the id, ``backend:Op/kernel``. ``inputs_layout`` and
    ``outputs_layout`` name the kernel's format. ``variant`` holds what the tier adds (:mod:`.tiers`).
    """

    op: str
    version: int
    inputs: tuple[Input, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    outputs: tuple[bool, ...] = (True,)
    seed: int = 0
    tier: str = "bounded"
    kernel: str = ""
    inputs_layout: tuple[str, ...] = ()
    outputs_layout: tuple[str, ...] = ()
    threads: int = 1
    variant: Mapping[str, Any] = field(default_factory=dict)

    @property
    def op_id(self) -> str:
        """``Conv``, or ``domain:Op`` outside the default domain."""
        return f"{self.domain}:{self.op}" if self.domain else self.op

    def replace(self, **changes: Any) -> Case:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def line(self) -> str:
        """The case as one line of JSON; fields that have their default are left out."""
        defaults = {f.name: f.default for f in fields(self)}
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {k: v for k, v in shown.items() if v != defaults[k] and v != {}}
        return json.dumps({k: _encode(v) for k, v in kept.items()}, separators=(",", ":"), allow_nan=False)

    def quoted(self) -> str:
        """The line without an apostrophe, so that it can stand between two, in a shell and in TOML."""
        return self.line().replace("'", "\\u0027")

    @classmethod
    def parse(cls, line: str) -> Case:
        """The case of a line; CaseError says what is wrong with it."""
        try:
            found = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise CaseError(f"not a case: the line is not JSON ({error}): {line[:80]!r}") from error
        if not isinstance(found, dict):
            raise CaseError(f"not a case: expected a JSON object, got {type(found).__name__}")
        case: Case = _record(cls, {k: _decode(v) for k, v in found.items()})
        _check(case)
        return case


_TAGS: dict[str, type[Any]] = {
    "$operand": Operand,
    "$sequence": Sequence,
    "$dictionary": Dictionary,
    "$maybe": Maybe,
    "$body": Body,
    "$literal": Literal,
}
_TAG_OF = {kind: tag for tag, kind in _TAGS.items()}
_TYPES: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "op": str, "domain": str, "tier": str, "kernel": str, "kind": str, "dtype": str, "name": str, "text": str,
    "of": str,
    "key": str, "value": str, "version": int, "seed": int, "threads": int, "constant": bool, "special": bool,
    "attributes": dict, "variant": dict, "inputs": tuple, "outputs": tuple, "shape": tuple, "elements": tuple,
    "items": tuple, "arguments": tuple, "inputs_layout": tuple, "outputs_layout": tuple,
    "held": (Operand, Sequence, type(None)), "data": (tuple, type(None)),
    "low": (int, float, type(None)), "high": (int, float, type(None)),
}  # fmt: skip


def _encode(value: Any) -> Any:
    tag = _TAG_OF.get(type(value))
    if tag is not None:
        defaults = {f.name: f.default for f in fields(value)}
        shown = {f.name: getattr(value, f.name) for f in fields(value)}
        return {tag: {k: _encode(v) for k, v in shown.items() if v != defaults[k]}}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, Mapping):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encode(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CaseError(f"a case cannot hold a {type(value).__name__}")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(v) for v in value)
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag, content), *_ = value.items()
        if tag == "$float" and content in ("nan", "inf", "-inf"):
            return float(content)
        if tag == "$bytes" and isinstance(content, str):
            try:
                return bytes.fromhex(content)
            except ValueError as error:
                raise CaseError(f"not a case: {tag} {content!r} is not hexadecimal") from error
        if tag in _TAGS and isinstance(content, dict):
            return _record(_TAGS[tag], {k: _decode(v) for k, v in content.items()})
        if tag.startswith("$"):
            raise CaseError(f"not a case: cannot read {tag} {content!r}")
    return {k: _decode(v) for k, v in value.items()}


def _record(kind: type[Any], values: dict[str, Any]) -> Any:
    known = {f.name for f in fields(kind)}
    what = kind.__name__.lower()
    unknown = sorted(set(values) - known)
    if unknown:
        raise CaseError(
            f"not a case: {what} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    for name, value in values.items():
        wanted = _TYPES[name]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise CaseError(f"not a case: {what}.{name} cannot be {value!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise CaseError(f"not a case: {what}: {str(error).partition('__init__() ')[2] or error}") from error


def _check(case: Case) -> None:
    for index, operand in enumerate(case.inputs):
        if operand is not None and not isinstance(operand, (Operand, Sequence, Dictionary, Maybe)):
            raise CaseError(f"not a case: input {index} is {operand!r}")
        operand = operand.held if isinstance(operand, Maybe) else operand
        for part in operand.elements if isinstance(operand, Sequence) else (operand,):
            if isinstance(part, Operand) and not _is_shape(part.shape):
                raise CaseError(f"not a case: input {index} has shape {part.shape!r}")
    if case.seed < 0 or case.threads < 1:
        raise CaseError(f"not a case: seed {case.seed} is below 0, or threads {case.threads} below 1")
    if not all(isinstance(present, bool) for present in case.outputs):
        raise CaseError(f"not a case: outputs must be a list of true and false, got {case.outputs!r}")


def _is_shape(shape: tuple[Any, ...]) -> bool:
    return all(isinstance(d, int) and not isinstance(d, bool) and 0 <= d < 2**20 for d in shape)


def summary(case: Case) -> dict[str, Any]:
    """The case as plain data, for reports."""
    return asdict(case)
