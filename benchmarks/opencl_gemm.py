"""Products of matrices on an OpenCL device: this plugin against CLBlast, as it is tuned by default.

Shapes are those of the networks' fully connected layers, and of their 1x1 convolutions as products of pixels and
channels. Both run on the same device, memory and queue, in turns, each turn as many calls as take `--seconds`; the
least time of a call counts, on the host's clock, with the wait for the last of a turn. `known`: the weights are packed
once, as they are in a network; `fresh`: the plugin packs B in every call. CLBlast never packs ahead; one row of A is
given to its matrix-vector routine where that is faster. Its results are compared with the plugin's.

usage: python benchmarks/opencl_gemm.py [NETWORK ...] [--device 0] [--seconds 0.02] [--turns 5] [--clblast FILE]
                                        [--json]
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import onnx
from orpheus_experiments.zoo.registry import build
from orpheus_opencl.gemm import MatMul
from orpheus_opencl.peak import of_device
from orpheus_opencl.runtime import Runtime, Tensor

from orpheus_core.plugin import Problem
from orpheus_core.types import Device, DType, TensorType

NETWORKS = ("wrn-40-2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50")
_ROWS, _NO, _YES = 101, 111, 112  # the layout and transpositions of CLBlast's interface
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Row:
    """M, N, K, and seconds of a product."""

    shape: Shape
    known: float
    fresh: float
    clblast: float


def shapes(network: str) -> Iterator[Shape]:
    """M, N, K of what a network multiplies."""
    graph = onnx.shape_inference.infer_shapes(build(network)).graph
    sizes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.value_info, *graph.output)
    }
    weights = {w.name: list(w.dims) for w in graph.initializer}
    for node in graph.node:
        w, y = weights.get(node.input[1], []) if len(node.input) > 1 else [], sizes.get(node.output[0], [])
        if node.op_type in ("Gemm", "MatMul") and len(w) == 2:
            yield y[0], y[1], w[0] * w[1] // y[1]
        elif node.op_type == "Conv" and w[2:] == [1, 1] and y[1] == w[0]:
            yield y[2] * y[3], w[0], w[1]


class CLBlast:
    """Its C interface, on a queue."""

    def __init__(self, path: str | None, runtime: Runtime) -> None:
        found = path or ctypes.util.find_library("clblast")
        if not found:
            raise SystemExit(
                "CLBlast is not installed: apt install libclblast1, or name its file with --clblast"
            )
        self.library = ctypes.CDLL(found)
        self.queue = ctypes.c_void_p(runtime.queue.int_ptr)

    def product(self, a: Tensor, b: Tensor, y: Tensor) -> Callable[[], None]:
        """Y [M, N] = A [M, K] B [K, N]."""
        (m, k), n = a.shape, b.shape[1]
        sizes, one, zero = [ctypes.c_size_t(v) for v in (m, n, k)], ctypes.c_float(1), ctypes.c_float(0)
        operands = [self._operand(t, t.shape[1]) for t in (a, b, y)]
        return self._call(
            "CLBlastSgemm", _ROWS, _NO, _NO, *sizes, one, *operands[0], *operands[1], zero, *operands[2]
        )

    def vector(self, a: Tensor, b: Tensor, y: Tensor) -> Callable[[], None]:
        """Y [1, N] = A [1, K] B [K, N], as B' A'."""
        k, n = b.shape
        sizes, one, zero = [ctypes.c_size_t(v) for v in (k, n)], ctypes.c_float(1), ctypes.c_float(0)
        matrix, x, out = self._operand(b, n), self._operand(a, 1), self._operand(y, 1)
        return self._call("CLBlastSgemv", _ROWS, _YES, *sizes, one, *matrix, *x, zero, *out)

    def _operand(self, t: Tensor, pitch: int) -> tuple[object, ...]:
        return ctypes.c_void_p(t.buffer.int_ptr), ctypes.c_size_t(int(t.at)), ctypes.c_size_t(pitch)

    def _call(self, name: str, *arguments: object) -> Callable[[], None]:
        routine = getattr(self.library, name)

        def call() -> None:
            status = routine(*arguments, ctypes.byref(self.queue), None)
            if status:
                raise RuntimeError(f"{name} says {status}")

        return call


def measure(
    shape: Shape, runtime: Runtime, device: Device, other: CLBlast, seconds: float, turns: int
) -> Row:
    """One product, all ways in turns."""
    m, n, k = shape
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n))]
    a, b, y = (runtime.empty(s, np.float32) for s in ((m, k), (k, n), (m, n)))
    for array, tensor in zip(arrays, (a, b)):
        runtime.upload(array, tensor)
    types = [TensorType(DType.FLOAT32, t.shape, device=device) for t in (a, b, y)]
    known, fresh = (
        MatMul(Problem("MatMul", "", 13, {}, tuple(types[:2]), (types[2],), constants))
        for constants in ({1: arrays[1]}, {})
    )
    space = runtime.empty((fresh.workspace,), np.uint8)
    ways: list[Callable[[], object]] = [
        known.bind((a, None), (y,), None), fresh.bind((a, b), (y,), space), other.product(a, b, y),
    ]  # fmt: skip
    ways += [other.vector(a, b, y)] if m == 1 else []
    results = []
    for way in ways:
        way()
        got = np.empty((m, n), np.float32)
        runtime.download(y, got)
        results.append(got)
    for got in results[1:]:
        # Sums of K products of standard normals, in two orders.
        np.testing.assert_allclose(got, results[0], rtol=1e-5, atol=k**0.5 * 2e-6)
    counts = [max(1, int(seconds / timed(way, 3, runtime))) for way in ways]
    times = [
        min(found)
        for found in zip(*([timed(*each, runtime) for each in zip(ways, counts)] for _ in range(turns)))
    ]
    return Row(shape, times[0], times[1], min(times[2:]))


def timed(way: Callable[[], object], calls: int, runtime: Runtime) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        way()
    runtime.synchronize()
    return (time.perf_counter() - start) / calls


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.02)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clblast", help="the shared library, where the system does not find it")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    device = Device("opencl", args.device)
    runtime = Runtime(device)
    other = CLBlast(args.clblast, runtime)
    found = dict.fromkeys(s for network in args.networks for s in shapes(network))
    peak = of_device(args.device, 0)
    rows = [measure(s, runtime, device, other, args.seconds, args.turns) for s in found]
    known, fresh = (
        statistics.geometric_mean(r.clblast / seconds for r, seconds in zip(rows, column))
        for column in ([r.known for r in rows], [r.fresh for r in rows])
    )
    if args.json:
        print(json.dumps({"peak": peak, "rows": [asdict(r) for r in rows], "known": known, "fresh": fresh}))
        return
    print(
        f"{'M':>6} {'N':>5} {'K':>5} {'known us':>9} {'of peak':>7} {'fresh us':>9} {'CLBlast us':>10} {'times':>6}"
    )
    for r in rows:
        share = 2.0 * np.prod(r.shape) / r.known / peak
        sizes = "{:6} {:5} {:5}".format(*r.shape)
        spent = f"{r.known * 1e6:9.1f} {share:7.0%} {r.fresh * 1e6:9.1f} {r.clblast * 1e6:10.1f}"
        print(f"{sizes} {spent} {r.clblast / r.known:6.2f}")
    print(f"CLBlast's time over the plugin's, geometric mean of {len(rows)} shapes:", end=" ")
    print(f"{known:.2f}, {fresh:.2f} where B is packed in each call")


if __name__ == "__main__":
    main()
