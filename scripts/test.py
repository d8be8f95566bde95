"""Every test, on a machine with Python alone.

    python3 scripts/test.py [PYTEST ARGUMENTS]

Sets up ``.venv`` when there is none, and builds the C++ backend where there is a compiler. Tests that need what is not
there (a peer engine, a compiler, a device) are skipped by name. As many at once as there are processors, at most four;
``-n 0`` runs them one after the other. The exit code is pytest's.
"""

from __future__ import annotations

import subprocess
import sys

from environment import ROOT, ensure

if __name__ == "__main__":
    interpreter = str(ensure("test"))
    at_once = ["-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]
    command = [interpreter, "-m", "pytest", *at_once, *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)
