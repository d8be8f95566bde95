"""``orpheus run``: one inference, outputs to files or summarized."""

from __future__ import annotations

import argparse
import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.cli.exits import Exit
from orpheus_core.cli.feeds import make_feeds
from orpheus_core.cli.opening import open_session
from orpheus_core.cli.options import add_feeds, add_json, add_model, add_session, pairs, shapes
from orpheus_core.cli.progress import progress
from orpheus_core.cli.table import table
from orpheus_core.types import DType


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_model(parser)
    add_session(parser)
    add_feeds(parser)
    parser.add_argument("-o", "--output", metavar="DIR", help="write every output there as NAME.npy")
    parser.add_argument("--trace", metavar="FILE", help="write a Chrome/Perfetto trace of one profiled run")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Load, run once, write or print what came out."""
    with progress() as line:
        line.say("loading ...")
        session = open_session(args)
        files = pairs(args.input, "-i")
        replaced = [i for i in session.get_overridable_initializers() if i.name in files]
        feeds = make_feeds([*session.get_inputs(), *replaced], files, shapes(args.shape), args.seed)
        line.say("running ...")
        results = session.run(None, feeds)
        if args.trace:
            line.say("profiling ...")
            session.profile(feeds).save_chrome_trace(args.trace)
    outputs = dict(zip((o.name for o in session.get_outputs()), results))
    written = save(outputs, Path(args.output)) if args.output else {}
    rows = [describe(name, value, written.get(name)) for name, value in outputs.items()]
    if args.json:
        print(json.dumps({"plan": session.explain().summary, "outputs": rows}, indent=2))
        return Exit.OK
    print(session.explain().summary)
    headers = ("output", "type", "shape", "min", "max", "mean", "file")
    print(table(headers, [[r[h] for h in headers] for r in rows]))
    return Exit.OK


def save(outputs: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write tensors as ``NAME.npy``, elements of a sequence as ``NAME.0.npy``...; gives the first path of each.

    Characters that a file's name should not have become ``_``, and a name that is taken gets a number.
    Types that ``.npy`` cannot hold are written as float32 (small floats) or int8 (small integers).
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    taken: set[str] = set()  # without case, since some file systems know none
    for name, value in outputs.items():
        base = stem = re.sub(r"[^\w.-]", "_", name)
        for number in count(2):
            if stem.casefold() not in taken:
                break
            stem = f"{base}_{number}"
        taken.add(stem.casefold())
        parts = {f"{stem}.{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {stem: value}
        for part, array in parts.items():
            if array is None or isinstance(array, dict):
                continue
            path = folder / f"{part}.npy"
            np.save(path, storable(np.asarray(array)), allow_pickle=False)
            files.setdefault(name, str(path))
    return files


def storable(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """The array in a type that ``.npy`` can hold without pickling."""
    if array.dtype.kind == "O":
        return array.astype(np.str_)
    if array.dtype.kind != "V" and array.dtype.isbuiltin == 1:
        return array
    return array.astype(np.float32 if DType.from_numpy(array.dtype).is_float else np.int8)


def describe(name: str, value: Any, file: str | None) -> dict[str, Any]:
    """One output as plain data."""
    row: dict[str, Any] = {"output": name, "file": file, "min": None, "max": None, "mean": None}
    if not isinstance(value, np.ndarray):
        return row | {
            "type": type(value).__name__,
            "shape": len(value) if hasattr(value, "__len__") else None,
        }
    row |= {"type": str(DType.from_numpy(value.dtype)), "shape": list(value.shape)}
    if value.size and value.dtype.kind not in "OUSc":
        wide = value.astype(np.float64)
        row |= {"min": number(wide.min()), "max": number(wide.max()), "mean": number(wide.mean())}
    return row


def number(value: Any) -> float | str:
    """Six significant digits; text for what JSON has no number for."""
    return float(f"{value:.6g}") if np.isfinite(value) else str(value)
