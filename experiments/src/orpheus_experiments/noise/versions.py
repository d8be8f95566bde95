"""The versions of all that takes part: libraries, plugins and their builds, engines, the working copy."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from orpheus_core import discovery
from orpheus_core.errors import BackendError
from orpheus_core.peers import PREFIX, absence, peer, version
from orpheus_experiments.noise.system import NOT_TOLD

__all__ = ["engines", "libraries", "plugins", "revision"]

_GIT_LIMIT = 10.0


def libraries() -> dict[str, str]:
    """Python, numpy, onnx and Orpheus's own distributions."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "onnx", "orpheus-core", "orpheus-experiments"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = f"{NOT_TOLD}not installed as a distribution"
    return found


def plugins() -> dict[str, dict[str, Any]]:
    """Every installed backend: its distribution and version, its own build, and whether it is usable."""
    return {
        row.name: {
            "distribution": row.distribution,
            "version": row.version,
            "build": row.backend.version if row.backend else "",
            "status": row.status,
        }
        for row in discovery.backends()
        if row.kind == "backend"
    }


def engines(names: Iterable[str]) -> dict[str, str]:
    """Versions of peer engines by name (``peer:x`` or bare); what is not there says why."""
    found = {}
    for name in names:
        try:
            spec = peer(name.removeprefix(PREFIX))
        except BackendError as error:
            found[name] = f"{NOT_TOLD}{error}"
        else:
            reason = absence(spec)
            found[name] = f"{NOT_TOLD}{reason}" if reason else version(spec) or f"{NOT_TOLD}it has none"
    return found


@cache
def revision() -> str:
    """The git revision of the checkout that this package runs from, and whether it was changed."""
    here = Path(__file__).resolve()
    root = next((p for p in here.parents if (p / ".git").exists()), None)
    if root is None:
        return f"{NOT_TOLD}not run from a checkout"
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True, text=True, check=True, timeout=_GIT_LIMIT,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return f"{NOT_TOLD}git: {type(error).__name__}"
    return found.stdout.strip()
