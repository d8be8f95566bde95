"""Everything that only a GPU can tell, in pieces of less than ten minutes, each of which may be run again to go on.

    python scripts/gpu.py FOLDER [PIECE ...] [--seconds 540]

Pieces: device, layers, networks, bench, conform, profile, soak, sanitize; all when none is named. It runs from a
checkout, with CuPy (and PyTorch for bench) installed; nothing of Orpheus needs to be. What it finds goes to
FOLDER/gpu.json, a table to FOLDER/gpu.md, and what was found before is not looked for again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    ROOT, ROOT / "plugins/orpheus-cuda/src", ROOT / "plugins/orpheus-numpy/src", ROOT / "conformance/src",
    ROOT / "experiments/src", ROOT / "benchmarks",
)  # fmt: skip
sys.path[:0] = [str(path) for path in SOURCES]
os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, SOURCES), os.environ.get("PYTHONPATH", "")])

NETWORKS = (
    "wrn-40-2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50", "mobilenet-v2", "resnet-50-v2",
    "ssd-mobilenet-v2",
)  # fmt: skip


class Record:
    """What was found, kept on disk after each step."""

    def __init__(self, folder: Path, seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path = folder, folder / "gpu.json"
        self.end = time.monotonic() + seconds
        self.found: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def keep(self, piece: str, key: str, value: Any) -> None:
        """One finding; printed, and written at once."""
        self.found.setdefault(piece, {})[key] = value
        self.path.write_text(json.dumps(self.found, indent=1, default=str))
        print(f"{piece:10} {key}: {value}", flush=True)

    def todo(self, piece: str, keys: Any) -> Any:
        """The keys that are not there yet, while there is time."""
        for key in keys:
            if key not in self.found.get(piece, {}):
                if time.monotonic() > self.end:
                    print(f"{piece}: time is over; run again to go on")
                    return
                yield key


def register() -> None:
    """The backends of this checkout, installed or not."""
    import orpheus_cuda
    import orpheus_numpy

    from orpheus_core import discovery

    for name, plugin in (("cuda", orpheus_cuda), ("numpy", orpheus_numpy)):
        discovery.register(plugin, name)


def device(record: Record) -> None:
    """What there is, and how fast it is at best."""
    import cupy
    import numpy as np

    from orpheus_core import discovery

    row = discovery.row("cuda")
    record.keep("device", "row", [row.status, row.reason, list(row.devices)])
    big = cupy.empty(1 << 30, np.uint8)
    other = cupy.empty_like(big)
    record.keep("device", "copy GB/s", 2 * big.nbytes / _seconds(lambda: cupy.copyto(other, big)) / 1e9)
    for kind in ("float32", "float16"):
        a = cupy.random.standard_normal((8192, 8192), np.float32).astype(kind)
        rate = 2 * 8192**3 / _seconds(partial(cupy.matmul, a, a)) / 1e12
        record.keep("device", f"library product {kind} TFLOP/s", rate)
    for dtype, tf32 in (("float32", False), ("float32", True), ("float16", False)):
        name = f"own product {dtype}{' tf32' if tf32 else ''}"
        rate = 2 * 4096**3 / own_product(4096, dtype, tf32=tf32) / 1e12
        record.keep("device", f"{name} TFLOP/s", rate)


def _seconds(work: Callable[[], object], turns: int = 20) -> float:
    import cupy

    work()
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    for _ in range(turns):
        work()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end)) * 1e-3 / turns


def own_product(size: int, dtype: str, *, tf32: bool) -> float:
    """Seconds of a square MatMul by the plugin's own kernel."""
    import numpy as np
    from onnx import helper

    import orpheus_core as orpheus
    from orpheus_core.plan.context import Context

    number = {"float32": 1, "float16": 10}[dtype]
    infos = [helper.make_tensor_value_info(n, number, [size, size]) for n in "abc"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"], "m")], "g", infos[:2], infos[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pin = {"m": "cuda:MatMul/tf32" if tf32 else "cuda:MatMul/tiles"}
    session: Any = orpheus.InferenceSession(model, providers=[("cuda", {"tf32": tf32})], pin=pin)
    context = Context(session.executable.ready().plan)
    context.run([np.random.default_rng(i).standard_normal((size, size)).astype(dtype) for i in range(2)])
    times = [t.device_seconds for _ in range(5) for t in context.profile() if t.operation.node.op == "MatMul"]
    return float(sorted(t for t in times if t is not None)[2])


def layers(record: Record) -> None:
    """The tests of single layers, of devices and of small networks, on the GPU instead of its emulation.

    Where some fail, once more without early starts and without clusters, to tell whether these are to blame.
    """
    tests = [
        "test_layers.py", "test_tiles.py", "test_networks.py", "test_device.py", "test_sharing.py", "test_chains.py",
        "test_integers.py", "test_quantized.py", "test_refusals.py",
    ]  # fmt: skip
    paths = [str(ROOT / "plugins/orpheus-cuda/tests" / name) for name in tests]
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *paths]
    forms = {
        "pytest": {},
        "without early starts": {"ORPHEUS_CUDA_EARLY": "0"},
        "without clusters": {"ORPHEUS_CUDA_CLUSTER": "0"},
    }
    for name in record.todo("layers", forms):
        told = record.found.get("layers", {}).get("pytest", [1])
        if name != "pytest" and told[0] == 0:
            continue
        done = subprocess.run(
            command, env={**os.environ, "ORPHEUS_CUDA_DEVICE": "1", **forms[name]}, cwd=ROOT, capture_output=True,
            text=True, check=False, timeout=560,
        )  # fmt: skip
        (record.folder / f"layers-{name.replace(' ', '-')}.txt").write_text(done.stdout + done.stderr)
        record.keep("layers", name, [done.returncode, *done.stdout.strip().splitlines()[-1:]])


