"""Every test, on a machine with Python alone.

    python3 scripts/test.py [PYTEST ARGUMENTS]

Sets up ``.venv`` when there is none, and builds the C++ backend where there is a compiler. Tests that need what is not
there (a peer engine, a compiler, a device) are skipped by name. The exit code is pytest's.
"""

from __future__ import annotations

import subprocess
import sys

from environment import ROOT, ensure

if __name__ == "__main__":
    interpreter = str(ensure("test"))
    sys.exit(subprocess.run([interpreter, "-m", "pytest", *sys.argv[1:]], cwd=ROOT, check=False).returncode)
