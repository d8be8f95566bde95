"""The pytest options of the suite. Loaded by every pytest run of an environment, so it imports nothing of weight."""

from __future__ import annotations

from typing import Any


def pytest_addoption(parser: Any) -> None:
    """Add ``--orpheus-backend`` and what goes with it."""
    group = parser.getgroup("orpheus", "conformance of Orpheus backends")
    group.addoption("--orpheus-backend", metavar="NAME", help="the backend to judge")
    group.addoption("--orpheus-examples", type=int, default=40, metavar="N", help="cases per kernel and tier")
    group.addoption("--orpheus-seed", type=int, default=0, metavar="N", help="where generation starts")
    group.addoption("--orpheus-op", action="append", metavar="OP", help="judge this operator only (repeatable)")
