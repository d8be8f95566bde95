"""``orpheus layer``: every implementation of one layer. ``orpheus layers``: the choices of a whole network."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orpheus_core import discovery
from orpheus_core.cli.exits import Exit
from orpheus_core.cli.machine import machine
from orpheus_core.cli.options import add_feeds, add_json, add_session, positive, seconds, whole
from orpheus_core.cli.progress import progress
from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend
from orpheus_core.session import InferenceSession
from orpheus_experiments.layer.network import study_network
from orpheus_experiments.layer.rehearsal import left_out, open_with_feeds, rehearse
from orpheus_experiments.layer.report import layer_report, network_report
from orpheus_experiments.layer.stand import Timing
from orpheus_experiments.layer.study import study_layer
from orpheus_experiments.layer.written import NAME, is_written, parse_layer
from orpheus_experiments.zoo.file import model_file

__all__ = ["configure", "configure_network", "run", "run_network"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus layer``."""
    parser.add_argument(
        "model",
        metavar="MODEL|LAYER",
        help='an ONNX file, a network of the zoo, or a layer in words: "Conv[1x64x56x56,k3,o128,s2]+Relu"',
    )
    parser.add_argument(
        "--node", metavar="NAME", help="the node to study (needed with a file; see orpheus layers)"
    )
    parser.add_argument(
        "--kernel", action="append", default=[], metavar="KERNEL",
        help="only this kernel, backend:Op/kernel or its own name; may be repeated (default: every one that accepts)",
    )  # fmt: skip
    _add_common(parser, rounds=10, share=0.1)
    parser.add_argument(
        "--cold", type=whole, metavar="MIB",
        help="MiB of other data that are read between two calls (default: what the rest of the network touches)",
    )  # fmt: skip


def configure_network(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus layers``."""
    parser.add_argument("model", metavar="MODEL", help="an ONNX file, or a network of the zoo")
    _add_common(parser, rounds=5, share=0.05)
    parser.add_argument(
        "--group", action="store_true", help="one row for all layers that are alike, dearest first"
    )


def _add_common(parser: argparse.ArgumentParser, rounds: int, share: float) -> None:
    add_session(parser)
    add_feeds(parser)
    parser.add_argument(
        "--rounds",
        type=positive,
        default=rounds,
        metavar="N",
        help="turns of each kernel (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds", type=seconds, default=share, metavar="S",
        help="time for each kernel, over all turns (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S",
        help="give a kernel up that takes longer to answer (default: %(default)s s)",
    )  # fmt: skip
    parser.add_argument(
        "--isolate", action="store_true",
        help="a process of its own for each kernel (default: one for all, begun anew without one that dies)",
    )  # fmt: skip
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Study one layer and print; 0, 1 when a kernel is wrong, 4 when one crashed, failed or hung."""
    written = is_written(args.model) and not Path(args.model).exists()
    with progress() as line:
        line.say("loading ...")
        if written:
            if args.node is not None:
                raise UsageError("--node is for a model; a written layer is its only node")
            layer = parse_layer(args.model)
            path, args.model = args.model, layer.model(args.seed)
            node: str | None = NAME
        else:
            path, node = args.model, args.node
            args.model = model_file(args.model)
        session, feeds, backends, lost = _open(args)
        if node is None:
            raise UsageError(
                f"--node NAME is needed: one of {_some_nodes(session)}; `orpheus layers` lists all"
            )
        cold = args.cold << 20 if args.cold is not None else 0 if written else None
        study = study_layer(
            session, _layer_node(session) if written else node, feeds,
            kernels=args.kernel, timing=_timing(args), timeout=args.timeout, isolate=args.isolate, cold_bytes=cold,
            backends=backends, say=line.say,
        )  # fmt: skip
    if args.json:
        print(json.dumps({"model": path, "machine": machine(session.threads), **study.to_json()}, indent=2))
    else:
        print(layer_report(study))
    _tell(lost)
    return _code(r.status for r in study.rows)


def run_network(args: argparse.Namespace) -> int:
    """Study every layer and print; exit codes as of one layer."""
    asked, args.model = args.model, model_file(args.model)
    with progress() as line:
        line.say("loading ...")
        session, feeds, backends, lost = _open(args)
        study = study_network(
            session, feeds, timing=_timing(args), timeout=args.timeout, isolate=args.isolate, backends=backends,
            say=line.say,
        )  # fmt: skip
    if args.json:
        print(json.dumps({"model": asked, "machine": machine(session.threads), **study.to_json()}, indent=2))
    else:
        print(network_report(study, grouped=args.group))
    _tell(lost)
    statuses = [text.split(": ")[1] for x in study.layers for text in x.bad]
    return _code(statuses)


def _open(
    args: argparse.Namespace,
) -> tuple[InferenceSession, dict[str, Any], list[Backend], dict[str, str]]:
    """The session, its inputs, all kernels to study, and those without which it had to be planned."""
    if args.backends == "all":
        args.backends = None
    lost = rehearse(args)
    with left_out(lost):
        session, feeds = open_with_feeds(args)
        session.executable.ready(session.ordered(feeds))
    return session, feeds, [discovery.get(b.name) for b in session.options.backends], lost


def _tell(lost: Mapping[str, str]) -> None:
    for kernel, reason in lost.items():
        print(f"{kernel} is left out of the plan: {reason}", file=sys.stderr)


def _timing(args: argparse.Namespace) -> Timing:
    return Timing(rounds=args.rounds, seconds=args.seconds)


def _some_nodes(session: InferenceSession) -> str:
    names = [n.name or n.op for n in session.graph.nodes]
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def _layer_node(session: InferenceSession) -> str:
    """The written layer's node, whatever what followed it was fused into."""
    names = [n.name for n in session.graph.nodes]
    return NAME if NAME in names else next((n for n in names if n.startswith(NAME)), NAME)


def _code(statuses: Iterable[str]) -> Exit:
    found = set(statuses)
    if found & {"crashed", "timed out", "failed"}:
        return Exit.BACKEND
    return Exit.MISMATCH if "wrong" in found else Exit.OK
