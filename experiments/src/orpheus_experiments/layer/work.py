"""How much a layer has to do: operations, bytes, and which of the two bounds it."""

from __future__ import annotations

from dataclasses import dataclass

from orpheus_core.graph import Node
from orpheus_core.ops.macs import macs
from orpheus_core.types import TensorType

__all__ = ["Work", "name_of", "work_of"]


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates by the operator's definition (None: unknown), and bytes of all operands, weights included.

    Bytes are what has to be read and written at least once; an algorithm that reads its input twice moves more.
    """

    macs: int | None
    nbytes: int | None

    @property
    def intensity(self) -> float | None:
        """Operations for each byte, a multiply-accumulate counted as two; None where either is unknown."""
        return 2 * self.macs / self.nbytes if self.macs and self.nbytes else None

    def flops(self, seconds: float) -> float | None:
        """Achieved FLOP/s; None without multiply-accumulates."""
        return 2 * self.macs / seconds if self.macs and seconds > 0 else None

    def bandwidth(self, seconds: float) -> float | None:
        """Achieved bytes a second; None where the bytes are unknown."""
        return self.nbytes / seconds if self.nbytes and seconds > 0 else None

    def is_bound_by_memory(self, peak: float, bandwidth: float) -> bool:
        """Whether its bytes take longer than its operations at the machine's best."""
        return (2 * (self.macs or 0)) / peak < (self.nbytes or 0) / bandwidth


def work_of(node: Node) -> Work:
    """The work of one run of the node."""
    values = dict.fromkeys(v for v in (*node.inputs, *node.outputs) if v is not None)
    sizes = [v.type.nbytes if isinstance(v.type, TensorType) else None for v in values]
    return Work(macs(node), None if None in sizes else sum(s or 0 for s in sizes))


def name_of(node: Node) -> str:
    """The node's name, or that of its first result."""
    return node.name or next((v.name for v in node.results), "") or node.op_id
