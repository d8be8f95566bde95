"""Orpheus on one NVIDIA GPU against PyTorch there (eager, compiled, in a CUDA graph), and TensorRT where it is.

usage: python benchmarks/gpu_peers.py [--networks resnet-50,...] [--batches 1,32] [--dtypes float32,tf32,float16]
                                      [--seconds 540] [--json FILE]

All run in one process, inputs on the device, and are timed in turns: each turn is a run of inferences between two
events, in an order that changes; the median over turns counts. ``ms`` is the time of an inference among many in a
row, ``latency ms`` that of one from the host's call to its end. PyTorch runs channels_last with cudnn.benchmark in all
forms, TensorRT its engine in a CUDA graph; TF32 is off but in rows that say so. Orpheus runs untuned, and by kernels
that it has timed on this GPU (``orpheus.tune``), by which it is judged; PyTorch and TensorRT time theirs too. What was
measured is kept in the JSON file, and not measured again.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

NETWORKS = ("wrn-40-2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50")
#: What Orpheus is held against at each batch: geometric means of (best peer / Orpheus).
GOALS = {1: 1.2, 32: 1.0}
_TURNS, _TURN_SECONDS = 15, 0.02
#: Seconds for each kernel of each layer when Orpheus is tuned.
_TUNE = 0.01


def orpheus_engine(
    model: onnx.ModelProto, x: Any, measurements: str, *, tf32: bool, tune: float = 0.0
) -> tuple[Callable[[], object], Any]:
    """A replay of the plan's CUDA graph, and its stream and output. ``tune``: seconds for each kernel of each layer."""
    import orpheus_core as orpheus
    from orpheus_core.plan.context import Context

    def made() -> Any:
        options = orpheus.SessionOptions(measurements=measurements)
        providers = [("cuda", {"tf32": tf32})]
        return orpheus.InferenceSession(model, options, providers=providers, fallback="error")

    if tune:
        orpheus.tune(made(), seconds=tune)
    session = made()
    context = Context(session.executable.ready().plan)
    for _ in range(3):
        context.run([x])
    sealed = [step for step in context.steps if hasattr(step, "stream")]
    if len(sealed) != 1:
        raise RuntimeError(f"{len(sealed)} graphs instead of one")
    (output,) = context.take_outputs()
    # The context owns the memory that the graph works in.
    return lambda held=context: sealed[0](), (sealed[0].stream.handle, output)


def torch_engines(path: Path, x: Any, *, half: bool, tf32: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Forms of the same network in PyTorch; one that fails says why in the place of its time."""
    import torch
    from orpheus_experiments.peers.torch_module import Converted

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    module = Converted(path).eval().cuda().to(memory_format=torch.channels_last)
    given = torch.from_numpy(x).cuda().to(memory_format=torch.channels_last)
    if half:
        module, given = module.half(), given.half()

    def graphed() -> Callable[[], Any]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), torch.inference_mode():
            for _ in range(5):
                module(given)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            module(given)
        return graph.replay

    def eager() -> Callable[[], Any]:
        def run() -> Any:
            with torch.inference_mode():
                return module(given)

        return run

    def compiled() -> Callable[[], Any]:
        made = torch.compile(module, mode="max-autotune")

        def run() -> Any:
            with torch.inference_mode():
                return made(given)

        run()
        return run

    for name, make in (("eager", eager), ("graph", graphed), ("compile", compiled)):
        yield f"torch {name}", make


def tensorrt_engine(model: onnx.ModelProto, x: Any, *, tf32: bool) -> Callable[[], Any]:
    """Its engine for the model, in the model's own types, in a CUDA graph."""
    import tensorrt as trt
    import torch

    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    # Types are the model's own; later versions know no other networks, and have no flag for them.
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.SerializeToString()):
        raise RuntimeError(str(parser.get_error(0)))
    settings = builder.create_builder_config()
    (settings.set_flag if tf32 else settings.clear_flag)(trt.BuilderFlag.TF32)
    engine = trt.Runtime(log).deserialize_cuda_engine(builder.build_serialized_network(network, settings))
    context = engine.create_execution_context()
    given = torch.from_numpy(x).cuda()
    tensors = {}
    for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        shape = tuple(engine.get_tensor_shape(name))
        tensors[name] = given if is_input else torch.empty(shape, dtype=given.dtype, device="cuda")
        context.set_tensor_address(name, tensors[name].data_ptr())
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            context.execute_async_v3(side.cuda_stream)
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
    return lambda held=(engine, context, tensors): graph.replay()


def race(runs: dict[str, tuple[Callable[[], Any], Any]]) -> dict[str, dict[str, float]]:
    """Milliseconds an inference by events, and by the host's clock for one alone, in turns."""
    import torch

    counts: dict[str, int] = {}
    times: dict[str, list[float]] = {name: [] for name in runs}
    alone: dict[str, list[float]] = {name: [] for name in runs}

    def turn(name: str, count: int) -> float:
        run, stream = runs[name]
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(stream)
        for _ in range(count):
            run()
        end.record(stream)
        end.synchronize()
        return float(begin.elapsed_time(end)) / count

    for name in runs:
        turn(name, 5)
        counts[name] = max(5, min(2000, int(_TURN_SECONDS * 1e3 / max(turn(name, 5), 1e-3))))
    for _ in range(_TURNS):
        for name in random.sample(list(runs), len(runs)):
            times[name].append(turn(name, counts[name]))
            run, stream = runs[name]
            for _ in range(5):
                start = time.perf_counter()
                run()
                stream.synchronize()
                alone[name].append((time.perf_counter() - start) * 1e3)
    middle = statistics.median
    return {
        n: {"ms": middle(t), "spread": max(t) / min(t), "latency ms": middle(alone[n])}
        for n, t in times.items()
    }


