"""Checks of a manifest: what makes a backend unusable, and what makes a single kernel suspicious."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orpheus_core.plugin import EVERY, Backend, Format, Kernel, Rule
from orpheus_core.types import DType, Layout

if TYPE_CHECKING:
    from orpheus_core.ops.spec import OpSpec

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_DTYPES = frozenset(d.value for d in DType)


def faults(backend: Backend, name: str) -> Iterator[str]:
    """What makes the whole manifest unusable, one sentence each; nothing when it is sound.

    ``name`` is the entry point's. Imports nothing: references are checked for their form only.
    """
    if backend.name != name:
        yield f"the backend calls itself {backend.name!r}, its entry point is {name!r}; make them equal"
    for field in ("probe", "complete", "runtime", "configure", "seal", "chain"):
        yield from _reference_fault(f"Backend.{field}", getattr(backend, field))
    if backend.chain and not backend.seal:
        yield "Backend.chain is given without Backend.seal, which makes the call that holds a chain; give both"
    if backend.concurrent and not backend.seal:
        yield "Backend.concurrent is given without Backend.seal, which runs steps at the same time; give both"
    seen: dict[str, list[Kernel]] = {}
    for kernel in backend.kernels:
        if not isinstance(kernel, Kernel):
            yield f"kernels holds {kernel!r}, which is not a Kernel"
            continue
        where = f"{kernel.op_id}/{kernel.name}"
        for twin in seen.setdefault(where, []):
            if _overlap(kernel.opset, twin.opset):
                yield f"two kernels are called {where} for the same opsets; rename one"
        seen[where].append(kernel)
        yield from _kernel_faults(kernel, where)


def _kernel_faults(kernel: Kernel, where: str) -> Iterator[str]:
    for field in ("run", "prepare", "supports", "cost"):
        yield from _reference_fault(f"{where}: {field}", getattr(kernel, field))
    for constraint, names in kernel.dtypes.items():
        unknown = [n for n in names if n not in _DTYPES] if not isinstance(names, str) else [names]
        if unknown:
            yield f"{where}: dtypes[{constraint!r}] has {unknown[0]!r}, which is not an element type name in a tuple"
    for format_ in kernel.formats:
        if not isinstance(format_, Format):
            yield f"{where}: formats holds {format_!r}, which is not a Format"
    for rule in kernel.where:
        if not isinstance(rule, Rule):
            yield f"{where}: where holds {rule!r}, which is not a Rule"


def _overlap(a: tuple[int, int | None], b: tuple[int, int | None]) -> bool:
    return (b[1] is None or a[0] <= b[1]) and (a[1] is None or b[0] <= a[1])


def _reference_fault(where: str, reference: str | None) -> Iterator[str]:
    if reference is not None and not (isinstance(reference, str) and _REFERENCE.fullmatch(reference)):
        yield f"{where} is {reference!r}; it must look like 'package.module:attribute'"


def suspicions(backend: Backend) -> Iterator[str]:
    """What makes a kernel never run or fail late, one sentence each: unknown operators, types and fields."""
    from orpheus_core.ops import find_spec, latest_version

    for kernel in backend.kernels:
        where = f"{kernel.op_id}/{kernel.name}"
        newest = latest_version(kernel.domain)
        last = newest if kernel.opset[1] is None else min(newest, kernel.opset[1])
        spec = find_spec(kernel.domain, kernel.op, last)
        if spec is None:
            yield f"{where}: no operator {kernel.op_id} in opset {last}; the kernel will never be chosen"
            continue
        for constraint in sorted(set(kernel.dtypes) - set(spec.type_constraints)):
            known = ", ".join(spec.type_constraints) or "none"
            yield f"{where}: {kernel.op_id} has no type constraint {constraint!r}; it has {known}"
        for rule in kernel.where:
            yield from _rule_suspicion(where, rule, spec)
        for name in sorted({n for f in kernel.formats for n in (*f.inputs, *f.outputs)}):
            layout = Layout(name)
            if name != "plain" and layout.permutation is None and layout.block == 1:
                yield f"{where}: layout {name!r} is neither plain, nor a known permutation, nor NCHW<n>c"


def _rule_suspicion(where: str, rule: Rule, spec: OpSpec) -> Iterator[str]:
    name, dot, _ = rule.field.partition(".")
    if rule.field in EVERY:
        return
    known = (*spec.input_names, *spec.output_names) if dot else tuple(spec.schema.attributes)
    if name not in known:
        noun = "operand" if dot else "attribute"
        yield f"{where}: rule on {rule.field!r}: {spec.name} has no {noun} {name!r}; it has {', '.join(known)}"
