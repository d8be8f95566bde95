"""``orpheus bisect``: the first layer at which two backends or engines part."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from orpheus_core import discovery
from orpheus_core.cli.comparison import parse_variant
from orpheus_core.cli.exits import Exit
from orpheus_core.cli.feeds import make_feeds
from orpheus_core.cli.machine import machine
from orpheus_core.cli.options import (
    add_feeds,
    add_json,
    add_model,
    add_shape,
    add_threads,
    names,
    pairs,
    seconds,
    shapes,
    share,
)
from orpheus_core.cli.progress import progress
from orpheus_core.cli.table import table
from orpheus_core.errors import BackendError
from orpheus_core.importer import load
from orpheus_core.peers import PREFIX, absence, peer
from orpheus_core.session.session import NodeArg, node_arg
from orpheus_core.session.threads import check_threads
from orpheus_experiments.bisect.found import Bisection, Boundary, SideFact
from orpheus_experiments.bisect.repro import Repro, write_repro
from orpheus_experiments.bisect.search import bisect, check_two
from orpheus_experiments.bisect.side import Setting
from orpheus_experiments.zoo.file import model_file

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus bisect``."""
    add_model(parser)
    parser.add_argument(
        "-b", "--backends", metavar="A,B",
        help="the two sides: backends, backend:Op/kernel to pin that kernel for all nodes of the operator, or"
        " peer:engine",
    )  # fmt: skip
    add_shape(parser)
    add_threads(parser)
    add_feeds(parser)
    parser.add_argument(
        "--bound", type=share, metavar="R",
        help="the largest difference, as a share of the largest magnitude, that is no parting (default: what rounding"
        " explains at each layer, by a float64 evaluation on both sides' own inputs)",
    )  # fmt: skip
    parser.add_argument(
        "--repro",
        metavar="DIR",
        help="write the parting layer there as a small model with its inputs, and replay it",
    )
    parser.add_argument("--layers", action="store_true", help="print every boundary")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=600.0,
        metavar="S",
        help="give a side up after this (default: 600 s)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Search and print; 0 when the sides agree, 1 when they part, 4 when one crashed, failed or hung."""
    asked = check_two(names(args.backends))
    variants = [parse_variant(text) for text in asked]
    for variant in variants:
        _check(variant.backend)
    threads = check_threads(args.threads)
    asked_model, args.model = args.model, model_file(args.model)
    sizes = shapes(args.shape)
    with progress() as line:
        line.say("loading ...")
        feeds = make_feeds(_inputs(args.model), pairs(args.input, "-i"), sizes, args.seed)
        fixed = {name: tuple(array.shape) for name, array in feeds.items()}
        first, second = (Setting(args.model, v.backend, v.pins, threads, fixed) for v in variants)
        found = bisect((first, second), asked, feeds, bound=args.bound, timeout=args.timeout, say=line.say)
        repro = None
        if args.repro is not None and found.first is not None:
            line.say("writing and replaying the difference ...")
            repro = write_repro(found, (first, second), Path(args.repro), timeout=args.timeout)
    if args.json:
        told = None if repro is None else {"folder": str(repro.folder), "command": repro.command,
                                           "replayed": repro.replayed, "reason": repro.reason}  # fmt: skip
        print(json.dumps(
            {"model": asked_model, "machine": machine(threads), **found.to_json(), "repro": told}, indent=2
        ))  # fmt: skip
    else:
        print(report(found, repro, every=args.layers))
    return Exit.MISMATCH if found.parts else Exit.OK


def _check(backend: str) -> None:
    """BackendError when a side is not usable, before anything is loaded."""
    if backend.startswith(PREFIX):
        reason = absence(peer(backend[len(PREFIX) :]))
        if reason is not None:
            raise BackendError(f"{backend} is {reason}")
    else:
        discovery.get(backend)


def _inputs(path: str) -> list[NodeArg]:
    graph = load(path).graph
    return [node_arg(v) for v in graph.inputs if v not in graph.defaults]


def report(found: Bisection, repro: Repro | None, *, every: bool) -> str:
    """The verdict, the parting layer in full, and the table where it is asked for."""
    a, b = found.sides
    lines = [f"A = {a}: {found.summaries[0]}", f"B = {b}: {found.summaries[1]}"]
    if every:
        headers = (
            "node",
            "op",
            "difference",
            "relative",
            "carried",
            "A's error",
            "of limit",
            "B's error",
            "of limit",
            "",
        )
        lines.append(table(headers, [_cells(row) for row in found.boundaries]))
    first = found.first
    count = len(found.boundaries)
    if first is None:
        worst = max(found.boundaries, key=lambda r: r.relative, default=None)
        where = (
            f"; the largest difference is {worst.relative:.1e} of the magnitude, at {worst.node}"
            if worst
            else ""
        )
        lines.append(f"no layer of {count} parts{where}")
    else:
        lines += _in_full(first, found)
    lines += [f"{side}: {text}" for side, text in found.whole.items()]
    unjudged = [r for r in found.boundaries if r.reason]
    if unjudged:
        lines.append(
            f"{len(unjudged)} without a float64 result, such as {unjudged[0].node}: {unjudged[0].reason}"
        )
    if repro is not None:
        lines += _repro_lines(repro)
    return "\n".join(lines)


def _in_full(first: Boundary, found: Bisection) -> list[str]:
    later = sum(r.parts for r in found.boundaries) - 1
    lines = [f"they part at node {first.node} ({first.op}), value {first.value}: {first.type}"]
    if len(first.nodes) > 1:
        lines.append(f"  computed from the last common values by {', '.join(reversed(first.nodes))}")
    inputs = ", ".join(f"{n} {d:.1e}" for n, d in first.inputs.items()) or "none"
    lines.append(f"  inputs: {inputs} ({first.inputs_relative:.1e} of the magnitude)")
    carried = "" if first.carried is None else f"; the inputs' difference carries {first.carried:.1e}"
    lines.append(f"  output: {first.difference:.1e} ({first.relative:.1e} of the magnitude){carried}")
    for name, side in (("A", first.a), ("B", first.b)):
        lines.append(f"  {name}: {side.kernel}{_judged(side)}")
    if later > 0:
        lines.append(f"  {later} later boundar{'y parts' if later == 1 else 'ies part'}, too")
    return lines


def _judged(side: SideFact) -> str:
    if side.error is None or side.limit is None:
        return ""
    verdict = "at fault" if side.is_at_fault else "right"
    return f": {verdict}: its own error is {side.error:.1e}, rounding explains {side.limit:.1e}"


def _repro_lines(repro: Repro) -> list[str]:
    if repro.replayed is None:
        said = f"it could not be replayed: {repro.reason}"
    elif repro.is_same:
        said = f"replayed there, the difference is {repro.replayed:.1e}"
    else:
        said = f"alone the layer does not show it: the difference is {repro.replayed:.1e} there"
    return [f"written to {repro.folder}; {said}", f"  {repro.command}"]


def _cells(row: Boundary) -> tuple[object, ...]:
    return (
        row.node,
        row.op,
        f"{row.difference:.1e}",
        f"{row.relative:.1e}",
        "-" if row.carried is None else f"{row.carried:.1e}",
        *_side_cells(row.a),
        *_side_cells(row.b),
        "parts" if row.parts else "",
    )


def _side_cells(side: SideFact) -> tuple[str, str]:
    if side.error is None or side.limit is None:
        return "-", "-"
    share_ = "-" if not side.limit else f"{100 * side.error / side.limit:.0f}%"
    return f"{side.error:.1e}", share_
