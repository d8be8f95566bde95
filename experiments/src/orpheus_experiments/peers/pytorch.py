"""PyTorch: traced, frozen and ``optimize_for_inference``; in channels-last memory as an engine of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.errors import BackendError
from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine

__all__ = ["convert", "convert_channels_last", "load", "load_channels_last"]


def convert(path: Path, folder: Path) -> Path:
    """The network traced and frozen, as TorchScript in ``folder``."""
    return _convert(path, folder, channels_last=False)


def convert_channels_last(path: Path, folder: Path) -> Path:
    """The same with weights in channels-last memory, and traced on such an input."""
    return _convert(path, folder, channels_last=True)


def _convert(path: Path, folder: Path, *, channels_last: bool) -> Path:
    import torch

    from orpheus_experiments.peers.torch_module import Converted

    module = Converted(path).eval()
    shapes = [module.network.shapes[name] for name in module.network.inputs]
    inputs = [_placed(np.zeros(shape, np.float32), channels_last) for shape in shapes]
    if channels_last:
        module = module.to(memory_format=torch.channels_last)
    with torch.no_grad():
        traced = torch.jit.freeze(torch.jit.trace(module, tuple(inputs), check_trace=False))
    target = folder / "model.pt"
    torch.jit.save(traced, str(target))
    return target


def load(path: Path, threads: int) -> LoadedEngine:
    """The TorchScript file, optimized for inference."""
    return _load(path, threads, channels_last=False)


def load_channels_last(path: Path, threads: int) -> LoadedEngine:
    """The same, fed in channels-last memory."""
    return _load(path, threads, channels_last=True)


def _load(path: Path, threads: int, *, channels_last: bool) -> LoadedEngine:
    import torch

    torch.set_num_threads(threads)
    if torch.get_num_threads() != threads:
        raise BackendError(
            f"PyTorch runs {torch.get_num_threads()} threads although {threads} were asked for"
        )
    with torch.no_grad():
        module = torch.jit.load(str(path)).eval()
        module = torch.jit.optimize_for_inference(module)

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        placed = [_placed(array, channels_last) for array in inputs]

        def run() -> Sequence[Array]:
            with torch.inference_mode():
                found = module(*placed)
            return [t.numpy() for t in (found if isinstance(found, tuple) else (found,))]

        return run

    settings = {
        "threads": torch.get_num_threads(),
        "precision": f"float32 (oneDNN {torch.backends.mkldnn.conv.fp32_precision})",
        "device": f"CPU, {torch.backends.cpu.get_cpu_capability()}",
        "memory": "channels last" if channels_last else "contiguous",
    }
    return LoadedEngine(settings, bind)


def _placed(array: Array, channels_last: bool) -> Any:
    import torch

    tensor = torch.from_numpy(array)
    is_image = channels_last and tensor.ndim == 4
    return tensor.contiguous(memory_format=torch.channels_last) if is_image else tensor
