"""``orpheus new-backend``: every template is complete, installs, and its kernels run beside the reference."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from orpheus_conformance.expect import read
from orpheus_conformance.manifest import orpheus_commands
from orpheus_conformance.scaffold import command
from orpheus_conformance.scaffold.name import Names, checked
from orpheus_conformance.scaffold.render import TEMPLATES, render, write

from orpheus_core.cli.exits import Exit, code_for
from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend, Kernel, resolve

#: A convolution with weights that are constant or fed, and an operator that no template has.
USE = """
import sys
import numpy as np
from onnx import TensorProto, helper, numpy_helper
import orpheus_core as orpheus

name, random = sys.argv[1], np.random.default_rng(0)
ran = set()
for constant in (True, False):
    for batch, channels, filters, attributes in (
        (2, 5, 19, {}),
        (1, 3, 16, dict(pads=[1, 0, 2, 1], strides=[2, 3], dilations=[1, 2])),
        (1, 1, 1, dict(pads=[2, 2, 2, 2])),
    ):
        feeds = {
            "x": random.standard_normal((batch, channels, 9, 11)).astype(np.float32),
            "w": random.standard_normal((filters, channels, 3, 2)).astype(np.float32),
            "b": random.standard_normal(filters).astype(np.float32),
        }
        kept = {"b": feeds.pop("b")}
        if constant:
            kept["w"] = feeds.pop("w")
        infos = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in feeds.items()]
        nodes = [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", **attributes),
            helper.make_node("Sin", ["c"], ["y"], "sin"),
        ]
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        constants = [numpy_helper.from_array(v, k) for k, v in kept.items()]
        graph = helper.make_graph(nodes, "mixed", infos, [y], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data = model.SerializeToString()
        session = orpheus.InferenceSession(data, providers=[name, "numpy"])
        (want,) = orpheus.InferenceSession(data, providers=["numpy"]).run(None, feeds)
        for _ in range(2):
            (got,) = session.run(None, feeds)
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        ran.add(" ".join(sorted(k.kernel_id for k in session.kernel_plan() if k.kernel_id != "core:Move")))
print(*ran, sep="\\n")
"""

#: The manifest, then the probe where the device's library is hidden.
ASK = """
import sys
for library in ("cupy", "pyopencl"):
    sys.modules[library] = None
from orpheus_core import discovery
row = discovery.row(sys.argv[1])
loaded = row.backend is not None
print(loaded, [m for m in sys.modules if m.startswith(sys.argv[2])])
print(row.status, "|", row.reason, "|", row.fix)
"""


@dataclass(frozen=True)
class Author:
    """Somebody with a generated package, installed from ``folder``."""

    machine: Any
    names: Names
    folder: Path

    def python(self, source: str, *arguments: str) -> list[str]:
        """The lines that a script prints, given the backend's name and ``arguments``."""
        (self.folder.parent / "script.py").write_text(source)
        words = " ".join((self.names.backend, *arguments))
        printed: str = self.machine.run(f"python script.py {words}", self.folder.parent)
        return printed.splitlines()


def generate(template: str, folder: Path) -> Names:
    """A backend called ``my-TEMPLATE`` in a folder of the same name."""
    names = Names(f"my-{template}")
    write(render(template, names), folder / names.backend)
    return names


@pytest.fixture(scope="module")
def install(machine: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Author]:
    """Generates a template by the command and installs it as its author would, once."""
    folder = tmp_path_factory.mktemp("authors")

    @cache
    def once(template: str) -> Author:
        name = f"my-{template}"
        machine.run(f"orpheus new-backend {name} --template {template} -o {name}", folder)
        # The device libraries need not be here.
        machine.run(f"pip install --no-deps ./{name}", folder)
        return Author(machine, Names(name), folder / name)

    return once


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_complete(template: str, tmp_path: Path) -> None:
    names = generate(template, tmp_path)
    folder = tmp_path / names.backend
    texts = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    source = f"src/{names.package}"
    wanted = {"pyproject.toml", "README.md", "conformance.toml", ".gitignore", ".github/workflows/ci.yml"}
    assert wanted | {f"{source}/__init__.py", f"{source}/kernels.py"} <= set(texts)
    for path, text in texts.items():
        assert "PACKAGE" not in path + text, path
        assert not re.search(r"\$(?!\{\{)", text), path
        if path.endswith(".py"):
            compile(text, path, "exec")
    assert f'my-{template} = "{names.package}"' in texts["pyproject.toml"]
    for line in ("pip install -e .", "orpheus backends", f"orpheus conform my-{template}"):
        assert line in texts["README.md"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_generated_code_is_formatted(template: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("needs ruff")
    generate(template, tmp_path)
    ruff = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "110", "."]
    done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_manifest_imports_no_kernel_and_the_probe_gives_a_reason(
    template: str, install: Callable[[str], Author]
) -> None:
    author = install(template)
    loaded, state = author.python(ASK, author.names.package)
    assert loaded == f"True ['{author.names.package}']"
    if template in ("opencl", "cupy"):
        status, reason, fix = state.split(" | ")
        assert status == "unavailable"
        assert "cannot be imported" in reason
        assert "pip install" in fix
    else:
        assert state.startswith("ready")


@pytest.mark.parametrize(("template", "kernel"), [("numpy", "im2col"), ("cpp", "direct")])
def test_a_template_runs_beside_the_reference(
    template: str, kernel: str, install: Callable[[str], Author]
) -> None:
    assert install(template).python(USE) == [f"my-{template}:Conv/{kernel} numpy:Sin/reference"]


def test_the_opencl_template_runs_where_there_is_a_device(install: Callable[[str], Author]) -> None:
    author = install("opencl")
    rows = author.machine.run("orpheus backends", author.folder)
    row = next(line for line in rows.splitlines() if line.startswith("my-opencl"))
    if " ready " not in row:
        if os.environ.get("ORPHEUS_REQUIRE_OPENCL") == "1":
            pytest.fail(f"ORPHEUS_REQUIRE_OPENCL=1, but {row}")
        pytest.skip(row)
    assert author.python(USE) == ["my-opencl:Conv/direct numpy:Sin/reference"]
    author.machine.run("orpheus conform my-opencl --examples 10", author.folder)


@pytest.mark.slow
@pytest.mark.parametrize("template", ["numpy", "cpp"])
def test_a_template_conforms_at_once(template: str, install: Callable[[str], Author]) -> None:
    author = install(template)
    author.machine.run(f"orpheus conform my-{template} --examples 20", author.folder)


def test_the_example_of_a_declared_defect_lacks_nothing_but_a_witness(tmp_path: Path) -> None:
    text = render("numpy", Names("hello"))[Path("conformance.toml")]
    example = text[text.index("# [[expect]]") :].replace("# ", "", 1).replace("\n# ", "\n")
    (tmp_path / "conformance.toml").write_text(example)
    kernel = Kernel(op="Conv", name="direct", run="nowhere:conv")
    with pytest.raises(UsageError, match="expect 1: witness: not a case"):
        read(tmp_path / "conformance.toml", Backend(name="hello", api=1, kernels=(kernel,)))


def test_the_command_writes_a_package_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (verb,) = (c for c in orpheus_commands() if c.name == "new-backend")
    parser = argparse.ArgumentParser()
    resolve(verb.configure)(parser)
    assert resolve(verb.run)(parser.parse_args(["fast_conv"])) == Exit.OK
    assert (tmp_path / "orpheus-fast-conv/src/orpheus_fast_conv/kernels.py").is_file()
    printed = capsys.readouterr().out
    assert "pip install -e orpheus-fast-conv\n" in printed
    assert "orpheus conform fast_conv\n" in printed


@pytest.mark.parametrize(
    "name", ["", "Fast", "2d", "-x", "x-", "a b", "a,b", "peer:x", "../x", "ünder", "a.b", "x\n"]
)
def test_an_ill_formed_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="lower-case letters") as caught:
        checked(name)
    assert code_for(caught.value) == Exit.USAGE


@pytest.mark.parametrize("name", ["numpy", "core"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"is installed"):
        checked(name)


@pytest.mark.parametrize("present", ["file", "folder"])
def test_nothing_is_overwritten(present: str, tmp_path: Path) -> None:
    target = tmp_path / "there"
    if present == "folder":
        target.mkdir()
        (target / "mine").write_text("kept")
    else:
        target.write_text("kept")
    args = argparse.Namespace(name="hello", template="numpy", output=target)
    with pytest.raises(UsageError, match="exists already"):
        command.run(args)
    assert (target / "mine" if present == "folder" else target).read_text() == "kept"
    assert len(list(tmp_path.rglob("*"))) == (2 if present == "folder" else 1)
