"""orpheus-onednn: the oneAPI Deep Neural Network Library as a backend, over its C interface and ctypes.

What oneDNN computes by Arm Compute Library, where it was built with it, is a backend of its own as well. Both rank
behind the reference: they run where they are named, and no session loads the library unasked.
"""

from __future__ import annotations

from orpheus_core.plugin import Backend


def _backend(name: str, rank: int, probe: str) -> Backend:
    return Backend(
        name=name, api=1, kernels=(), probe=f"orpheus_onednn.manifest:{probe}", rank=rank,
        complete="orpheus_onednn.manifest:complete", seal="orpheus_onednn.layer:seal",
    )  # fmt: skip


onednn, acl = _backend("onednn", 1001, "probe"), _backend("onednn:acl", 1002, "probe_acl")
