"""orpheus-numpy: the reference backend. Short and plain numpy; every other backend is judged against it."""

from __future__ import annotations

from orpheus_core.plugin import Backend, hookimpl
from orpheus_numpy.manifest import KERNELS


@hookimpl
def orpheus_backend() -> Backend:
    """The reference kernels of every inference operator."""
    return Backend(
        name="numpy",
        api=1,
        kernels=KERNELS,
        version="0.1.0",
        rank=1000,
        set_threads="orpheus_numpy.threads:set_threads",
    )
