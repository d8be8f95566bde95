"""``orpheus tune``: measure every candidate of every layer and keep the times."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from orpheus_core.cli.exits import Exit
from orpheus_core.cli.opening import open_session
from orpheus_core.cli.options import add_json, add_model, add_session, seconds
from orpheus_core.cli.progress import progress
from orpheus_core.cli.table import quantity, table
from orpheus_core.errors import UsageError
from orpheus_core.session import tune
from orpheus_core.session.tuning import TunedLayer, TuneReport
from orpheus_core.session.whole import TunedPlan


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_model(parser)
    add_session(parser)
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=0.05,
        metavar="S",
        help="time for each candidate (default: %(default)s)",
    )
    parser.add_argument("--again", action="store_true", help="measure what has been measured before, too")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, keep, and print what was found, the slowest layers first."""
    if args.seconds <= 0:
        raise UsageError(f"--seconds must be above zero, not {args.seconds}")
    with progress() as line:
        line.say("loading ...")
        session = open_session(args)
        report = tune(
            session,
            seconds=args.seconds,
            again=args.again,
            progress=lambda done, total, name: line.say(f"layer {done} of {total}: {name}"),
        )
    if args.json:
        print(json.dumps(asdict(report), indent=2))
        return Exit.OK
    print(table(("layers", "op", "fastest", "us", "next", "us", ""), [_row(r) for r in _by_time(report)]))
    print(f"\n{len(report.layers)} distinct layers; times kept in {report.path}")
    if report.unmeasured:
        names = ", ".join(report.unmeasured[:8]) + (", ..." if len(report.unmeasured) > 8 else "")
        print(f"not measurable alone (open shape, control flow): {names}")
    print("Sessions choose by these times; `--policy cost` among all named backends.")
    for plan in report.plans:
        print(_whole(plan))
    return Exit.OK


def _whole(plan: TunedPlan) -> str:
    """What was found of one policy's plan, in words."""
    name = f"whole network, policy {plan.policy}"
    if plan.tuned is None or plan.untuned is None or plan.ratio is None:
        words = "the same kernels as untuned" if plan.kept == "same" else f"not compared: {plan.reason}"
        return f"{name}: {words}"
    text = f"{name}: tuned {plan.tuned * 1e3:.3g} ms, untuned {plan.untuned * 1e3:.3g} ms, ratio {plan.ratio:.3f}"
    return text if plan.kept == "tuned" else f"{text}: not surely faster, so sessions keep the untuned plan"


def _by_time(report: TuneReport) -> list[TunedLayer]:
    layers = [layer for layer in report.layers if layer.kernels]
    return sorted(layers, key=lambda r: -(r.kernels[0].seconds or 0.0) * len(r.nodes))


def _row(layer: TunedLayer) -> tuple[object, ...]:
    cells: list[object] = []
    for kernel in [*layer.kernels[:2], *[None] * 2][:2]:
        cells.append("" if kernel is None else kernel.kernel)
        failed = kernel is not None and kernel.seconds is None
        cells.append(
            "failed" if failed else "" if kernel is None else quantity((kernel.seconds or 0.0) * 1e6)
        )
    return (len(layer.nodes), layer.op, *cells, "kept" if layer.kept else "")
