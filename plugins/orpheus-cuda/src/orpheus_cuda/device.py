"""The GPUs of this machine: found, listed, chosen by index or name, opened once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orpheus_core.errors import BackendError, UsageError
from orpheus_core.plugin import Backend, Ready, Unavailable
from orpheus_core.types import Device
from orpheus_cuda import driver

_OPTIONS = ("device", "tf32")
#: NVIDIA's libraries by the names of their kernels, and as people know them.
_LIBRARIES = {"cudnn": "cuDNN's frontend", "cublaslt": "cuBLASLt"}
#: What stands for CUDA: ``devices()``, ``versions()`` and ``Library``. Tests put another in its place.
library: Any = driver


def probe() -> Ready | Unavailable:
    """Ready with the devices, or why there is none."""
    try:
        can, runtime = library.versions()
    except ImportError as error:
        why = getattr(error, "__cause__", None) or error
        return Unavailable(
            f"CuPy cannot be imported: {why}", "pip install 'orpheus-cuda[cuda13]', or [cuda12]"
        )
    if not can:
        return Unavailable(
            f"there is no NVIDIA driver (CuPy {runtime})",
            "install the driver of your GPU, or make one visible",
        )
    try:
        found = library.devices()
    except RuntimeError as error:
        fix = f"a driver for CUDA {runtime} or newer, or CuPy for CUDA {can.partition('.')[0]}"
        return Unavailable(f"the driver runs CUDA up to {can}, CuPy is for {runtime}: {error}", fix)
    rows = tuple(f"{i}: {f}" for i, f in enumerate(found))
    usable = [f for f in found if f.capability >= driver.LEAST]
    if not usable:
        return Unavailable(
            f"no GPU that it can use: {'; '.join(rows) or 'CUDA sees none'}",
            "a GPU of compute capability 8.0 or newer; see CUDA_VISIBLE_DEVICES",
        )
    more = f" and {len(found) - 1} more" if found[1:] else ""
    there = libraries()
    told = [f"{'with' if name in there else 'without'} {title}" for name, title in _LIBRARIES.items()]
    return Ready(
        f"{usable[0].name}{more}, driver for CUDA {can}, CuPy for {runtime}, {', '.join(told)}", rows
    )


def libraries() -> tuple[str, ...]:
    """Those of NVIDIA's that are installed, by the names of their kernels."""
    from orpheus_cuda import cublaslt, cudnn

    there = {"cudnn": cudnn.is_installed(), "cublaslt": cublaslt.library() is not None}
    return tuple(name for name in _LIBRARIES if there[name])


def complete(backend: Backend) -> Backend:
    """The backend with the kernels of NVIDIA's libraries that are installed."""
    from orpheus_cuda.manifest import kernels

    return replace(backend, kernels=kernels(libraries=libraries()))


def configure(backend: Backend, options: Mapping[str, Any]) -> Backend:
    """The backend on ``device`` (an index, or a part of its name), with ``tf32`` kernels where that is asked for."""
    from orpheus_cuda.manifest import kernels

    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise UsageError(f"backend 'cuda' has no option {unknown[0]!r}; it has {', '.join(_OPTIONS)}")
    wanted, tf32 = options.get("device", ""), options.get("tf32", False)
    if not isinstance(tf32, bool):
        raise UsageError(f"option 'tf32' of backend 'cuda' is True or False, not {tf32!r}")
    found = library.devices()
    fits = [
        i
        for i, f in enumerate(found)
        if (i == wanted if isinstance(wanted, int) else str(wanted).lower() in f.name.lower())
    ]
    if not fits:
        there = "; ".join(f"{i}: {f}" for i, f in enumerate(found)) or "none"
        raise UsageError(f"there is no CUDA device {wanted!r}; there are {there}")
    if found[fits[0]].capability < driver.LEAST:
        raise UsageError(f"CUDA device {fits[0]} cannot be used: {found[fits[0]]}")
    return replace(backend, device=Device("cuda", fits[0]), kernels=kernels(tf32=tf32, libraries=libraries()))


_opened: dict[int, Any] = {}
_opening = threading.Lock()


def opened(index: int) -> Any:
    """The library of the device of that index; BackendError when it has gone, or gives no context."""
    with _opening:
        if index not in _opened:
            found = library.devices()
            if index >= len(found):
                raise BackendError(f"there is no CUDA device {index} (any more); there are {len(found)}")
            try:
                _opened[index] = library.Library(index, found[index])
            except Exception as error:
                raise BackendError(
                    f"CUDA device {index}, {found[index]}, cannot be opened: {error}"
                ) from error
        return _opened[index]