def sanitize(record: Record) -> None:
    """The tests of tiles and small networks under compute-sanitizer: what the emulation's order of threads may hide."""
    tool = shutil.which("compute-sanitizer")
    for check in record.todo("sanitize", ["memcheck", "racecheck", "synccheck"]):
        if tool is None:
            record.keep("sanitize", check, "compute-sanitizer is not installed")
            continue
        tests = [
            str(ROOT / "plugins/orpheus-cuda/tests" / name) for name in ("test_tiles.py", "test_chains.py")
        ]
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q"]
        seconds = max(30.0, record.end - time.monotonic())
        try:
            done = subprocess.run(
                [*command, "-p", "no:cacheprovider", *tests], env={**os.environ, "ORPHEUS_CUDA_DEVICE": "1"}, cwd=ROOT,
                capture_output=True, text=True, check=False, timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            print(f"{check}: not done in {seconds:.0f} s; run again to go on")
            return
        (record.folder / f"sanitize-{check}.txt").write_text(done.stdout + done.stderr)
        record.keep("sanitize", check, [done.returncode, *done.stdout.strip().splitlines()[-3:]])


def conform(record: Record) -> None:
    """The judge, an operator after the other."""
    from orpheus_cuda.manifest import kernels

    from orpheus_core.cli import main

    operators = list(dict.fromkeys(k.op for k in kernels()))
    for op in record.todo("conform", operators):
        page = record.folder / "conform.json"
        code = main(["conform", "cuda", "--op", op, "--examples", "20", "--json", str(page)])
        told = json.loads(page.read_text()) if page.exists() else {}
        failed = [
            f"{r['message']} {r['case']}"[:400] for r in told.get("rows", ()) if r["outcome"] == "failed"
        ]
        record.keep("conform", op, {"exit": code, "totals": told.get("totals"), "failed": failed[:3]})
        if code:
            (record.folder / f"conform-{op}.json").write_text(json.dumps(told)[:2_000_000])


def networks(record: Record) -> None:
    """All eight wholly on the device, float32 against float64."""
    import numpy as np
    import onnx
    from orpheus_experiments.accuracy import exact
    from orpheus_experiments.zoo import registry

    import orpheus_core as orpheus

    for name in record.todo("networks", NETWORKS):
        model = registry.build(name)
        path = record.folder / f"{name}.onnx"
        onnx.save(model, path)
        session: Any = orpheus.InferenceSession(model, providers=["cuda"], fallback="error")
        feed = session.get_inputs()[0]
        x = np.random.default_rng(0).standard_normal(feed.shape).astype(np.float32)
        wanted = exact.evaluate(path, {feed.name: x})
        got = [session.run(None, {feed.name: x}) for _ in range(4)]
        same = all(np.array_equal(a, b) for other in got[1:] for a, b in zip(got[0], other))
        error = exact.error(got[0], wanted)
        path.unlink()
        record.keep("networks", name, {"error": error, "same each time": same})


def profile(record: Record) -> None:
    """Each layer's share of the GPU's limit: by operations, or by bytes."""
    import numpy as np
    import onnx
    from orpheus_experiments.accuracy.exact import widened
    from orpheus_experiments.zoo import registry

    import orpheus_core as orpheus

    known = record.found.get("device", {})
    bandwidth = known.get("copy GB/s", 3000.0) * 1e9
    peaks = {
        kind: known.get(f"library product {kind} TFLOP/s", rate) * 1e12
        for kind, rate in (("float32", 50.0), ("float16", 700.0))
    }
    for key in record.todo(
        "profile", [f"{n} batch {b} {k}" for n in NETWORKS[:5] for b in (1, 32) for k in peaks]
    ):
        name, _, batch, kind = key.split(" ")
        peak = peaks[kind]
        model = registry.build(name, batch=int(batch))
        model = widened(model, onnx.TensorProto.FLOAT16) if kind == "float16" else model
        session: Any = orpheus.InferenceSession(model, providers=["cuda"])
        feed = session.get_inputs()[0]
        x = np.random.default_rng(0).standard_normal(feed.shape).astype(kind)
        passes = [session.profile({feed.name: x}).rows for _ in range(3)]
        lines, whole, least = [], 0.0, 0.0
        for rows in zip(*passes):
            times = sorted(r.device_seconds for r in rows if r.device_seconds is not None)
            if not times:
                continue
            limit = max(2 * (rows[0].macs or 0) / peak, (rows[0].nbytes or 0) / bandwidth)
            whole, least = whole + times[0], least + limit
            lines.append(
                f"{rows[0].node:40} {rows[0].kernel:36} {times[0] * 1e6:9.1f} us {limit / times[0]:6.1%}"
            )
        (record.folder / f"profile-{name}-{batch}-{kind}.txt").write_text("\n".join(lines))
        record.keep("profile", key, {"device ms": whole * 1e3, "share of limit": least / whole})


def soak(record: Record) -> None:
    """100,000 runs and 1,000 sessions: device memory must stay what it was."""
    import cupy
    import numpy as np
    from orpheus_experiments.zoo import registry

    import orpheus_core as orpheus

    model = registry.build("mobilenet-v2", resolution=64)

    def used() -> int:
        free, total = cupy.cuda.runtime.memGetInfo()
        return int(total - free)

    def made() -> Any:
        return orpheus.InferenceSession(model, providers=["cuda"], fallback="error")

    x = {"input": np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)}
    for _ in record.todo("soak", ["runs"]):
        session = made()
        first = session.run(None, x)
        before, start, count = used(), time.monotonic(), 0
        while count < 100_000 and time.monotonic() < record.end:
            got = session.run(None, x)
            count += 1
        same = bool(np.array_equal(first[0], got[0]))
        record.keep(
            "soak",
            "runs",
            {"runs": count, "s": time.monotonic() - start, "grown": used() - before, "same": same},
        )
    for _ in record.todo("soak", ["sessions"]):
        for _ in range(20):
            made().run(None, x)
        before, start, count = used(), time.monotonic(), 0
        while count < 1000 and time.monotonic() < record.end:
            made().run(None, x)
            count += 1
        record.keep(
            "soak", "sessions", {"sessions": count, "s": time.monotonic() - start, "grown": used() - before}
        )


