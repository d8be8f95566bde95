"""The project's own virtual environment, made with nothing but Python: ``.venv`` with every package installed.

    python3 scripts/environment.py [EXTRA ...]      # EXTRA: test, dev, native

Needs Python 3.10 or later with venv, and a package index for numpy, onnx and pluggy. A second call is quick: pip
runs only when a ``pyproject.toml``, the wanted extras or a compiled distribution's sources have changed.

Backends that are compiled are built where there is a compiler, and those whose library has no wheel for this machine
are left out; they are named with the reason and what to install. ``ORPHEUS_REQUIRE=openmp`` (several by commas) makes
the absence of one a failure.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "orpheus-stamp.txt"
#: Distributions of this repository beside the core, in the order of their dependencies.
PACKAGES = (
    "plugins/orpheus-numpy", "plugins/orpheus-blas", "plugins/orpheus-onednn", "plugins/orpheus-cuda", "conformance",
    "experiments",
)  # fmt: skip
#: Of these, the ones whose own extra ``test`` their tests use, and skip without.
TESTED = ("experiments",)
#: Distributions that need a C++ compiler: backend -> folder.
COMPILED = {"openmp": "plugins/orpheus-openmp"}
#: Distributions that need a library which is not built from source here: backend -> folder, library.
OPTIONAL = {"opencl": ("plugins/orpheus-opencl", "pyopencl")}
_COMPILERS = ("c++", "g++", "clang++")
_FIX = "install GCC 11 or Clang 14 or newer (Debian, Ubuntu: apt install g++)"


def python() -> Path:
    """The interpreter inside the environment."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure(*extras: str) -> Path:
    """Make the environment if need be, with the core's ``extras``; gives its interpreter. Exits when it cannot."""
    if sys.version_info < (3, 10):
        sys.exit(f"Orpheus needs Python 3.10 or later; this is {sys.version.split()[0]}")
    wanted = sorted(set(extras) | _present_extras())
    stamp = _stamp(wanted)
    if not (STAMP.exists() and STAMP.read_text() == stamp and _works()):
        if not _works():
            _say(f"making {VENV.name} ...")
            if _call(sys.executable, "-m", "venv", "--clear", str(VENV)) != 0:
                sys.exit("python -m venv failed; on Debian and Ubuntu: apt install python3-venv")
        core = f".[{','.join(wanted)}]" if wanted else "."
        # Those of a package that has an extra for its tests (experiments: Jinja2 and matplotlib) come with "test".
        rest = [f"./{path}" + ("[test]" if "test" in wanted and path in TESTED else "") for path in PACKAGES]
        targets = [part for path in (core, *rest) for part in ("-e", path)]
        _say(f"installing orpheus-core and {', '.join(PACKAGES)} ...")
        if _call(str(python()), "-m", "pip", "install", "--quiet", *targets) != 0:
            sys.exit("pip could not install the packages; is a package index reachable?")
        STAMP.write_text(stamp)
    required = [name for name in os.environ.get("ORPHEUS_REQUIRE", "").split(",") if name]
    for name in (*COMPILED, *OPTIONAL):
        reason = build(name) if name in COMPILED else add(name)
        if reason is not None:
            _say(f"{name}: not installed, {reason}")
            if name in required:
                sys.exit(f"ORPHEUS_REQUIRE={','.join(required)} asks for {name}")
    return python()


def build(name: str) -> str | None:
    """Build and install a compiled backend, if its sources have changed; None, or why it is not there and the fix."""
    folder = ROOT / COMPILED[name]
    stamp = VENV / f"orpheus-{name}-stamp.txt"
    digest = _sources(folder)
    if stamp.exists() and stamp.read_text() == digest:
        return None
    compiler = os.environ.get("CXX") or next((c for c in _COMPILERS if shutil.which(c)), None)
    if compiler is None or shutil.which(compiler.split()[0]) is None:
        return f"no C++ compiler ({compiler or ', '.join(_COMPILERS)}) on PATH; {_FIX}"
    _say(f"building {name} with {compiler}, about a minute ...")
    command = [str(python()), "-m", "pip", "install", "--quiet", "-e", f"./{COMPILED[name]}"]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        log = VENV / f"orpheus-{name}-build.log"
        log.write_text(done.stdout)
        return f"its build by {compiler} failed, see {log.relative_to(ROOT)}; {_FIX}"
    stamp.write_text(digest)
    return None


def add(name: str) -> str | None:
    """Install a backend whose library comes as a wheel, once; None, or why it is not there and the fix."""
    folder, library = OPTIONAL[name]
    stamp = VENV / f"orpheus-{name}-stamp.txt"
    recipe = (ROOT / folder / "pyproject.toml").read_bytes()
    digest = hashlib.sha256(sys.version.encode() + recipe).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return None
    _say(f"installing {name} ...")
    pip = (str(python()), "-m", "pip", "install", "--quiet", "--only-binary", library)
    if _call(*pip, "-e", f"./{folder}") != 0:
        return f"there is no wheel of {library} for this machine; to try its sources: pip install {library}"
    stamp.write_text(digest)
    return None


def _sources(folder: Path) -> str:
    """A digest of what is compiled, and of the names of what is imported: an editable install lists its modules."""
    recipe, modules = folder / "CMakeLists.txt", sorted((folder / "src").rglob("*.py"))
    generators = [path for path in modules if path.name in recipe.read_text()]
    digest = hashlib.sha256(f"{sys.version} {[path.name for path in modules]}".encode())
    native = sorted(path for path in (folder / "native").rglob("*") if path.is_file())
    for path in (folder / "pyproject.toml", recipe, *native, *generators):
        digest.update(path.read_bytes())
    return digest.hexdigest()


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
