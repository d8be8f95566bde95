"""The project's own virtual environment, made with nothing but Python: ``.venv`` with every package installed.

    python3 scripts/environment.py [EXTRA ...]      # EXTRA: test, dev

Needs Python 3.10 or later with venv, and a package index for numpy, onnx and pluggy. A second call is quick: pip
runs only when a ``pyproject.toml`` or the wanted extras have changed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "orpheus-stamp.txt"
#: Distributions of this repository beside the core, in the order of their dependencies.
PACKAGES = ("plugins/orpheus-numpy", "conformance", "experiments")


def python() -> Path:
    """The interpreter inside the environment."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure(*extras: str) -> Path:
    """Make the environment if need be, with the core's ``extras``; gives its interpreter. Exits when it cannot."""
    if sys.version_info < (3, 10):
        sys.exit(f"Orpheus needs Python 3.10 or later; this is {sys.version.split()[0]}")
    wanted = sorted(set(extras) | _present_extras())
    stamp = _stamp(wanted)
    if STAMP.exists() and STAMP.read_text() == stamp and _works():
        return python()
    if not _works():
        _say(f"making {VENV.name} ...")
        if _call(sys.executable, "-m", "venv", "--clear", str(VENV)) != 0:
            sys.exit("python -m venv failed; on Debian and Ubuntu: apt install python3-venv")
    core = f".[{','.join(wanted)}]" if wanted else "."
    targets = [part for path in (core, *PACKAGES) for part in ("-e", path if path == core else f"./{path}")]
    _say(f"installing orpheus-core and {', '.join(PACKAGES)} ...")
    if _call(str(python()), "-m", "pip", "install", "--quiet", *targets) != 0:
        sys.exit("pip could not install the packages; is a package index reachable?")
    STAMP.write_text(stamp)
    return python()


def _works() -> bool:
    if not python().exists():
        return False
    asked = [str(python()), "-c", "import pip"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _present_extras() -> set[str]:
    """Extras that an earlier call installed: they are kept, so that two callers do not undo each other."""
    return set(STAMP.read_text().split("\n")[1].split()) if STAMP.exists() else set()


def _stamp(extras: list[str]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for folder in (".", *PACKAGES):
        digest.update((ROOT / folder / "pyproject.toml").read_bytes())
    return f"{digest.hexdigest()}\n{' '.join(extras)}\n"


def _call(*command: str) -> int:
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _say(text: str) -> None:
    print(f"[orpheus] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(ensure(*sys.argv[1:]))
