"""What the executor adds to the kernels' own calls: 1,000 trivial steps through a session and as bare calls.

Both do the same 1,000 numpy calls on the same arrays; they run interleaved, and medians are compared. The
session's time includes checking feeds, taking inputs in and handing outputs out, which is also measured alone (a
model of one step).

usage: python benchmarks/executor.py [--rounds 200] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper

import orpheus_core as orpheus

STEPS = 1000


def chain(steps: int) -> bytes:
    """A model of ``steps`` Neg nodes, each of which reads the one before."""
    names = [f"v{i}" for i in range(steps + 1)]
    nodes = [helper.make_node("Neg", [a], [b]) for a, b in pairwise(names)]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [8]) for n in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def bare_calls(steps: int) -> Callable[[], None]:
    """The same numpy calls, unrolled, with nothing around them."""
    arrays = [np.ones(8, np.float32), np.empty(8, np.float32)]
    lines = [f" negative(a{i % 2}, out=o{(i + 1) % 2})" for i in range(steps)]
    source = "def run(a0, a1, o0, o1):\n" + "\n".join(lines)
    scope = {"negative": np.negative}
    exec(source, scope)
    function, outs = scope["run"], [(a,) for a in arrays]
    return lambda: function(*arrays, *outs)  # type: ignore[operator]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    feed = {"v0": np.ones(8, np.float32)}
    long = orpheus.InferenceSession(chain(STEPS), providers=["numpy"], enable_passes=[])
    short = orpheus.InferenceSession(chain(1), providers=["numpy"], enable_passes=[])
    with long.executable.ready().context() as context:
        cases: dict[str, Callable[[], object]] = {
            "bare numpy calls": bare_calls(STEPS),
            "plan's steps": context.compute,
            "session.run, 1000 steps": lambda: long.run(None, feed),
            "session.run, 1 step": lambda: short.run(None, feed),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(args.rounds):
            for name, call in cases.items():
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(t) for name, t in times.items()}
    bare = medians["bare numpy calls"]
    per_step = (medians["plan's steps"] - bare) / STEPS
    whole = (medians["session.run, 1000 steps"] - bare) / STEPS
    if args.json:
        print(json.dumps({"medians": medians, "per_step": per_step, "per_step_with_run": whole}))
        return
    for name, seconds in medians.items():
        print(f"{name:26} {seconds * 1e6:9.1f} us")
    print(
        f"executor, a step above the kernel's call: {per_step * 1e6:.3f} us; with all of run(): {whole * 1e6:.3f} us"
    )


if __name__ == "__main__":
    main()
