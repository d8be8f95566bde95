"""Arm Compute Library as a backend of its own: the implementations that a oneDNN built with it has by its name."""

from __future__ import annotations

from orpheus_core.plugin import Backend, Ready, Unavailable, hookimpl
from orpheus_onednn import library, manifest

_REASON = "this oneDNN was built without Arm Compute Library, which is for AArch64"
_FIX = f"build oneDNN with it as orpheus-onednn's README tells, and set {library.VARIABLE}=/path/to/{library.NAME}"


@hookimpl
def orpheus_backend() -> Backend:
    """What is computed by the Compute Library alone; it is there to be compared, and runs where it is named."""
    mine = tuple(k for k in manifest.kernels() if "acl" in k.name)
    return Backend(
        name="onednn:acl", api=1, kernels=mine, probe="orpheus_onednn.acl:probe", seal="orpheus_onednn.layer:seal",
        version=manifest.version(), rank=1002,
    )  # fmt: skip


def probe() -> Ready | Unavailable:
    """As of oneDNN, but that it must have such implementations."""
    found = library.probe()
    none = isinstance(found, Ready) and not any("acl" in k.name for k in manifest.kernels())
    return Unavailable(_REASON, _FIX) if none else found
