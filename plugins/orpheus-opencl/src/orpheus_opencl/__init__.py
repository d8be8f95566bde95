"""orpheus-opencl: inference on any device that has an OpenCL driver."""

from __future__ import annotations

from orpheus_core.plugin import Backend, hookimpl
from orpheus_core.types import Device


@hookimpl
def orpheus_backend() -> Backend:
    """The kernels, on the first device; ``{"device": ...}`` among the provider options chooses another."""
    from orpheus_opencl.manifest import kernels

    return Backend(
        name="opencl",
        api=1,
        kernels=kernels(),
        device=Device("opencl"),
        probe="orpheus_opencl.device:probe",
        complete="orpheus_opencl.manifest:complete",
        configure="orpheus_opencl.device:configure",
        runtime="orpheus_opencl.runtime:Runtime",
        seal="orpheus_opencl.launch:seal",
        peak="orpheus_opencl.peak:peak",
        version="0.1.0",
        rank=1010,  # behind the reference: a device is used when it is asked for, as transfers cost
    )
