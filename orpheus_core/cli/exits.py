"""Exit codes: what a calling script may rely on."""

from __future__ import annotations

from enum import IntEnum

from orpheus_core.errors import KernelError, ModelError, OrpheusError


class Exit(IntEnum):
    """What the command ended with."""

    OK = 0
    MISMATCH = 1  # results differ, or something got slower
    USAGE = 2
    MODEL = 3  # the model was refused
    BACKEND = 4  # a backend crashed or timed out
    UNSTABLE = 5  # the measurement is too noisy, under --strict
    INTERNAL = 70  # a defect of Orpheus itself (sysexits' EX_SOFTWARE)


def code_for(error: BaseException) -> Exit:
    """The exit code that an error ends the command with."""
    if isinstance(error, ModelError):
        return Exit.MODEL
    if isinstance(error, KernelError):
        return Exit.BACKEND
    # A path that cannot be read or written is the caller's to mend.
    return Exit.USAGE if isinstance(error, (OrpheusError, OSError)) else Exit.INTERNAL
