"""Delegation: a kernel that hands its work to the reference, to ONNX's evaluator or to a session computes nothing.

While a kernel is prepared and run, Python calls are watched for functions of those, in threads that it starts too.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_FORBIDDEN = {
    "orpheus_numpy": "the reference",
    "onnx.reference": "ONNX's evaluator",
    "orpheus_core.session": "an InferenceSession",
}


def owner_of(module: str, backend: str) -> str | None:
    """Who owns a module that a backend's kernels may not call, None for one that they may."""
    for package, owner in _FORBIDDEN.items():
        if (module == package or module.startswith(package + ".")) and (package, backend) != (
            "orpheus_numpy",
            "numpy",
        ):
            return owner
    return None


@contextmanager
def watched(backend: str, report: Callable[[str], None]) -> Iterator[None]:
    """Report delegation while the block runs, once for each owner."""
    known: dict[Any, str | None] = {}
    reported: set[str] = set()

    def look(frame: Any, event: str, _: Any) -> None:
        if event != "call":
            return
        module = frame.f_globals.get("__name__", "")
        if module not in known:
            known[module] = owner_of(module, backend)
        owner = known[module]
        if owner is not None and owner not in reported:
            reported.add(owner)
            report(f"calls {owner} ({module}.{frame.f_code.co_name}) in place of computing")

    before = sys.getprofile()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(before)
