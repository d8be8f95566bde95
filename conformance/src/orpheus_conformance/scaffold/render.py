"""Templates become files.

A template is a folder beside this module. Its files end in ``.in``, so that no tool takes them for code of this
package; in them ``$name`` and the like are replaced, and in their paths ``PACKAGE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

import orpheus_core
from orpheus_conformance.scaffold.name import Names
from orpheus_core.errors import UsageError
from orpheus_core.plugin import API

_FOLDER = Path(__file__).parent / "templates"

#: What each template is, in the words of the new package's README.
TEMPLATES: Mapping[str, str] = {
    "numpy": "convolution and Relu in plain numpy",
    "cpp": "convolution in C++20 with packed weights, compiled when the package is installed",
    "opencl": "convolution in OpenCL, on any device that has a driver",
    "cupy": "convolution in CUDA through CuPy, on an NVIDIA GPU",
}


def render(template: str, names: Names) -> dict[Path, str]:
    """The files of a new package by relative path."""
    words = {
        "name": names.backend,
        "distribution": names.distribution,
        "package": names.package,
        "about": TEMPLATES[template],
        "api": str(API),
        "range": _range(orpheus_core.__version__),
    }
    found = {}
    for folder in (_FOLDER / "common", _FOLDER / template):
        for source in sorted(folder.rglob("*.in")):
            path = Path(str(source.relative_to(folder))[: -len(".in")].replace("PACKAGE", names.package))
            found[path] = Template(source.read_text(encoding="utf-8")).substitute(words)
    return found


def _range(version: str) -> str:
    """Versions of the core that speak this plugin interface: a core takes its own and the one before."""
    major, minor = version.split(".")[:2]
    return f">={major}.{minor},<{major}.{int(minor) + 2}"


def write(files: Mapping[Path, str], folder: Path) -> None:
    """Write the files into a new or empty folder; UsageError when there is something in it."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"new-backend: {folder} exists already; name another folder with -o, or remove it")
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
