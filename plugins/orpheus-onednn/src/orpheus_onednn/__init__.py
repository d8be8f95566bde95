"""orpheus-onednn: the oneAPI Deep Neural Network Library as a backend, over its C interface and ctypes."""

from __future__ import annotations

from orpheus_core.plugin import Backend, hookimpl


@hookimpl
def orpheus_backend() -> Backend:
    """The library's implementations as kernels; see :mod:`orpheus_onednn.manifest`."""
    from orpheus_onednn.manifest import kernels, version

    return Backend(
        name="onednn",
        api=1,
        kernels=kernels(),
        probe="orpheus_onednn.library:probe",
        seal="orpheus_onednn.layer:seal",
        version=version(),
        rank=1001,  # behind the reference: it runs where it is named, and no session loads the library unasked
    )
