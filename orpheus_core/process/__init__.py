"""Work in a process of its own: whatever it does, the one who asked gets an answer or a typed failure, in time."""

from __future__ import annotations

from orpheus_core.process.child import Child, ChildError

__all__ = ["Child", "ChildError"]
