"""Resident memory of this process, its peak counted anew from a moment of one's choice."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["restart_peak", "status"]


def restart_peak() -> int | None:
    """Resident bytes now, from which the peak counts anew; None where the system does not tell."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return status("VmRSS")
    return None


def status(field: str) -> int | None:
    """Bytes of a field of ``/proc/self/status``, such as VmHWM, the peak; None where the system does not tell."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as lines:
        return next((int(text.split()[1]) * 1024 for text in lines if text.startswith(f"{field}:")), None)
    return None
