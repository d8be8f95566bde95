"""``orpheus backends``: what is installed, what is usable, why not."""

from __future__ import annotations

import argparse
import json
from typing import Any

from orpheus_core import discovery
from orpheus_core.cli.exits import Exit
from orpheus_core.cli.table import table


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def describe(row: discovery.BackendState) -> dict[str, Any]:
    """One plugin as plain data."""
    state = row.state  # before the manifest, which may be complete only now
    backend = row.backend
    return {
        "name": row.name,
        "kind": row.kind,
        "status": row.status,
        "reason": row.reason,
        "fix": row.fix,
        "devices": list(row.devices),
        "distribution": row.distribution,
        "version": row.version or (backend.version if backend else ""),
        "device": str(backend.device) if backend else None,
        "kernels": len(backend.kernels) if backend else None,
        "operators": len({k.op_id for k in backend.kernels}) if backend else None,
        "rank": backend.rank if backend else None,
        "warnings": list(row.warnings),
        "traceback": state.traceback if isinstance(state, discovery.Broken) else "",
    }


def run(args: argparse.Namespace) -> int:
    """Print every plugin with its state; a plugin that is not usable is no error here."""
    rows = [describe(row) for row in discovery.backends()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return Exit.OK
    if not rows:
        print("no backend is installed; try: pip install orpheus-numpy")
        return Exit.OK
    headers = ("name", "status", "kind", "device", "operators", "kernels", "distribution", "about")
    print(
        table(
            headers,
            [
                (
                    r["name"], r["status"], r["kind"], r["device"], r["operators"], r["kernels"],
                    f"{r['distribution']} {r['version']}", r["reason"],
                )
                for r in rows
            ],
        )
    )  # fmt: skip
    for r in rows:
        for device in r["devices"]:
            print(f"{r['name']}: device {device}")
        if r["fix"]:
            print(f"{r['name']}: to fix: {r['fix']}")
        for warning in r["warnings"]:
            print(f"{r['name']}: warning: {warning}")
        if r["traceback"] and getattr(args, "debug", False):
            print(r["traceback"])
    return Exit.OK
