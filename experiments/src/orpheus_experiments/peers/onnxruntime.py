"""ONNX Runtime's CPU provider: all optimizations (NCHWc layout among them), sequential, its own thread pool."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine, Told, medians

__all__ = ["load"]


def load(path: Path, threads: int) -> LoadedEngine:
    """The ONNX file in ONNX Runtime."""
    session = _session(path, threads)
    got = session.get_session_options()
    names = [i.name for i in session.get_inputs()]

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        feeds = dict(zip(names, inputs))
        run = session.run
        return lambda: run(None, feeds)

    def layers(inputs: Sequence[Array], runs: int) -> list[Told]:
        with tempfile.TemporaryDirectory(prefix="orpheus-ort-") as folder:
            profiled = _session(path, threads, profile=f"{folder}/profile")
            for _ in range(1 + runs):
                profiled.run(None, dict(zip(names, inputs)))
            events = json.loads(Path(profiled.end_profiling()).read_text())
        return medians(_by_run(events)[1:])

    settings = {
        "threads": got.intra_op_num_threads,
        "precision": "float32 (as in the file)",
        "device": ", ".join(session.get_providers()),
        "optimizations": got.graph_optimization_level.name,
    }
    return LoadedEngine(settings, bind, layers)


def _session(path: Path, threads: int, profile: str | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _by_run(events: Sequence[dict[str, Any]]) -> list[list[Told]]:
    """Kernels of each run: a run's own event ends it."""
    found: list[list[Told]] = [[]]
    for event in sorted(events, key=lambda e: e["ts"] + e.get("dur", 0)):
        name, told = event["name"], event.get("args", {})
        if event["cat"] == "Session" and name == "model_run":
            found.append([])
        elif event["cat"] == "Node" and name.endswith("_kernel_time"):
            node = name.removesuffix("_kernel_time")
            found[-1].append((node, told["op_name"], told.get("provider", ""), event["dur"] / 1e6))
    return [run for run in found if run]
