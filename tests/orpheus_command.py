"""The ``orpheus`` command run as a user would, for the tests of every distribution that has verbs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from fakes import write_distribution


class Done(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str


class Command:
    """``orpheus`` in a process of its own, with the test's plugins installed."""

    def __init__(self, site: Path) -> None:
        self.site = site

    def install(self, name: str, source: str) -> None:
        """Add a plugin that this command will find."""
        write_distribution(self.site, name, source)

    def __call__(self, *arguments: object, timeout: float = 120, **environment: str) -> Done:
        path = os.pathsep.join(filter(None, (str(self.site), os.environ.get("PYTHONPATH", ""))))
        done = subprocess.run(
            [sys.executable, "-m", "orpheus_core", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "ORPHEUS_BACKENDS": "", **environment, "PYTHONPATH": path},
        )
        return Done(done.returncode, done.stdout, done.stderr)
