"""orpheus-openmp: C++20 kernels for the CPU, several algorithms a layer, several instruction sets in one build."""

from __future__ import annotations

from orpheus_core.plugin import Backend, hookimpl


@hookimpl
def orpheus_backend() -> Backend:
    """The kernels, in the layouts of this machine's vectors; see :mod:`orpheus_openmp.isa`."""
    from orpheus_openmp import isa
    from orpheus_openmp.manifest import kernels

    return Backend(
        name="openmp",
        api=1,
        kernels=kernels(isa.block_for_manifest()),
        probe="orpheus_openmp.isa:probe",
        seal="orpheus_openmp.layer:seal",
        chain="orpheus_openmp.chain:chains",
        version="0.1.0",
        rank=50,
        peak="orpheus_openmp.peak:peak",
    )
