"""ONNX's own evaluator in Python: the letter of the standard, node by node on numpy. A judge more than a rival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine

__all__ = ["load"]


def load(path: Path, threads: int) -> LoadedEngine:
    """The ONNX file in ``onnx.reference``; the threads are those of numpy's BLAS, a setting of the whole process."""
    from onnx.reference import ReferenceEvaluator
    from threadpoolctl import ThreadpoolController

    try:
        evaluator = ReferenceEvaluator(str(path))
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"onnx.reference does not take {path.name}: {' '.join(str(error).split())}"
        ) from error
    loaded = ThreadpoolController().select(user_api="blas").lib_controllers
    # Wheels of numpy bring their own; what else is there belongs to other packages.
    libraries = [library for library in loaded if "numpy" in library.filepath] or loaded
    for library in libraries:
        library.set_num_threads(threads)
    got = sorted({library.num_threads for library in libraries})
    names = list(evaluator.input_names)

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        feeds = dict(zip(names, inputs))
        run: Any = evaluator.run
        return lambda: run(None, feeds)

    settings = {
        "threads": " and ".join(map(str, got)) or "1 (numpy has no BLAS whose threads can be set)",
        "precision": "float32 (as in the file)",
        "device": "numpy",
    }
    return LoadedEngine(settings, bind)
