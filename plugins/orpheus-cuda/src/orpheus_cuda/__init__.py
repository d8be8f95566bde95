"""orpheus-cuda: inference on NVIDIA GPUs."""

from __future__ import annotations

from orpheus_core.plugin import Backend, PassSpec, hookimpl
from orpheus_core.types import Device


@hookimpl
def orpheus_backend() -> Backend:
    """The kernels, on the first device; ``{"device": ..., "tf32": True}`` among the provider options chooses others."""
    from orpheus_cuda.manifest import kernels

    return Backend(
        name="cuda",
        api=1,
        kernels=kernels(),
        device=Device("cuda"),
        probe="orpheus_cuda.device:probe",
        complete="orpheus_cuda.device:complete",
        configure="orpheus_cuda.device:configure",
        runtime="orpheus_cuda.runtime:Runtime",
        seal="orpheus_cuda.launch:seal",
        chain="orpheus_cuda.chains:chain",
        version="0.1.0",
        rank=1010,  # behind the reference: a device is used when it is asked for, as transfers cost
    )


@hookimpl
def orpheus_passes() -> list[PassSpec]:
    """Before constants are folded, which would leave quantized weights as floats."""
    run = "orpheus_core.passes.fuse_quantized:run"
    return [PassSpec(name="fuse_quantized", run=run, after="eliminate_dead", backend="cuda")]
