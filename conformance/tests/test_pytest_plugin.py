"""The plugin in runs of its own, of a backend that is installed in a folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MANIFEST = """
from orpheus_core.plugin import Backend, Kernel, hookimpl

@hookimpl
def orpheus_backend():
    floats = {"T": ("float32", "float64")}
    return Backend(name="judged", api=1, kernels=(
        Kernel(op="Relu", name="right", run="wrong_kernels:relu", dtypes=floats),
        Kernel(op="Abs", name="refusing", run="wrong_kernels:relu", supports="wrong_kernels:refuses_all"),
        Kernel(op="LeakyRelu", name="k", run="wrong_kernels:leaky_by_maximum", dtypes=floats),
    ))
"""
WITNESS = (
    '{"op":"LeakyRelu","version":16,"inputs":[{"$operand":{"dtype":"float32","shape":[1],"data":[1.0]}}],'
    '"attributes":{"alpha":2.0},"tier":"exact","kernel":"judged:LeakyRelu/k"}'
)
EXPECTED = f"""
[[expect]]
kernel = "judged:LeakyRelu/k"
when = {{ alpha = {{ ">" = 1 }} }}
kind = "notyet"
outcome = "wrong"
reason = "the larger of two"
witness = '{WITNESS}'
"""


@pytest.fixture
def run(tmp_path):
    site = tmp_path / "site"
    info = site / "judged-1.dist-info"
    info.mkdir(parents=True)
    (site / "judged_manifest.py").write_text(MANIFEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: judged\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[orpheus.backends]\njudged = judged_manifest\n")
    home = tmp_path / "home"
    home.mkdir()

    def call(*arguments, cwd=home):
        path = os.pathsep.join([str(site), str(HERE), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments],
            cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    call.home = home
    return call


SUITE = ("--pyargs", "orpheus_conformance", "--orpheus-backend", "judged", "--orpheus-examples", "20")


def test_an_item_per_kernel_and_tier(run):
    code, out = run(*SUITE, "--orpheus-op", "Relu", "--orpheus-seed", "1")
    assert code == 0, out
    for tier in ("contract", "exact", "bounded", "refusal"):
        assert re.search(rf"PASSED \S*test_conformance\[Relu/right-{tier}\]", out)
    assert re.search(r"SKIPPED .* inapplicable: takes the plain layout only", out)
    assert "LeakyRelu" not in out


def test_a_failing_item_shows_its_replay_line_and_a_declared_defect_is_an_xfail(run):
    code, out = run(*SUITE, "--orpheus-op", "LeakyRelu")
    assert code == 1
    assert re.search(r"orpheus conform replay '\{\"op\":\"LeakyRelu\".*'", out)
    assert "Traceback" not in out
    (run.home / "conformance.toml").write_text(EXPECTED)
    code, out = run(*SUITE, "--orpheus-op", "LeakyRelu")
    assert code == 0, out
    assert re.search(r"XFAIL .*LeakyRelu/k-expectations\] - expected: the larger of two", out)


def test_refused_is_a_skip_with_its_reason(run):
    # In the steered tiers a kernel that refuses all it declares is a failure; in the open one it is refused.
    code, out = run(*SUITE, "--orpheus-op", "Abs", "-k", "refusal")
    assert re.search(r"SKIPPED .* refused: needs a machine that is not built yet", out)
    assert "no case was executed" in out
    assert code == 1
    assert "PASSED" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--pyargs", "orpheus_conformance"), "name the backend to judge with --orpheus-backend NAME"),
        (("--pyargs", "orpheus_conformance", "--orpheus-backend", "nope"), "backend 'nope' is not installed"),
        ((*SUITE, "--orpheus-op", "Gelu"), "backend judged has no Gelu"),
        ((*SUITE, "--orpheus-expectations", "absent.toml"), "there is no file absent.toml"),
    ],
)
def test_a_wrong_request_is_told_in_a_line(run, arguments, says):
    code, out = run(*arguments)
    assert code == 2
    assert f"orpheus_conformance: {says}" in out
    assert "Traceback" not in out


def test_other_runs_are_not_disturbed(run):
    (run.home / "test_theirs.py").write_text(
        "import sys\n"
        "def test_theirs(request):\n"
        "    assert request.config.pluginmanager.has_plugin('orpheus-conformance')\n"
        "    heavy = {'numpy', 'onnx', 'hypothesis', 'orpheus_core', 'orpheus_conformance.engine'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    code, out = run("-p", "no:hypothesispytest", "test_theirs.py")
    assert code == 0, out
    assert "1 passed" in out
