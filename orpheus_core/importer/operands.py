"""Checks of a node's operands against its operator's schema: how many, and of which types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from onnx import defs

from orpheus_core.errors import ModelError
from orpheus_core.graph import Value
from orpheus_core.importer.protos import type_text
from orpheus_core.ops.spec import OpSpec

_Option = defs.OpSchema.FormalParameterOption


@dataclass(frozen=True)
class _Operand:
    name: str
    constraint: str
    allowed: frozenset[str]
    optional: bool
    binds: bool
    variadic: bool


@cache
def _operands(spec: OpSpec, outputs: bool) -> tuple[_Operand, ...]:
    constraints = {c.type_param_str: frozenset(c.allowed_type_strs) for c in spec.schema.type_constraints}
    return tuple(
        _Operand(
            name=p.name,
            constraint=p.type_str,
            allowed=constraints.get(p.type_str, frozenset((p.type_str,))),
            optional=p.option == _Option.Optional,
            binds=p.type_str in constraints and (p.option != _Option.Variadic or p.is_homogeneous),
            variadic=p.option == _Option.Variadic,
        )
        for p in (spec.schema.outputs if outputs else spec.schema.inputs)
    )


def check_arity(spec: OpSpec, values: Sequence[object | None], place: str, *, outputs: bool = False) -> None:
    """Raise ModelError when the number of inputs (or outputs) is wrong or a needed one is left out."""
    schema = spec.schema
    low, high = (schema.min_output, schema.max_output) if outputs else (schema.min_input, schema.max_input)
    word = "output" if outputs else "input"
    if not low <= len(values) <= high:
        most = "any number" if high >= 2**31 - 1 else str(high)
        wanted = str(low) if low == high else f"{low} to {most}"
        raise ModelError(
            f"{place}: {spec.name}-{spec.version} takes {wanted} {word}{'s' * (wanted != '1')}, has {len(values)}"
        )
    declared = _operands(spec, outputs)
    if outputs or not declared:
        return
    for index, value in enumerate(values):
        operand = declared[min(index, len(declared) - 1)]
        if value is None and not operand.optional:
            raise ModelError(
                f"{place}: {spec.name}-{spec.version} needs its {word} {operand.name!r} (number {index})"
            )


def check_types(
    spec: OpSpec,
    inputs: Sequence[Value | None],
    outputs: Sequence[Value | None],
    place: str,
) -> None:
    """Raise ModelError when an operand's known type is not one the schema allows, or two that must agree differ."""
    bound: dict[str, tuple[str, str]] = {}
    for values, is_output in ((inputs, False), (outputs, True)):
        declared = _operands(spec, is_output)
        for index, value in enumerate(values):
            if value is None or not declared:
                continue
            text = type_text(value.type)
            if text is None:
                continue
            operand = declared[min(index, len(declared) - 1)]
            if text not in operand.allowed:
                allowed = sorted(operand.allowed)
                shown = ", ".join(allowed[:12]) + (", ..." if len(allowed) > 12 else "")
                raise ModelError(
                    f"{place}: {'output' if is_output else 'input'} {operand.name!r} ({value.name!r}) is {text}, "
                    f"{spec.name}-{spec.version} takes {shown}"
                )
            if operand.binds:
                other, other_text = bound.setdefault(operand.constraint, (operand.name, text))
                if other_text != text:
                    raise ModelError(
                        f"{place}: {operand.name!r} is {text} and {other!r} is {other_text}, "
                        f"but {spec.name}-{spec.version} needs both to have one type"
                    )
