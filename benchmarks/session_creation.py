"""Time to make a session of ResNet-50 from bytes: Orpheus and ONNX Runtime, interleaved, one thread each.

usage: python benchmarks/session_creation.py [--model resnet-50] [--rounds 7] [--raw] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import onnxruntime
from orpheus_experiments.zoo import build

import orpheus_core as orpheus


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet-50")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--raw", action="store_true", help="BatchNormalization not folded yet")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    data = build(args.model, raw=args.raw).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    makers = {
        "orpheus": lambda: orpheus.InferenceSession(data, providers=["numpy"], threads=1),
        "onnxruntime": lambda: onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(args.rounds):
        for name, make in makers.items():
            start = time.perf_counter()
            made = make()
            times[name].append(time.perf_counter() - start)
            del made
    medians = {name: statistics.median(t) for name, t in times.items()}
    ratio = medians["orpheus"] / medians["onnxruntime"]
    if args.json:
        print(json.dumps({"medians": medians, "ratio": ratio, "all": times}))
        return
    for name, t in times.items():
        print(f"{name:12} median {medians[name] * 1e3:7.1f} ms   [{min(t) * 1e3:.1f}, {max(t) * 1e3:.1f}]")
    print(f"orpheus / onnxruntime: {ratio:.2f}")


if __name__ == "__main__":
    main()
