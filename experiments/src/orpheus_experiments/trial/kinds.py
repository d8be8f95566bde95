"""How a record calls what went wrong in a child."""

from __future__ import annotations

from orpheus_core.errors import (
    BackendError,
    InputError,
    KernelError,
    ModelError,
    OrpheusError,
    SelectionError,
    UnsupportedModelError,
    UsageError,
)  # fmt: skip
from orpheus_core.process import ChildError
from orpheus_core.process.child import OUT_OF_MEMORY

__all__ = ["kind_of"]


def kind_of(error: OrpheusError) -> str:
    """One of :data:`orpheus_experiments.trial.KINDS`."""
    if isinstance(error, ChildError):
        return error.kind
    if any(words in str(error) for words in OUT_OF_MEMORY):
        return "out of memory"
    if isinstance(error, KernelError):
        return "failed"
    if isinstance(error, UnsupportedModelError):
        return "unsupported"
    if isinstance(error, ModelError):
        return "model"
    refusals = (BackendError, SelectionError, UsageError, InputError)
    return "refused" if isinstance(error, refusals) else "failed"
