"""The pytest options of the suite. Loaded by every pytest run of an environment, so it imports nothing of weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: The name under which an item reports how many cases it executed.
EXECUTED = "orpheus_executed"
_SUITE = Path(__file__).with_name("test_conformance.py")


def pytest_addoption(parser: Any) -> None:
    """Add ``--orpheus-backend`` and what goes with it."""
    group = parser.getgroup("orpheus", "conformance of Orpheus backends")
    group.addoption("--orpheus-backend", metavar="NAME", help="the backend to judge")
    group.addoption("--orpheus-examples", type=int, default=40, metavar="N", help="cases per kernel and tier")
    group.addoption("--orpheus-seed", type=int, default=0, metavar="N", help="where generation starts")
    group.addoption(
        "--orpheus-op", action="append", metavar="OP", help="judge this operator only (repeatable)"
    )
    group.addoption("--orpheus-expectations", metavar="FILE", help="declared defects (conformance.toml)")
    group.addoption("--orpheus-regressions", metavar="FILE", help="cases to run first (regressions.jsonl)")
    group.addoption("--orpheus-isolate", action="store_true", help="judge in another process")


def pytest_configure(config: Any) -> None:
    """Count cases, in runs that are about a backend only."""
    if config.getoption("--orpheus-backend"):
        config.pluginmanager.register(_Count(), "orpheus-count")


def pytest_ignore_collect(collection_path: Path, config: Any) -> bool | None:
    """Leave the suite out where a folder that holds it is collected by chance."""
    if collection_path != _SUITE or config.getoption("--orpheus-backend") or config.option.pyargs:
        return None
    named = any(str(argument).split("::")[0].endswith(_SUITE.name) for argument in config.args)
    return None if named else True


class _Count:
    """A run of the suite in which no case was executed is a failure, however many items passed."""

    def __init__(self) -> None:
        self.items = 0
        self.executed = 0

    @property
    def idle(self) -> bool:
        return self.items > 0 and not self.executed

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            counts = [value for name, value in report.user_properties if name == EXECUTED]
            self.items += len(counts)
            self.executed += sum(counts)

    def pytest_sessionfinish(self, session: Any) -> None:
        if self.idle and session.exitstatus == 0:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.idle:
            text = "orpheus: no case was executed, so nothing is shown: this is a failure"
            terminalreporter.write_line(text, red=True)
