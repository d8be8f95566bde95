"""``orpheus profile``: the time of every layer, its share of the machine's peak, and a trace."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from orpheus_core.cli.feeds import make_feeds
from orpheus_core.cli.machine import machine
from orpheus_core.cli.opening import open_session
from orpheus_core.cli.options import add_feeds, add_json, add_model, add_session, pairs, positive, shapes
from orpheus_core.cli.progress import progress
from orpheus_core.cli.table import big, quantity, size, table
from orpheus_core.errors import UsageError
from orpheus_core.session import InferenceSession
from orpheus_core.session.profile import save_chrome_trace
from orpheus_experiments.profile.annotate import annotated, seconds_by_name
from orpheus_experiments.profile.layers import LayerProfile, LayerTime, profile_layers
from orpheus_experiments.profile.node_data import save_node_data
from orpheus_experiments.profile.peak import Peak, measured_bandwidth, measured_peak
from orpheus_experiments.zoo.file import model_file

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus profile``."""
    add_model(parser)
    add_session(parser)
    add_feeds(parser)
    parser.add_argument("--runs", type=positive, default=20, metavar="N", help="profiled runs (default: 20)")
    parser.add_argument(
        "--group", action="store_true", help="one row for all layers with the same kernel and work"
    )
    parser.add_argument(
        "--trace", metavar="FILE", help="write a trace for chrome://tracing or ui.perfetto.dev"
    )
    parser.add_argument(
        "--roofline", metavar="FILE.svg", help="plot operations per byte against GFLOP/s (needs matplotlib)"
    )
    parser.add_argument(
        "--node-data", metavar="FILE.json", help="write the times as node data for Google's Model Explorer"
    )
    parser.add_argument(
        "--annotated", metavar="FILE.onnx",
        help="write the executed graph as ONNX, with kernels and times for Netron to show",
    )  # fmt: skip
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Profile and print; 0."""
    asked, args.model = args.model, model_file(args.model)
    with progress() as line:
        line.say("loading ...")
        session = open_session(args)
        inputs = session.get_inputs()
        feeds = make_feeds(inputs, pairs(args.input, "-i"), shapes(args.shape), args.seed)
        line.say("measuring the machine's peak ...")
        peak = measured_peak(session.options.backends, session.threads)
        line.say(f"profiling {args.runs} runs ...")
        found = profile_layers(session, feeds, runs=args.runs)
    written = _export(args, asked, session, found, peak)
    if args.json:
        print(json.dumps(as_data(asked, found, peak, session.threads), indent=2))
    else:
        print(report(found, peak, session.threads, grouped=args.group))
        for line_ in written:
            print(line_)
    return 0


def _export(
    args: argparse.Namespace, asked: str, session: InferenceSession, found: LayerProfile, peak: Peak
) -> list[str]:
    """Write the files that were asked for; a line about each. UsageError when one cannot be written."""
    plan, name = session.latest_plan(), Path(asked).stem

    def trace(path: Path) -> str:
        save_chrome_trace(found.profiles[-1:], path)
        return f"trace of the last run: {path}"

    def roofline(path: Path) -> str:
        from orpheus_experiments.profile.roofline import save_roofline

        threads = f"{session.threads} thread{'s' * (session.threads > 1)}"
        count = save_roofline(path, found, peak, measured_bandwidth(session.threads), f"{name}, {threads}")
        return f"roofline of {count} layers: {path}"

    def node_data(path: Path) -> str:
        values = {node: s * 1e6 for node, s in seconds_by_name(plan, found).items()}
        save_node_data(path, plan.graph.name or "graph", values)
        return f"node data for Model Explorer, in microseconds: {path}"

    def annotated_model(path: Path) -> str:
        facts = {"summary": session.explain().summary, "latency_ms": quantity(found.latency * 1e3)}
        onnx.save(annotated(plan, found, {**facts, "threads": str(session.threads)}), path)
        return f"annotated model: {path}"

    lines = []
    exports = (
        (args.trace, trace),
        (args.roofline, roofline),
        (args.node_data, node_data),
        (args.annotated, annotated_model),
    )
    for path, export in exports:
        if path:
            try:
                lines.append(export(Path(path)))
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    return lines


def report(found: LayerProfile, peak: Peak, threads: int, *, grouped: bool) -> str:
    """The table, and what its figures mean."""
    headers = ("node", "op", "kernel", "us", "% of sum", "MACs", "GFLOP/s", "% of peak", "bytes")
    rows: list[tuple[object, ...]] = []
    for name, count, layer in _groups(found.layers) if grouped else [(x.node, 1, x) for x in found.layers]:
        total, flops = layer.seconds * count, layer.flops
        labels = (name, layer.op, layer.kernel)
        spent = (quantity(total * 1e6), f"{100 * total / found.seconds:.1f}")
        speed = (quantity(flops / 1e9), f"{100 * flops / peak.flops:.0f}") if flops else ("-", "-")
        macs = big(layer.macs * count) if layer.macs else "-"
        rows.append((*labels, *spent, macs, *speed, size(layer.nbytes)))
    plural = "s" if threads > 1 else ""
    work = sum(layer.macs or 0 for layer in found.layers)
    achieved = f"; {quantity(2 * work / found.latency / 1e9)} GFLOP/s" if work else ""
    return "\n".join(
        (
            table(headers, rows),
            f"latency {quantity(found.latency * 1e3)} ms (median of whole runs, {threads} thread{plural}{achieved});"
            f" sum of layers {quantity(found.seconds * 1e3)} ms, each timed alone",
            f"peak {quantity(peak.flops / 1e9)} GFLOP/s: {peak.source}. FLOP/s count the operator's definition, so"
            " an algorithm with fewer multiplications can exceed the peak.",
        )
    )


def _groups(layers: tuple[LayerTime, ...]) -> list[tuple[str, int, LayerTime]]:
    """Layers of one kernel and the same work as one row, the dearest first."""
    groups: dict[tuple[object, ...], list[LayerTime]] = {}
    for layer in layers:
        groups.setdefault((layer.op, layer.kernel, layer.macs, layer.nbytes), []).append(layer)
    rows = []
    for members in groups.values():
        first = members[0]
        mean = replace(first, seconds=sum(m.seconds for m in members) / len(members))
        name = first.node if len(members) == 1 else f"{len(members)} x {first.node}"
        rows.append((name, len(members), mean))
    return sorted(rows, key=lambda row: -row[1] * row[2].seconds)


def as_data(model: str, found: LayerProfile, peak: Peak, threads: int) -> dict[str, Any]:
    """The same as plain data; seconds, bytes and FLOP/s."""
    return {
        "model": model,
        "machine": machine(threads),
        "latency": found.latency,
        "peak": {"flops": peak.flops, "source": peak.source},
        "layers": [
            {
                "node": x.node, "op": x.op, "kernel": x.kernel, "seconds": x.seconds, "low": x.low, "high": x.high,
                "macs": x.macs, "nbytes": x.nbytes, "flops": x.flops,
            }
            for x in found.layers
        ],
    }  # fmt: skip
