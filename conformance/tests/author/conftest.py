"""A backend author's machine: a fresh environment with Orpheus from wheels only, and no checkout in sight."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[3]
DISTRIBUTIONS = ("orpheus-core", "orpheus-numpy", "orpheus-conformance")
FOLDERS = (ROOT, ROOT / "plugins" / "orpheus-numpy", ROOT / "conformance")


@dataclass(frozen=True)
class Machine:
    """An environment with a shell: ``folder/bin`` comes first on its path, and ``wheels`` is its package index."""

    folder: Path
    wheels: Path

    def run(
        self, command: str, cwd: Path, *, code: int | None = 0, timeout: float = 300, **variables: str
    ) -> str:
        """Everything a shell command prints; fails unless it ends with ``code`` (None: any)."""
        foreign = ("PYTHON", "ORPHEUS", "VIRTUAL_ENV", "PYTEST")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        environment["PATH"] = os.pathsep.join((str(self.folder / "bin"), environment["PATH"]))
        done = subprocess.run(
            command,
            shell=True,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            env={**environment, **variables},
        )
        assert code is None or done.returncode == code, (
            f"{command}: exit code {done.returncode}\n{done.stdout}"
        )
        return done.stdout


def _make(folder: Path, wheels: Path) -> Machine:
    """An environment that shares third-party packages with this one by links, and nothing of Orpheus."""
    venv.create(folder, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    for source in dict.fromkeys(Path(p).resolve() for p in sys.path if p.endswith("-packages")):
        for entry in source.iterdir():
            name = entry.name.lower()
            ours = "orpheus" in name or name.startswith("__editable__") or name.endswith(".pth")
            if not ours and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    pip = folder / "bin" / "pip"
    pip.write_text(
        f'#!/bin/sh\nverb="$1"; shift\nexec "{folder}/bin/python" -m pip "$verb" --quiet --no-index '
        f'--find-links "{wheels}" --no-build-isolation "$@"\n'
    )
    pip.chmod(0o755)
    return Machine(folder, wheels)


def absent(reason: str) -> NoReturn:
    """Skip, but not where the templates must be tried (``ORPHEUS_REQUIRE_OPENCL=1``)."""
    if os.environ.get("ORPHEUS_REQUIRE_OPENCL") == "1":
        pytest.fail(f"ORPHEUS_REQUIRE_OPENCL=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of the core, the reference and this suite."""
    if os.name != "posix":
        pytest.skip("the author's machine is driven by a POSIX shell")
    missing = [str(folder) for folder in FOLDERS if not (folder / "pyproject.toml").exists()]
    if missing:
        absent(f"the sources that the wheels are built from are not here: {', '.join(missing)}")
    for tool, oldest in (("pip", 22), ("hatchling", 1), ("setuptools", 77)):
        # By its metadata: importing setuptools puts distutils in disorder.
        if not any(int(d.version.split(".")[0]) >= oldest for d in distributions(name=tool)):
            absent(f"building packages without an index needs {tool} {oldest} or later here")
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), *map(str, FOLDERS)]
    subprocess.run(command, check=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def machine(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """An environment with Orpheus installed, shared by tests that install backends under names of their own."""
    machine = _make(tmp_path_factory.mktemp("shared") / "env", wheels)
    machine.run(f"pip install --no-deps {' '.join(DISTRIBUTIONS)}", machine.folder)
    return machine


@pytest.fixture
def fresh_machine(wheels: Path, tmp_path: Path) -> Machine:
    """An environment of this test alone, without Orpheus."""
    return _make(tmp_path / "env", wheels)
