"""OpenVINO's CPU plugin: float32, latency hint, one stream; with its threads pinned to cores and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine, Told, medians

__all__ = ["load_pinned", "load_unpinned"]


def load_pinned(path: Path, threads: int) -> LoadedEngine:
    """The ONNX file in OpenVINO, each thread on a core of its own."""
    return _load(path, threads, pinned=True)


def load_unpinned(path: Path, threads: int) -> LoadedEngine:
    """The ONNX file in OpenVINO, threads where the system puts them."""
    return _load(path, threads, pinned=False)


def _load(path: Path, threads: int, *, pinned: bool) -> LoadedEngine:
    import openvino

    asked = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": pinned,
        # Sibling hyperthreads and efficiency cores count as processors: the thread number is the caller's.
        "ENABLE_HYPER_THREADING": True,
        "SCHEDULING_CORE_TYPE": "ANY_CORE",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", asked)
    request = compiled.create_infer_request()

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        _give(request, inputs)
        outputs = [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]

        def run(held: Sequence[Array] = tuple(inputs)) -> Sequence[Array]:  # which the request reads in place
            request.infer()
            return outputs

        return run

    def layers(inputs: Sequence[Array], runs: int) -> list[Told]:
        profiled = openvino.Core().compile_model(str(path), "CPU", {**asked, "PERF_COUNT": True})
        again = profiled.create_infer_request()
        _give(again, inputs)
        again.infer()
        return medians([_one_run(again) for _ in range(runs)])

    settings = {
        "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
        "precision": compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
        "device": ", ".join(compiled.get_property("EXECUTION_DEVICES")),
        "streams": compiled.get_property("NUM_STREAMS"),
        "pinned": compiled.get_property("ENABLE_CPU_PINNING"),
    }
    return LoadedEngine(settings, bind, layers)


def _give(request: Any, inputs: Sequence[Array]) -> None:
    import openvino

    for index, array in enumerate(inputs):
        request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))


def _one_run(request: Any) -> list[Told]:
    """What was executed; constants and what was fused away are told as not run."""
    request.infer()
    return [
        (p.node_name, p.node_type, p.exec_type, p.real_time.total_seconds())
        for p in request.get_profiling_info()
        if p.status.name == "EXECUTED"
    ]
