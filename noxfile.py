"""Everything that is run more than once: ``nox -s SESSION``.

``tests`` runs on each of Python 3.10 to 3.13 that is present. The sessions install from this checkout.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
PACKAGES = (
    "./plugins/orpheus-numpy", "./plugins/orpheus-blas", "./plugins/orpheus-onednn", "./plugins/orpheus-opencl",
    "./plugins/orpheus-cuda",
    "./conformance", "./experiments",
)  # fmt: skip
OPENMP = "./plugins/orpheus-openmp"


def install(session: nox.Session, extra: str = "") -> None:
    """The core with one extra, and every other distribution of the repository."""
    core = f".[{extra}]" if extra else "."
    own = {"./experiments": "[test]"} if "test" in extra else {}
    session.install("-e", core, *(part for path in PACKAGES for part in ("-e", path + own.get(path, ""))))


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, as README's first command."""
    session.run(sys.executable, "scripts/demo.py", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Every test; those of orpheus-openmp where there is a C++ compiler."""
    install(session, "test")
    if any(map(shutil.which, ("c++", "g++", "clang++"))):
        session.install("-e", OPENMP)
    session.run("pytest", *session.posargs)


@nox.session
def onnx_suite(session: nox.Session) -> None:
    """ONNX's own backend tests: passed, failed and not supported, by name."""
    install(session, "test")
    session.run("python", "tests/onnx_suite.py", *session.posargs)


@nox.session
def conform(session: nox.Session) -> None:
    """Backends before the judge: ``-- openmp:avx2 --examples 20``; NAME:ISA forces an instruction set of openmp.

    Without arguments: the reference, with another implementation of ONNX as the oracle, and openmp on every
    instruction set of this machine.
    """
    install(session, "test")
    given = list(session.posargs)
    cut = next((i for i, word in enumerate(given) if word.startswith("-")), len(given))
    backends, options = given[:cut], given[cut:]
    if not backends or any(name.startswith("openmp") for name in backends):
        session.install("-e", OPENMP)
    if not backends:
        listing = "from orpheus_openmp.isa import available; print(*available())"
        isas = str(session.run("python", "-c", listing, silent=True)).split()
        backends = ["numpy", *(f"openmp:{isa}" for isa in isas)]
    for backend in backends:
        name, _, isa = backend.partition(":") if backend.startswith("openmp:") else (backend, "", "")
        session.run("orpheus", "conform", name, *options, env={"ORPHEUS_ISA": isa} if isa else {})


@nox.session
def wheels(session: nox.Session) -> None:
    """Wheels of every distribution in dist/, and their trial on a machine without a compiler."""
    install(session, "test,native")
    session.run("python", "scripts/wheels.py", "dist")
    session.run("pytest", "tests/wheels", *session.posargs, env={"ORPHEUS_WHEELS": "dist"})


@nox.session
def sanitize(session: nox.Session) -> None:
    """orpheus-openmp's tests under ASan and UBSan, then under TSan; ``-- address`` or ``-- thread`` for one."""
    install(session, "test,native")
    session.run("python", "scripts/openmp.py", "sanitize", *session.posargs)


@nox.session
def neon(session: nox.Session) -> None:
    """orpheus-openmp's AArch64 kernels under an emulator."""
    install(session, "test,native")
    session.run("python", "scripts/openmp.py", "neon", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """The conformance suite's own trial: every mutant caught on five seeds, unusual backends passed on twenty."""
    install(session, "test")
    session.run("python", "conformance/mutants/run.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.install("ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The strict type checker."""
    install(session, "dev")
    session.run("mypy", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks of the core's own cost; ``-- peers [options]`` races the networks against other engines.

    Figures mean something on an idle machine only.
    """
    if session.posargs[:1] == ["peers"]:
        # As users have it: an editable install looks for modules, and perhaps compiles them, at every load.
        packages = [path for path in PACKAGES if path != "./experiments"]
        session.install(".", *packages, OPENMP, "./experiments[peers]")
        session.run("python", "benchmarks/peers.py", *session.posargs[1:])
        return
    install(session, "test")
    for script in sorted(Path("benchmarks").glob("[!_]*.py")):
        if script.stem not in ("peers", "mixed", "pool"):
            session.run("python", str(script), *session.posargs)
