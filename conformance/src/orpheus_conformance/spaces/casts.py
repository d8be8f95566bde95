"""Cast, CastLike and BitCast: every pair of element types, saturation of narrow floats, strings."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Operand
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.elementwise import RANKS
from orpheus_conformance.tolerance import EXACT, MOVEMENT
from orpheus_conformance.values import int_range
from orpheus_core.types import DType

_NUMERALS = ("3", "-1", "0", "17", "1.5", "-0.25", "1e2")


def _source(d: Draw, dtype: str, target: str, shape: tuple[int, ...]) -> Operand:
    """Values whose conversion the operator page defines: floats that an integer target holds, numerals in strings."""
    if dtype == "string":
        words = (
            _NUMERALS if DType(target).is_float else ("1", "0") if target == "bool" else ("3", "2", "0", "1")
        )
        count = 1
        for size in shape:
            count *= size
        return Operand(dtype, shape, "normal", tuple(d.choose(words) for _ in range(count)))
    if DType(dtype).is_float:
        if target == "float8_e8m0fnu":
            # Powers of two only: it has neither zero nor negative numbers.
            return d.tensor("input", dtype, shape, low=0.25, special=False)
        if DType(target).is_float:
            return d.tensor("input", dtype, shape, low=-600.0 if d.flag() else None)
        low, high = (0, 1) if target == "bool" else int_range(target)
        if dtype == "float8_e8m0fnu":
            low = 1
        # Past the range a conversion to integers is undefined, and so is that of NaN.
        return d.tensor("input", dtype, shape, low=max(low, -100), high=min(high, 100), special=False)
    if target == "float8_e8m0fnu":
        return d.tensor("input", dtype, shape, low=1, high=7)
    return d.tensor("input", dtype, shape, kind="full" if d.flag() else None)


def _targets(d: Draw, source: str, constraint: str) -> list[str]:
    """Numbers as text have no one spelling, so only whole numbers become strings."""
    found = sorted(d.dtypes(constraint) - {"complex64", "complex128"})
    if source in ("string", "bool") or DType(source).is_float:
        found = [t for t in found if t != "string"]
    if source == "string":
        found = [
            t
            for t in found
            if t not in ("bool", "float8_e8m0fnu") and not t.startswith(("float8", "float4", "float6"))
        ]
    return found


def _attributes(d: Draw, source: str, target: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    declared = d.spec.schema.attributes
    if "saturate" in declared and target.startswith("float8") and target != "float8_e8m0fnu":
        found["saturate"] = d.attribute("saturate", (OMIT, 1, 0))
    if "round_mode" in declared and target == "float8_e8m0fnu":
        found["round_mode"] = d.attribute("round_mode", (OMIT, "up", "down", "nearest"))
    return found


def _ordered(names: list[str]) -> list[str]:
    plain = ("float32", "int64", "float16", "float64", "int32", "uint8", "int8", "bool")
    return [n for n in plain if n in names] + [n for n in names if n not in plain]


@space("Cast", EXACT, since=13)
def cast(d: Draw) -> Layer:
    """One rounding to nearest even; integers keep their low bits."""
    source = d.dtype("T1")
    target = d.choose(_ordered(_targets(d, source, "T2")))
    x = _source(d, source, target, d.shape("input", RANKS))
    return Layer((x,), {"to": DType(target).onnx, **_attributes(d, source, target)})


@space("CastLike", EXACT)
def cast_like(d: Draw) -> Layer:
    """As Cast; the second input gives the type and nothing else."""
    source = d.dtype("T1")
    target = d.choose(_ordered(_targets(d, source, "T2")))
    x = _source(d, source, target, d.shape("input", RANKS))
    like = d.tensor("target_type", target, d.shape("target_type", (1, 0, 2)), constant=None)
    return Layer((x, like), _attributes(d, source, target))


@space("BitCast", MOVEMENT)
def bit_cast(d: Draw) -> Layer:
    """Types of the same width."""
    source = d.dtype("T1", d.dtypes("T1") - {"string", "bool"})
    width = _bits(source)
    targets = [t for t in sorted(d.dtypes("T2") - {"string", "bool"}) if _bits(t) == width]
    whole = not DType(source).is_float and not source.startswith("complex")
    x = d.tensor("input", source, d.shape("input", RANKS), kind="full" if whole else None)
    return Layer((x,), {"to": DType(d.choose(_ordered(targets))).onnx})


def _bits(dtype: str) -> int:
    digits = "".join(c if c.isdigit() else " " for c in dtype).split()
    return int(digits[0])
