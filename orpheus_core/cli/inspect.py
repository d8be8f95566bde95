"""``orpheus inspect``: what is in a model, before and after simplification, and after any pass."""

from __future__ import annotations

import argparse
import difflib
import json
from collections import Counter
from typing import Any

from orpheus_core import discovery
from orpheus_core.cli.exits import Exit
from orpheus_core.cli.options import add_json, add_shape, shapes
from orpheus_core.cli.progress import progress
from orpheus_core.cli.table import big, size, table
from orpheus_core.errors import OrpheusError, UsageError
from orpheus_core.graph import Graph, Value
from orpheus_core.importer import Model, bind_shapes, load
from orpheus_core.ops.macs import macs, total_macs
from orpheus_core.passes import PIPELINE, Evaluator, describe, order, simplify
from orpheus_core.plan.evaluate import KernelEvaluator
from orpheus_core.plugin import PassSpec
from orpheus_core.selection import SelectionOptions
from orpheus_core.types import TensorType


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="an ONNX file")
    add_shape(parser)
    parser.add_argument(
        "--nodes", action="store_true", help="list every node with its result, MACs and parameters"
    )
    parser.add_argument(
        "--raw", action="store_true", help="with --nodes: the graph as imported, not simplified"
    )
    parser.add_argument("--after", metavar="PASS", help="print the graph after that pass")
    parser.add_argument("--before", metavar="PASS", help="print the graph before that pass")
    parser.add_argument("--diff", metavar="PASS", help="print only what that pass changes")
    parser.add_argument("--list-passes", action="store_true", help="the passes in the order they run")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the summary, or the graph around one pass."""
    extra = [c.item for c in discovery.passes()]
    if args.list_passes:
        added = {spec.name: spec for spec in extra}
        rows = [(name, _place(added[name]) if name in added else describe(name)) for name in order(extra)]
        print(json.dumps(dict(rows), indent=2) if args.json else table(("pass", "what it does"), rows))
        return Exit.OK
    if args.model is None:
        raise UsageError("inspect: a MODEL is needed")
    wanted = args.after or args.before or args.diff
    if wanted is not None and wanted not in (*PIPELINE, *(spec.name for spec in extra)):
        raise UsageError(f"there is no pass {wanted!r}; --list-passes shows them")
    # What only sessions of some backend run is shown when it is asked for.
    shown = [spec for spec in extra if spec.backend is None or spec.name == wanted]
    with progress() as line:
        line.say("loading ...")
        model = load(args.model)
        sizes = shapes(args.shape)
        # Weights may be inputs with a default; as constants they also tell more shapes.
        raw = model.graph.bake_defaults()
        raw = bind_shapes(raw, sizes) if sizes or model.graph.defaults else raw
        history = History(raw)
        line.say("simplifying ...")
        simple = simplify(raw, extra=shown, evaluator=evaluator(), observer=history)
    if wanted is None:
        report = summarize(args.model, model, raw, simple, history)
        if args.json:
            print(json.dumps(report, indent=2))
        else:
            print_summary(report)
            if args.nodes:
                print("\n" + nodes_table(raw if args.raw else simple))
        return Exit.OK
    before, after = history.around(wanted)
    changes = history.changes.get(wanted, 0)
    text = _diff(wanted, before, after) if args.diff else str(after if args.after else before)
    if args.json:
        facts = {
            "pass": wanted,
            "changes": changes,
            "nodes_before": len(before.nodes),
            "nodes_after": len(after.nodes),
            "diff" if args.diff else "graph": text,
        }
        print(json.dumps(facts, indent=2))
    elif args.diff:
        print(text or f"{wanted} changes nothing")
    else:
        print(text)
        print(f"# {wanted}: nodes {len(before.nodes)} -> {len(after.nodes)} in {changes} change(s)")
    return Exit.OK


def _place(spec: PassSpec) -> str:
    """Where a plugin's pass runs."""
    where = f"after {spec.after or 'all others'} (plugin)"
    return where if spec.backend is None else f"{where}, in sessions of {spec.backend}"


def _diff(name: str, before: Graph, after: Graph) -> str:
    old, new = str(before).splitlines(), str(after).splitlines()
    return "\n".join(difflib.unified_diff(old, new, f"before {name}", f"after {name}", "", "", 1, ""))


def evaluator() -> Evaluator | None:
    """What a session would fold constants with; None where no backend is ready, so that little is folded."""
    ready = discovery.volunteers()
    return KernelEvaluator(SelectionOptions(ready)) if ready else None


