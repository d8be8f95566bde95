"""When the project's environment builds a compiled backend again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import environment


@pytest.fixture
def plugin(tmp_path):
    ignored = shutil.ignore_patterns("build", "*.so", "__pycache__", "tests")
    return Path(
        shutil.copytree(environment.ROOT / "plugins" / "orpheus-openmp", tmp_path / "plugin", ignore=ignored)
    )


@pytest.mark.parametrize(
    ("path", "again"),
    [
        ("src/orpheus_openmp/cook_toom.py", True),  # C++ is made from it
        ("src/orpheus_openmp/bilinear.py", True),
        ("native/kernels/conv.cpp", True),
        ("native/winograd_transforms.py", True),
        ("CMakeLists.txt", True),
        ("src/orpheus_openmp/conv.py", False),  # an editable install takes it as it is
    ],
)
def test_a_backend_is_built_again_when_what_is_compiled_changes(plugin, path, again):
    before = environment._sources(plugin)
    changed = plugin / path
    changed.write_text(changed.read_text() + "\n")
    assert (environment._sources(plugin) != before) is again