def measure(network: str, batch: int, dtype: str, *, compiles: bool) -> dict[str, Any]:
    """One row: every engine's times, and how far Orpheus and PyTorch are apart in their results."""
    import torch
    from orpheus_experiments.accuracy.exact import widened
    from orpheus_experiments.zoo import registry

    half, tf32 = dtype == "float16", dtype == "tf32"
    model = registry.build(network, batch=batch)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    own = widened(model, onnx.TensorProto.FLOAT16) if half else model
    runs: dict[str, tuple[Callable[[], Any], Any]] = {}
    row: dict[str, Any] = {"network": network, "batch": batch, "dtype": dtype}
    given = x.astype(np.float16) if half else x
    with tempfile.TemporaryDirectory() as folder:
        kept = str(Path(folder) / "measurements.json")
        for name, place, tune in (("orpheus untuned", "", 0.0), ("orpheus", kept, _TUNE)):
            run, (handle, output) = orpheus_engine(own, given, place, tf32=tf32, tune=tune)
            runs[name] = (run, torch.cuda.ExternalStream(handle.ptr))
        try:
            runs["tensorrt"] = (tensorrt_engine(own, given, tf32=tf32), torch.cuda.current_stream())
        except Exception as error:
            row.setdefault("failed", {})["tensorrt"] = f"{type(error).__name__}: {error}"[:300]
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        for name, make in torch_engines(path, x, half=half, tf32=tf32):
            if name == "torch compile" and not compiles:
                continue
            try:
                runs[name] = (make(), torch.cuda.current_stream())
                if name == "torch eager":
                    theirs = runs[name][0]().float().cpu().numpy()
                    row["difference"] = float(
                        np.abs(theirs - output.astype(np.float32)).max() / np.ptp(theirs)
                    )
            except Exception as error:
                row.setdefault("failed", {})[name] = f"{type(error).__name__}: {error}"[:300]
        row["engines"] = race(runs)
    best = min((v["ms"], n) for n, v in row["engines"].items() if not n.startswith("orpheus"))
    row["best peer"], row["ratio"] = best[1], best[0] / row["engines"]["orpheus"]["ms"]
    row["untuned ratio"] = best[0] / row["engines"]["orpheus untuned"]["ms"]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line a row, and geometric means against the goals."""
    names = list(dict.fromkeys(n for r in rows for n in r["engines"]))
    lines = [
        f"| network | batch | type | {' | '.join(f'{n} ms' for n in names)} | best / Orpheus | untuned | difference |"
    ]
    lines.append("|---" * (len(names) + 6) + "|")
    for r in rows:
        cells = [f"{r['engines'][n]['ms']:.3f}" if n in r["engines"] else "-" for n in names]
        apart = f"{r['difference']:.1e}" if "difference" in r else "-"
        cells = [
            r["network"],
            str(r["batch"]),
            r["dtype"],
            *cells,
            f"{r['ratio']:.2f}",
            f"{r['untuned ratio']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} | {apart} |")
    for batch, dtype in dict.fromkeys((r["batch"], r["dtype"]) for r in rows):
        some = [r["ratio"] for r in rows if (r["batch"], r["dtype"]) == (batch, dtype)]
        others = [r["untuned ratio"] for r in rows if (r["batch"], r["dtype"]) == (batch, dtype)]
        mean, plain = (float(np.exp(np.mean(np.log(ratios)))) for ratios in (some, others))
        goal = GOALS.get(batch)
        lines.append(
            f"\nbatch {batch}, {dtype}: geometric mean {mean:.2f}"
            + (f" (goal {goal})" if goal else "")
            + f", untuned {plain:.2f}"
        )
    for name, why in {n: w for r in rows for n, w in r.get("failed", {}).items()}.items():
        lines.append(f"\n{name} did not run: {why}")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not in the file yet, for as long as there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--dtypes", default="float32,float16,tf32")
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out torch.compile, which takes minutes"
    )
    parser.add_argument("--json", type=Path, default=Path("gpu_peers.json"))
    given = parser.parse_args()
    end = time.monotonic() + given.seconds
    kept = json.loads(given.json.read_text()) if given.json.exists() else {"rows": []}
    import torch

    kept["device"] = torch.cuda.get_device_name()
    kept["torch"] = torch.__version__
    slowest = 0.0
    for dtype in given.dtypes.split(","):
        for batch in map(int, given.batches.split(",")):
            for network in given.networks.split(","):
                if any(
                    (r["network"], r["batch"], r["dtype"]) == (network, batch, dtype) for r in kept["rows"]
                ):
                    continue
                if time.monotonic() + 1.3 * slowest > end:
                    print("time is over; run again to go on")
                    print(table(kept["rows"]))
                    return
                start = time.monotonic()
                kept["rows"].append(measure(network, batch, dtype, compiles=not given.no_compile))
                slowest = max(slowest, time.monotonic() - start)
                given.json.write_text(json.dumps(kept, indent=1))
                print(table(kept["rows"][-1:]).splitlines()[2], flush=True)
    print(table(kept["rows"]))


if __name__ == "__main__":
    main()
