"""Operator facts: :class:`OpSpec`, read from ``onnx.defs``, and Orpheus's own fused operators.

Contrib operators of other domains are described only as far as someone declares an OpSchema for them.
"""

from orpheus_core.ops.build import make_node
from orpheus_core.ops.spec import ORPHEUS_DOMAIN, OpSpec, find_spec, latest_version

__all__ = ["ORPHEUS_DOMAIN", "OpSpec", "find_spec", "latest_version", "make_node"]
