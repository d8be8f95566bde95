"""``orpheus zoo``: write a network of the zoo to a file, or list them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from orpheus_core.errors import UsageError
from orpheus_experiments.zoo.registry import NETWORKS, OPSET, build

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus zoo``."""
    parser.add_argument("name", nargs="?", help="the network to write; --list shows what there is")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the model")
    parser.add_argument(
        "--raw", action="store_true", help="leave every BatchNormalization as a node of its own"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    parser.add_argument("--batch", type=int, default=1, help="images at once (default 1)")
    parser.add_argument("--opset", type=int, default=OPSET, help=f"ONNX opset (default {OPSET})")
    parser.add_argument("--list", action="store_true", help="list the networks instead")
    parser.add_argument("--json", action="store_true", help="with --list, as JSON")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0. Raises :class:`UsageError` when they contradict themselves."""
    if args.list:
        print(_as_json() if args.json else _as_table())
        return 0
    if args.json:
        raise UsageError("--json goes with --list")
    if args.name is None or args.output is None:
        raise UsageError("give a network and -o FILE, or --list to see the networks")
    path = Path(args.output)
    model = build(args.name, raw=args.raw, seed=args.seed, batch=args.batch, opset=args.opset)
    try:
        size = path.write_bytes(model.SerializeToString())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    print(f"{path}: {args.name}, {len(model.graph.node)} nodes, {size / 1e6:.1f} MB")
    return 0


def _rows() -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "parameters": network.parameters,
            "macs": network.macs,
            "input": [1, 3, network.resolution, network.resolution],
            "source": network.source,
        }
        for name, network in NETWORKS.items()
    ]


def _as_json() -> str:
    return json.dumps(_rows(), indent=2)


def _as_table() -> str:
    lines = [f"{'name':<18}{'parameters':>12}{'MACs':>10}  {'input':<15}source"]
    for name, network in NETWORKS.items():
        shape = f"1x3x{network.resolution}x{network.resolution}"
        size, work = f"{network.parameters / 1e6:.2f} M", f"{network.macs / 1e9:.2f} G"
        lines.append(f"{name:<18}{size:>12}{work:>10}  {shape:<15}{network.source}")
    return "\n".join(lines)
