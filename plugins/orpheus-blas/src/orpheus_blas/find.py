"""Where the BLAS libraries of a machine are, and how each is got."""

from __future__ import annotations

import os
import site
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np

from orpheus_blas.library import Library
from orpheus_core.loading import first_usable

#: Library -> patterns of its files in any of _folders(), the best first, and how to get it.
FILES = {
    "mkl": ("libmkl_rt.so*", "pip install mkl"),
    "openblas": ("*-pthread/libopenblas.so* libopenblasp.so* libopenblas.[sd]*", "apt install libopenblas0-pthread"),
    "blis": ("*-pthread/libblis.so* libblis.[sd]*", "apt install libblis4-pthread"),
    "numpy": ("*openblas*", "pip install --force-reinstall numpy, from a wheel that brings OpenBLAS"),
    "accelerate": ("Accelerate.framework/Accelerate", "use a Mac: it comes with macOS only"),
    "atlas": ("libcblas.so.3 atlas/libsatlas.so*", "apt install libatlas3-base"),
}  # fmt: skip


@cache
def load(name: str) -> Library:
    """The library called ``name``; BackendError with the reason, and after "; to fix: " what helps."""
    (patterns, fix), folders, variable = FILES[name], _folders(name), f"ORPHEUS_BLAS_{name.upper()}"
    paths = [p for pattern in patterns.split() for folder in folders for p in sorted(folder.glob(pattern))]
    nowhere = f"no {' or '.join(patterns.split())} in {', '.join(map(str, folders))}"
    fix += f"; or let {variable} give its path"
    return first_usable(map(str, paths), partial(Library, name), variable=variable, fix=fix, nowhere=nowhere)


def _folders(name: str) -> list[Path]:
    if name == "numpy":
        root = Path(np.__file__).parent
        return [root.with_name("numpy.libs"), root / ".dylibs"]
    named = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    own = [*named, f"{sys.prefix}/lib", f"{site.getuserbase()}/lib"]
    system = ["/usr/local/lib", *map(str, Path("/usr/lib").glob("*-linux-gnu")), "/usr/lib64", "/usr/lib"]
    mac = ["/opt/homebrew/opt/openblas/lib", "/System/Library/Frameworks"]
    return [Path(place) for place in (*own, *system, *mac) if place and Path(place).is_dir()]
