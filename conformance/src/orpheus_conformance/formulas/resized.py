"""Where ``onnx.reference`` and Resize's page part."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Case, Operand


def shrunk_to_one(case: Case) -> bool:
    """Whether one element is left of a longer axis, or of one whose exact length is a fraction above one."""
    mode = case.attributes.get("coordinate_transformation_mode")
    data, *rest = (*case.inputs, None, None, None)
    if mode != "pytorch_half_pixel" or not isinstance(data, Operand):
        return False
    before = _scaled_sizes(case, data)
    scales, sizes = rest[1], rest[2]
    after: list[Any]
    if isinstance(scales, Operand) and scales.data:
        after = [n * s for n, s in zip(before, scales.data)]
    else:
        after = list(sizes.data or ()) if isinstance(sizes, Operand) else []
    return any(1 < length < 2 or (length == 1 and n > 1) for n, length in zip(before, after))


def _scaled_sizes(case: Case, data: Operand) -> list[int]:
    axes = case.attributes.get("axes")
    return list(data.shape) if axes is None else [data.shape[a] for a in axes]
