"""Work in a process of its own: whatever it does, the one who asked gets an answer or a typed failure, in time."""

from __future__ import annotations
