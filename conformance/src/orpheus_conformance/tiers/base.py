"""What a tier is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orpheus_conformance.instance import Instance
from orpheus_conformance.space import Space
from orpheus_conformance.subject import Subject
from orpheus_core.plugin import Backend, Format
from orpheus_core.types import DType


def _always(subject: Subject, space: Space) -> str | None:
    return None


def _plain(subject: Subject) -> Sequence[Mapping[str, Any]]:
    return ({},)


def _all_formats(subject: Subject) -> Sequence[Format]:
    return subject.kernel.formats


def _admit(instance: Instance, space: Space) -> bool:
    return True


@dataclass(frozen=True)
class Tier:
    """A tier of generated cases.

    ``kinds``: the kinds of values to draw. ``steered``: draw what the kernel declares it takes, else what the operator
    allows. ``variants(subject)``: the manners (:class:`..subject.Manner`) to draw from, the plainest first.
    ``formats(subject)``: the kernel's formats that take part. ``applies`` gives the reason why a kernel has nothing to
    show here, or None; ``admits`` filters complete layers.
    """

    name: str
    doc: str
    kinds: tuple[str, ...]
    steered: bool = True
    threads: tuple[int, ...] = (1,)
    variants: Callable[[Subject], Sequence[Mapping[str, Any]]] = _plain
    formats: Callable[[Subject], Sequence[Format]] = _all_formats
    applies: Callable[[Subject, Space], str | None] = _always
    admits: Callable[[Instance, Space], bool] = _admit


@dataclass(frozen=True)
class Survey:
    """A tier without generated cases: ``backend`` and ``kernel`` give one line for everything that is wrong."""

    name: str
    doc: str
    backend: Callable[[Backend], Sequence[str]]
    kernel: Callable[[Subject], Sequence[str]]


def takes_floats(subject: Subject, space: Space) -> str | None:
    """A reason when none of the kernel's element types is a float."""
    from orpheus_core.ops import find_spec, latest_version

    spec = find_spec(space.domain, space.op, latest_version(space.domain))
    allowed = {} if spec is None else spec.type_constraints
    for name, schema_types in allowed.items():
        declared = subject.kernel.dtypes.get(name)
        types = {d.value for d in schema_types} if declared is None else set(declared)
        if any(DType(t).is_float for t in types):
            return None
    return "takes no floating-point type"
