"""LiteRT with its XNNPACK delegate, on a flatbuffer that is written here from the ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.errors import BackendError
from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine
from orpheus_experiments.peers.tflite_model import write

__all__ = ["convert", "load"]


def convert(path: Path, folder: Path) -> Path:
    """``model.tflite`` in ``folder``, float32, images in NHWC."""
    target = folder / "model.tflite"
    write(path, target)
    return target


def load(path: Path, threads: int) -> LoadedEngine:
    """The flatbuffer in LiteRT's interpreter; BackendError when XNNPACK did not take it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    ops = [op["op_name"] for op in interpreter._get_ops_details()]
    delegated = ops.count("DELEGATE")
    if not delegated:
        raise BackendError("LiteRT did not hand the model to XNNPACK, so its time would mean nothing")
    sources, targets = interpreter.get_input_details(), interpreter.get_output_details()
    left = _left(interpreter)

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        for detail, array in zip(sources, inputs):
            interpreter.set_tensor(detail["index"], _nhwc(array))
        views = [interpreter.tensor(detail["index"]) for detail in targets]

        def run() -> Sequence[Array]:
            interpreter.invoke()
            return [_nchw(view().copy()) for view in views]

        return run

    settings = {
        "threads": f"{threads} (as set; it does not tell)",
        "precision": " and ".join(sorted({np.dtype(d["dtype"]).name for d in (*sources, *targets)})),
        "device": "CPU, XNNPACK" + (f" but for {', '.join(left)}" if left else ""),
    }
    return LoadedEngine(settings, bind)


def _left(interpreter: Any) -> list[str]:
    """Operators that the delegate did not take; those that it did are listed too, so its inputs tell them apart."""
    ops = interpreter._get_ops_details()
    first = next(i for i, op in enumerate(ops) if op["op_name"] == "DELEGATE")
    made = {int(t) for op in ops[first:] if op["op_name"] == "DELEGATE" for t in op["outputs"]}
    needed = {int(d["index"]) for d in interpreter.get_output_details()}
    needed |= {int(t) for op in ops[first:] for t in op["inputs"]}
    return sorted({op["op_name"] for op in ops[:first] if {int(t) for t in op["outputs"]} & (needed - made)})


def _nhwc(array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array


def _nchw(array: Array) -> Array:
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
