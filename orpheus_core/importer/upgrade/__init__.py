"""Old forms of operators become the newest ones, so that everything after the importer knows one form of each.

:data:`STEPS` says what to do where meaning changed; where a newer version only widened types or added attributes with
neutral defaults, the version number is raised. What can be neither keeps its own version.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from orpheus_core.graph import Node
from orpheus_core.importer.attributes import default_attributes
from orpheus_core.importer.protos import type_text
from orpheus_core.importer.upgrade import broadcasting, layers, operands, resampling, softmax
from orpheus_core.ops.spec import OpSpec, find_spec, latest_version

_Step = Callable[[Node], "tuple[Node, ...] | None"]
_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSumSquare",
)  # fmt: skip
_BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")


def _keep(node: Node) -> None:
    """For forms that nothing newer can express."""


#: Operator -> (version from which only the number changes, what makes an older node the newest form).
#: A step gives None to keep the node as it is.
STEPS: dict[str, tuple[int, _Step]] = {
    **dict.fromkeys(_BINARY, (7, broadcasting.binary)),
    **dict.fromkeys(_REDUCTIONS, (18, operands.axes_to_input)),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), (13, softmax.coerced)),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), (7, layers.recurrent)),
    "BatchNormalization": (14, layers.batch_normalization),
    "Cast": (24, layers.cast),
    "CastLike": (24, layers.cast_like),
    "Clip": (11, operands.clip),
    "Concat": (4, operands.concat),
    "DFT": (20, operands.dft),
    "Dropout": (12, layers.dropout),
    "Gemm": (7, layers.gemm),
    "GlobalLpPool": (2, layers.lp_pool),
    "GridSample": (20, resampling.grid_sample),
    "GroupNormalization": (21, layers.group_normalization),
    "LpPool": (2, layers.lp_pool),
    "PRelu": (7, broadcasting.prelu),
    "Pad": (11, operands.pad),
    "ReduceSum": (13, operands.axes_to_input),
    "Reshape": (5, operands.reshape),
    "Resize": (18, resampling.resize),
    "RoiAlign": (16, resampling.roi_align),
    "Scan": (9, _keep),
    "Scatter": (2**31, layers.scatter),
    "Slice": (10, operands.slice_),
    "Split": (18, operands.split),
    "Squeeze": (13, operands.axes_to_input),
    "Tile": (6, operands.tile),
    "TopK": (10, operands.top_k),
    "Unsqueeze": (13, operands.axes_to_input),
    "Upsample": (2**31, resampling.upsample),
}


def to_newest(node: Node) -> tuple[Node, ...]:
    """Nodes of newest forms that compute what ``node`` does, or the node itself where that cannot be told.

    Raises ValueError (or another built-in error) when the old form's own rules are broken.
    """
    newest = _newest(node.domain, node.op)
    if newest is None or (newest.version <= node.version and not newest.schema.deprecated):
        return (node,)
    if "consumed_inputs" in node.attributes:
        rest = {k: v for k, v in node.attributes.items() if k != "consumed_inputs"}
        node = node.replace(attributes=rest)
    neutral_from, step = STEPS.get(node.op, (0, _keep)) if not node.domain else (0, _keep)
    if node.version < neutral_from:
        return step(node) or (node,)
    return (_raised(node, newest),)


@cache
def _newest(domain: str, op: str) -> OpSpec | None:
    spec = find_spec(domain, op, latest_version(domain))
    if spec is not None and spec.schema.deprecated and op not in STEPS:
        return find_spec(domain, op, spec.version - 1)
    return spec


def _raised(node: Node, newest: OpSpec) -> Node:
    """The node with the newest version's number, if that takes all of its attributes and operands."""
    old = find_spec(node.domain, node.op, node.version)
    declared, before = newest.schema.attributes, {} if old is None else old.schema.attributes
    for name in node.attributes:
        if name not in declared or old is None or before[name].type != declared[name].type:
            return node
    attributes = {**default_attributes(newest), **node.attributes}
    fits = (
        all(name in attributes for name, attribute in declared.items() if attribute.required)
        and newest.schema.min_input <= len(node.inputs) <= newest.schema.max_input
        and newest.schema.min_output <= len(node.outputs) <= newest.schema.max_output
    )
    return node.replace(attributes=attributes, version=newest.version) if fits else node


def oldest_form(node: Node) -> OpSpec | None:
    """The oldest version of the node's operator that means exactly the same; None for an unknown operator.

    What :func:`to_newest` did by number alone is undone, as far as attributes are at their defaults and the operands'
    types were allowed.
    """
    spec = find_spec(node.domain, node.op, node.version)
    floor = 1 if node.domain else _floor(node)
    while spec is not None and spec.version > floor and spec.decompose is None:
        older = find_spec(node.domain, node.op, spec.version - 1)
        if older is None or older.version < floor or not _same(node, spec, older):
            break
        spec = older
    return spec


def _floor(node: Node) -> int:
    if node.op in ("Cast", "CastLike") and layers.target_is_ordinary(node):
        return 6
    return max(STEPS.get(node.op, (0, _keep))[0], 1)


def _same(node: Node, newer: OpSpec, older: OpSpec) -> bool:
    defaults = default_attributes(newer)
    declared = older.schema.attributes
    for name, value in node.attributes.items():
        if name not in declared:
            known = newer.schema.attributes.get(name)
            if known is not None and (name not in defaults or defaults[name] != value):
                return False
        elif declared[name].type != newer.schema.attributes[name].type:
            return False
    kept = {k for k in node.attributes if k in declared}
    if any(a.required and n not in kept for n, a in declared.items()) or older.schema.deprecated:
        return False
    if not older.schema.min_input <= len(node.inputs) <= older.schema.max_input:
        return False
    if not older.schema.min_output <= len(node.outputs) <= older.schema.max_output:
        return False
    # Defaults of attributes that the node leaves out must not differ.
    old_defaults = default_attributes(older)
    if any(name not in node.attributes for name in old_defaults):
        return False
    return _allows(older, node)


def _allows(spec: OpSpec, node: Node) -> bool:
    constraints = {c.type_param_str: set(c.allowed_type_strs) for c in spec.schema.type_constraints}
    for values, declared in ((node.inputs, spec.schema.inputs), (node.outputs, spec.schema.outputs)):
        for index, value in enumerate(values):
            if value is None or not declared:
                continue
            text = type_text(value.type)
            name = declared[min(index, len(declared) - 1)].type_str
            if text is None or text not in constraints.get(name, {name}):
                return False
    return True


__all__ = ["STEPS", "oldest_form", "to_newest"]
