"""``orpheus explain``: what would run each node, why, and what was refused for which reason."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
from collections import Counter

from orpheus_core.cli.exits import Exit
from orpheus_core.cli.opening import open_session
from orpheus_core.cli.options import add_json, add_model, add_session
from orpheus_core.cli.progress import progress
from orpheus_core.cli.table import quantity, table
from orpheus_core.errors import UsageError
from orpheus_core.session.explanation import ExplainedDecision


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_model(parser)
    add_session(parser)
    parser.add_argument("--node", metavar="NAME", help="one node only, with every candidate and refusal")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the decisions; nothing is run."""
    with progress() as line:
        line.say("loading ...")
        explanation = open_session(args).explain()
    if args.node is not None:
        wanted = tuple(d for d in explanation.decisions if d.node == args.node)
        if not wanted:
            near = difflib.get_close_matches(
                args.node, [d.node for d in explanation.decisions], n=5, cutoff=0.3
            )
            raise UsageError(
                f"no node {args.node!r} after simplification; close to it: {', '.join(near) or 'none'}"
            )
        explanation = dataclasses.replace(explanation, decisions=wanted)
    if args.json:
        print(json.dumps(explanation.to_json(), indent=2))
        return Exit.OK
    decisions = explanation.decisions
    print(explanation.summary)
    if not explanation.is_final:
        print(
            'input shapes are open; kernels that need fixed ones count as refused: give --shape "NAME:[...]"'
        )
    if args.node is not None:
        for decision in decisions:
            print_in_full(decision)
        return Exit.OK
    print(table(("node", "op", "kernel", "why"), [(d.node, d.op, d.chosen, d.why) for d in decisions]))
    refused = Counter((r.kernel, r.text) for d in decisions for r in d.rejected)
    if refused:
        print("\nrefused:")
        ordered = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
        print(table(("nodes", "kernel", "reason"), [(n, kernel, text) for (kernel, text), n in ordered]))
    return Exit.OK


def print_in_full(decision: ExplainedDecision) -> None:
    """Every candidate and refusal of one node."""
    print(f"\n{decision.node}: {decision.op}")
    rows = [("chosen", decision.chosen, cost(decision.cost, decision.source), decision.why)]
    rows += [("possible", c.kernel, cost(c.seconds, c.source), "") for c in decision.candidates]
    rows += [("refused", r.kernel, "", f"{r.text} ({r.code.value})") for r in decision.rejected]
    print(table(("", "kernel", "cost", "why"), rows))


def cost(seconds: float, source: str) -> str:
    """A cost with where it comes from; a rank stands for no time at all."""
    return "" if source == "rank" else f"{quantity(seconds * 1e6)} us ({source})"