def bench(record: Record) -> None:
    """Against PyTorch: see benchmarks/gpu_peers.py."""
    seconds = str(max(30.0, record.end - time.monotonic()))
    command = [
        sys.executable,
        str(ROOT / "benchmarks/gpu_peers.py"),
        "--json",
        str(record.folder / "gpu_peers.json"),
    ]
    done = subprocess.run([*command, "--seconds", seconds], capture_output=True, text=True, check=False)
    (record.folder / "gpu_peers.md").write_text(done.stdout)
    record.keep("bench", "table", done.stdout.strip().splitlines()[-8:] or done.stderr[-500:])


PIECES = {f.__name__: f for f in (device, layers, networks, bench, conform, profile, soak, sanitize)}


def page(record: Record) -> None:
    """All findings, for people."""
    lines = ["# On a GPU", ""]
    for piece, found in record.found.items():
        lines += [f"## {piece}", "", "| what | found |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in found.items()]
        lines.append("")
    (record.folder / "gpu.md").write_text("\n".join(lines))


def main() -> int:
    """The pieces that were asked for; one that fails does not keep the others from running."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("pieces", nargs="*", choices=[*PIECES, []], default=[])
    parser.add_argument("--seconds", type=float, default=540)
    given = parser.parse_args()
    record, failed = Record(given.folder, given.seconds), 0
    register()
    for name in given.pieces or PIECES:
        try:
            PIECES[name](record)
        except Exception as error:
            failed += 1
            record.keep(name, "failed", f"{type(error).__name__}: {error}"[:2000])
            traceback.print_exc()
        page(record)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
