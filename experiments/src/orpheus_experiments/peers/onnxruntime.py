"""ONNX Runtime's CPU provider: all optimizations (NCHWc layout among them), sequential, its own thread pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine

__all__ = ["load"]


def load(path: Path, threads: int) -> LoadedEngine:
    """The ONNX file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    got = session.get_session_options()
    names = [i.name for i in session.get_inputs()]

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        feeds = dict(zip(names, inputs))
        run = session.run
        return lambda: run(None, feeds)

    settings = {
        "threads": got.intra_op_num_threads,
        "precision": "float32 (as in the file)",
        "device": ", ".join(session.get_providers()),
        "optimizations": got.graph_optimization_level.name,
    }
    return LoadedEngine(settings, bind)