class History:
    """An observer of the passes: the graph before each pass first ran and after it last changed something."""

    def __init__(self, start: Graph) -> None:
        self.start = start
        self.first: dict[str, Graph] = {}
        self.last: dict[str, Graph] = {}
        self.changes: Counter[str] = Counter()
        self.removed: Counter[str] = Counter()

    def __call__(self, name: str, before: Graph, after: Graph) -> None:
        """Note one run of a pass."""
        self.first.setdefault(name, before)
        if after is not before or name not in self.last:
            self.last[name] = after
        if after is not before:
            self.changes[name] += 1
            self.removed[name] += len(before.nodes) - len(after.nodes)

    def around(self, name: str) -> tuple[Graph, Graph]:
        """The graph before the pass first changed it, and after it last did."""
        before = self.first.get(name, self.start)
        return before, self.last.get(name, before)


def summarize(path: str, model: Model, raw: Graph, simple: Graph, history: History) -> dict[str, Any]:
    """Everything the summary tells, as plain data."""
    return {
        "model": path,
        "file_bytes": model.nbytes,
        "producer": model.producer,
        "ir_version": model.ir_version,
        "opsets": dict(model.opset_imports),
        "functions": model.functions,
        "inputs": {v.name: str(v.type) for v in raw.inputs},
        "outputs": {v.name: str(v.type) for v in raw.outputs},
        "raw": _facts(raw),
        "simplified": _facts(simple),
        "passes": {
            n: {"changes": c, "nodes_removed": history.removed[n]} for n, c in history.changes.items()
        },
    }


def at_batch_one(graph: Graph) -> Graph:
    """The graph with open first dimensions of its inputs taken as 1; itself where that is not enough to count."""
    sizes: dict[str, tuple[int, ...]] = {}
    for value in graph.inputs:
        if isinstance(value.type, TensorType) and value.type.shape and not value.type.is_static:
            first, *rest = value.type.shape
            sizes[value.name] = tuple(
                d for d in (first if isinstance(first, int) else 1, *rest) if isinstance(d, int)
            )
            if len(sizes[value.name]) != len(value.type.shape):
                return graph
    try:
        return bind_shapes(graph, sizes) if sizes else graph
    except OrpheusError:
        return graph


def _facts(graph: Graph) -> dict[str, Any]:
    constants = _constants(graph)
    count, unknown = total_macs(at_batch_one(graph))
    return {
        "nodes": sum(1 for _ in graph.walk()),
        "ops": dict(Counter(node.op_id for node in graph.walk()).most_common()),
        "parameters": sum(v.const.size for v in constants if v.const is not None),
        "constant_bytes": sum(v.const.nbytes for v in constants if v.const is not None),
        "macs": count,
        "nodes_of_unknown_macs": unknown,
    }


def _constants(graph: Graph) -> list[Value]:
    found = dict.fromkeys(graph.constants)
    for node in graph.walk():
        for inner in node.subgraphs:
            found.update(dict.fromkeys(inner.constants))
    return list(found)


def print_summary(report: dict[str, Any]) -> None:
    """The summary for people."""
    raw, simple = report["raw"], report["simplified"]
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in report["opsets"].items())
    producer = f", by {report['producer']}" if report["producer"] else ""
    print(
        f"{report['model']}: {size(report['file_bytes'])}, IR {report['ir_version']}, opset {opsets}{producer}"
    )
    print("\n" + table(("input", "type"), list(report["inputs"].items())))
    print("\n" + table(("output", "type"), list(report["outputs"].items())))
    rows = [
        ("nodes", raw["nodes"], simple["nodes"]),
        ("parameters", big(raw["parameters"]), big(simple["parameters"])),
        ("constants", size(raw["constant_bytes"]), size(simple["constant_bytes"])),
        ("MACs, batch 1 where open", _macs_text(raw), _macs_text(simple)),
    ]
    print("\n" + table(("", "as imported", "simplified"), rows))
    ops = sorted({*raw["ops"], *simple["ops"]}, key=lambda op: (-raw["ops"].get(op, 0), op))
    cells = [(op, raw["ops"].get(op, "-"), simple["ops"].get(op, "-")) for op in ops]
    print("\n" + table(("operator", "as imported", "simplified"), cells))


def _macs_text(facts: dict[str, Any]) -> str:
    unknown = facts["nodes_of_unknown_macs"]
    text: str = big(facts["macs"])
    return f"{text} + {unknown} nodes of unknown shape (--shape)" if unknown else text


def nodes_table(graph: Graph) -> str:
    """Every node: name, operator, first result, MACs, parameters."""
    rows = []
    for node in graph.walk():
        constants = [v.const.size for v in node.inputs if v is not None and v.const is not None]
        result = str(node.results[0].type) if node.results else ""
        count = macs(node)
        rows.append((node.name, node.op_id, result, big(count) if count != 0 else "", sum(constants) or ""))
    return table(("node", "operator", "result", "MACs", "parameters"), rows)
