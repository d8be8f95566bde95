"""Isolation: cases are judged in a process of their own, so that a kernel that dies, hangs or eats memory harms no run.

:class:`Isolation` is the side of the run; :mod:`.worker` is the program of the other process.
"""

from orpheus_conformance.isolate.host import Isolation

__all__ = ["Isolation"]
