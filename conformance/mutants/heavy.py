"""A manifest that imports the kernels it should name by reference."""

from __future__ import annotations

from mutants.mutant import kernel_of
from mutants.plain import relu
from orpheus_core.plugin import API, Backend, hookimpl


@hookimpl
def orpheus_backend() -> Backend:
    """See the module."""
    return Backend(
        name="toy_manifest_is_heavy", api=API, kernels=(kernel_of("Relu", f"{relu.__module__}:relu"),)
    )
