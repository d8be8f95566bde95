"""Wheels on a machine that has nothing but Python, and a build from source where there is no compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins" / "orpheus-openmp"

USE = """
import sys
import numpy as np, orpheus_core as orpheus, orpheus_openmp._native as native
model, image, expected = sys.argv[1:]
for module in (orpheus, native):
    assert module.__file__.startswith(sys.prefix), module.__file__
x = np.load(image)
for threads in (1, 2):
    session = orpheus.InferenceSession(model, providers=["openmp", "numpy"], threads=threads)
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    assert any(row.kernel_id.startswith("openmp:") for row in session.kernel_plan())
np.testing.assert_allclose(y, np.load(expected), rtol=1e-4, atol=1e-5)
runtimes = {line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line}
assert len(runtimes) == 1 and "orpheus_openmp.libs" in runtimes.pop(), runtimes
"""


def run(*command: object, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """A command that finds programs in one folder only, and knows nothing of this checkout."""
    environment = {"PATH": str(path), "HOME": str(cwd)}
    kept = ("PIP_", "SSL_", "REQUESTS_", "XDG_CACHE")
    environment |= {k: v for k, v in os.environ.items() if k.startswith(kept)}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="manylinux wheels are for Linux")
def test_wheels_install_without_a_compiler_and_run_a_model(tmp_path):
    import numpy as np

    import orpheus_core as orpheus

    if "ORPHEUS_WHEELS" not in os.environ:
        pytest.skip("needs ORPHEUS_WHEELS, a folder of wheels: nox -s wheels")
    folder = Path(os.environ["ORPHEUS_WHEELS"]).resolve()
    names = sorted(path.name.split("-")[0] for path in folder.glob("orpheus_*.whl"))
    parts = ("blas", "conformance", "core", "cuda", "experiments", "numpy", "onednn", "opencl", "openmp")
    own = [f"orpheus_{part}" for part in parts]
    assert names == own
    (compiled,) = folder.glob("orpheus_openmp-*.whl")
    assert "manylinux" in compiled.name

    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    programs = environment / "bin"
    assert shutil.which("c++", path=str(programs)) is None
    pip = (programs / "python", "-m", "pip", "install", "--quiet", "--find-links", folder)
    done = run(*pip, "--only-binary", ",".join(own), *own, cwd=tmp_path, path=programs)
    assert done.returncode == 0, done.stderr
    listed = run(programs / "orpheus", "backends", "--json", cwd=tmp_path, path=programs)
    assert listed.returncode == 0, listed.stderr
    (row,) = (row for row in json.loads(listed.stdout) if row["name"] == "openmp")
    assert row["status"] == "ready", row

    model = ROOT / "examples" / "digits" / "digits.onnx"
    reference = orpheus.InferenceSession(str(model), providers=["numpy"])
    feed = reference.get_inputs()[0]
    shape = [d if isinstance(d, int) else 2 for d in feed.shape]
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", reference.run(None, {feed.name: x})[0])
    shutil.copy(model, tmp_path)
    used = run(programs / "python", "-c", USE, "digits.onnx", "x.npy", "y.npy", cwd=tmp_path, path=programs)
    assert used.returncode == 0, used.stderr


@pytest.mark.skipif(os.name != "posix", reason="the compiler is hidden by a POSIX search path")
def test_without_a_compiler_the_build_says_what_to_install(tmp_path):
    tools = {name: shutil.which(name) for name in ("cmake", "ninja")}
    beside = Path(sys.executable).parent
    tools = {name: found or shutil.which(name, path=str(beside)) for name, found in tools.items()}
    absent = [name for name in ("scikit_build_core", "nanobind") if find_spec(name) is None]
    absent += [name for name, found in tools.items() if found is None]
    if absent:
        pytest.skip(f"building orpheus-openmp needs {', '.join(absent)} here")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, found in tools.items():
        (programs / name).symlink_to(found)
    source = tmp_path / "source"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("build", "*.so"))
    pip = (sys.executable, "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-deps")
    done = run(*pip, "--target", tmp_path / "target", source, cwd=tmp_path, path=programs)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "orpheus-openmp needs a C++20 compiler to be built from source" in said, said
    assert "apt install g++" in said
    assert "pip install --only-binary" in said


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler")
def test_without_the_headers_of_python_the_build_says_what_to_install(tmp_path):
    beside = str(Path(sys.executable).parent)
    cmake, ninja = (shutil.which(name, path=beside) or shutil.which(name) for name in ("cmake", "ninja"))
    if cmake is None or ninja is None:
        pytest.skip("building orpheus-openmp needs cmake and ninja here")
    given = [f"-DPython_EXECUTABLE={sys.executable}", f"-DPython_INCLUDE_DIR={tmp_path / 'nothing'}"]
    given += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    command = [cmake, "-S", str(PLUGIN), "-B", str(tmp_path / "build"), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " ".join(done.stderr.split())
    assert done.returncode != 0
    assert "orpheus-openmp needs the header files of Python to be built from source" in said, said
    assert "apt install python3-dev" in said
    assert "pip install --only-binary" in said
