"""What a lowered program is made of: operands (where a value lies) and operations (who computes them)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from orpheus_core.graph import Node
from orpheus_core.plugin import Problem, Runtime, Step
from orpheus_core.selection.candidates import Candidate
from orpheus_core.types import Array, TensorType, ValueType


class Storage(Enum):
    """How an operand is held."""

    CONSTANT = "constant"  # an array of the plan, the same for every run
    ARENA = "arena"  # a fixed offset in the context's block
    SLOT = "slot"  # an object that each run makes anew: unknown sizes, strings, sequences


@dataclass(eq=False)
class Operand:
    """A value at one place. ``type`` has that place's layout and device.

    An operand with a ``parent`` is a view: it lies ``offset`` bytes into the parent's memory.
    """

    name: str
    type: ValueType
    storage: Storage
    array: Array | None = None
    parent: Operand | None = None
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes it occupies in the arena; 0 when it is not there."""
        if self.storage is not Storage.ARENA or not isinstance(self.type, TensorType):
            return 0
        return self.type.nbytes or 0

    def root(self) -> tuple[Operand, int]:
        """The operand that owns the memory, and this one's offset in it."""
        owner, offset = self, 0
        while owner.parent is not None:
            offset += owner.offset
            owner = owner.parent
        return owner, offset


class Kind(Enum):
    """What an operation does."""

    KERNEL = "kernel"  # calls a candidate's kernel
    MOVE = "move"  # copies between devices
    REORDER = "reorder"  # changes the layout on the host, by the core itself


@dataclass(eq=False)
class Chain:
    """Neighbouring operations that their backend computes together; ``join`` makes one step of theirs."""

    operations: tuple[Operation, ...]
    join: Callable[[Sequence[Step]], Step]


@dataclass(eq=False)
class Operation:
    """One step to be.

    ``captures`` are operands that a node's subgraphs read; ``late`` computes a layer of open shape.
    """

    kind: Kind
    node: Node
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand | None, ...]
    candidate: Candidate | None = None
    problem: Problem | None = None
    captures: tuple[Operand, ...] = ()
    workspace: Operand | None = None
    prepared: object = None
    late: Callable[[Sequence[Any], Runtime], tuple[Any, ...]] | None = None
    why: str = ""
    chain: Chain | None = None
    dead_slots: list[int] = field(default_factory=list)

    @property
    def kernel_id(self) -> str:
        """Who runs: a kernel id, or ``core:Move`` and ``core:Reorder``."""
        return self.candidate.id if self.candidate is not None else f"core:{self.kind.name.title()}"

    @property
    def reads(self) -> tuple[Operand, ...]:
        """Every operand it depends on."""
        return (*(o for o in self.inputs if o is not None), *self.captures)

    @property
    def writes(self) -> tuple[Operand, ...]:
        """Every operand it fills."""
        return tuple(o for o in self.outputs if o is not None)
