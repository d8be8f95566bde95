"""Builds of orpheus-openmp for its proofs: sanitizers, and other processors. Run from the project's environment.

    python scripts/openmp.py sanitize [address|thread ...] [-- PYTEST ARGUMENTS]
    python scripts/openmp.py neon [-- PYTEST ARGUMENTS]

``sanitize`` builds with AddressSanitizer and UndefinedBehaviorSanitizer, then with ThreadSanitizer, and runs the
plugin's tests in each. ``neon`` builds the kernels for AArch64 and runs the plugin's tests on them under an emulator.
What is missing is named; ``ORPHEUS_REQUIRE=neon,sanitize`` makes that a failure. Needs the core's extras test and
native.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "plugins" / "orpheus-openmp"
TESTS = SOURCE / "tests"
BUILD = ROOT / "build" / "openmp"
#: Kind -> value of -fsanitize=, the compiler's libraries to load first, and settings.
#: Memory that Python still holds at its end is no leak of the kernels.
SANITIZERS: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "address": (
        "address,undefined",
        ("libasan.so", "libstdc++.so"),  # the second, so that exceptions thrown in the module are seen
        {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"},
    ),
    "thread": (
        "thread",
        ("libtsan.so",),
        {"TSAN_OPTIONS": f"exitcode=66:suppressions={Path(__file__).with_name('thread.supp')}"},
    ),
}


def sanitize(kinds: list[str], arguments: list[str]) -> None:
    """The plugin's tests in a build with each sanitizer.

    Only the module is compiled for it: the interpreter, numpy and the runtime of OpenMP are not. That is all right for
    addresses, whose allocations and copies are watched everywhere. ThreadSanitizer would take libgomp's handing over
    of work for races, so its build has teams of std::thread (native/module/fork.hpp), and nothing of the plugin's is
    suppressed (thread.supp).
    """
    compiler = shutil.which("g++")
    for kind in kinds or list(SANITIZERS):
        flags, libraries, settings = SANITIZERS[kind]
        found = [output(compiler, f"-print-file-name={library}") for library in libraries] if compiler else []
        if compiler is None or not all(map(os.path.isabs, found)):
            missing("sanitize", f"g++ with {' and '.join(libraries)}")
            return
        folder = BUILD / kind
        openmp = "OFF" if kind == "thread" else "ON"
        cmake(
            folder, f"CMAKE_CXX_COMPILER={compiler}", f"ORPHEUS_SANITIZE={flags}", f"ORPHEUS_OPENMP={openmp}"
        )
        package = folder / "package" / "orpheus_openmp"
        shutil.rmtree(package, ignore_errors=True)
        shutil.copytree(SOURCE / "src" / "orpheus_openmp", package, ignore=shutil.ignore_patterns("*.so"))
        for module in folder.glob("_native*"):
            shutil.copy(module, package)
        announce(package.parent)
        test(
            ["--capture=sys", *arguments],  # a report is written past Python, and then the process ends
            PYTHONPATH=str(package.parent), LD_PRELOAD=" ".join(found), OPENBLAS_NUM_THREADS="1", **settings,
        )  # fmt: skip


def announce(folder: Path) -> None:
    """Make the package in ``folder`` one that is installed: sessions find backends by their entry points."""
    facts = folder / "orpheus_openmp-0.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: orpheus-openmp\nVersion: 0\n")
    (facts / "entry_points.txt").write_text("[orpheus.backends]\nopenmp = orpheus_openmp\n")


def neon(arguments: list[str]) -> None:
    """The plugin's tests on the kernels of AArch64, each kernel call in an emulated process."""
    compiler = shutil.which("aarch64-linux-gnu-g++")
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        missing(
            "neon",
            "aarch64-linux-gnu-g++ and qemu-aarch64: apt install g++-aarch64-linux-gnu qemu-user-static",
        )
        return
    folder = BUILD / "neon"
    cmake(
        folder, "ORPHEUS_RUNNER=ON", "ORPHEUS_OPENMP=OFF", "CMAKE_SYSTEM_NAME=Linux", "CMAKE_SYSTEM_PROCESSOR=aarch64",
        f"CMAKE_CXX_COMPILER={compiler}", "CMAKE_EXE_LINKER_FLAGS=-static",
    )  # fmt: skip
    test(arguments, PYTHONPATH=str(SOURCE / "src"), ORPHEUS_RUNNER=f"{emulator} {folder / 'runner'}")


def cmake(folder: Path, *definitions: str) -> None:
    """Configure and build the native side in ``folder``; every warning is an error."""
    given = (
        f"Python_EXECUTABLE={sys.executable}",
        "CMAKE_BUILD_TYPE=Release",
        "ORPHEUS_WERROR=ON",
        *definitions,
    )
    if shutil.which("ccache"):
        given += ("CMAKE_CXX_COMPILER_LAUNCHER=ccache",)
    call("cmake", "-G", "Ninja", "-S", str(SOURCE), "-B", str(folder), *(f"-D{d}" for d in given))
    call("cmake", "--build", str(folder))


def test(arguments: list[str], **variables: str) -> None:
    """The plugin's tests with these variables, on the package that lies first in their PYTHONPATH."""
    ours = variables.pop("PYTHONPATH")
    path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
    where = "import importlib.util; print(importlib.util.find_spec('orpheus_openmp').origin)"
    found = output(sys.executable, "-c", where, PYTHONPATH=path)
    if not Path(found).is_relative_to(ours):  # the hook of an editable install comes before every path
        sys.exit(
            f"orpheus-openmp is installed here as {found}, which would be tested instead of {ours}; "
            "pip uninstall orpheus-openmp, or use an environment without it, as nox -s sanitize does"
        )
    call(sys.executable, "-m", "pytest", str(TESTS), *arguments, **variables, PYTHONPATH=path)


def call(*command: str, **variables: str) -> None:
    """Run a command with the environment's tools on PATH; end with its code when it fails."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    print(f"== {' '.join(command)}", flush=True)
    code = subprocess.run(
        command, cwd=ROOT, check=False, env={**os.environ, "PATH": path, **variables}
    ).returncode
    if code:
        sys.exit(code)


def output(*command: str, **variables: str) -> str:
    """What a command prints."""
    env = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.strip()


def missing(name: str, what: str) -> None:
    """Say that a proof is not made for want of something; a failure where it is required."""
    print(f"{name}: not run, needs {what}", flush=True)
    if name in os.environ.get("ORPHEUS_REQUIRE", "").split(","):
        sys.exit(1)


def main() -> None:
    """The command line above."""
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    verb, *words = given[:cut] or [""]
    arguments = given[cut + 1 :]
    if verb == "sanitize" and set(words) <= set(SANITIZERS):
        sanitize(words, arguments)
    elif verb == "neon" and not words:
        neon(arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
