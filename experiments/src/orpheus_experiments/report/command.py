"""``orpheus report``: the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from orpheus_core.cli.exits import Exit
from orpheus_core.cli.options import share
from orpheus_core.cli.table import table
from orpheus_core.errors import UsageError
from orpheus_experiments.report.tables import change_table
from orpheus_experiments.report.write import FORMATS, held_against, text_of, write_report

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus report``."""
    parser.add_argument("folder", metavar="FOLDER", help="the results folder of a sweep")
    parser.add_argument(
        "--format", choices=FORMATS, help="html: one page with plots; md and csv print (default: html)"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to (default: FOLDER/report.FORMAT; md and csv: print)"
    )
    parser.add_argument(
        "--against",
        metavar="FOLDER",
        help="another run of the same trials: what got slower since, exit code 1 if any",
    )
    parser.add_argument(
        "--least", type=share, default=0.0, metavar="R",
        help="with --against: gaps below this share are no change (default: 0, all that is sure)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write or print the report; 1 when something got worse than in the other run."""
    folder = Path(args.folder)
    if args.least and not args.against:
        raise UsageError("--least goes with --against")
    compared = held_against(folder, Path(args.against), args.least) if args.against else None
    if compared is not None and args.format is None and args.output is None:
        told = change_table(compared.changed)
        print("\n".join([str(compared), *([table(told.headers, told.rows)] if told.rows else []), told.text]))
    else:
        form = args.format or "html"
        if form in ("md", "csv") and args.output in (None, "-"):
            print(text_of(folder, form, compared), end="")
        else:
            print(write_report(folder, form, Path(args.output) if args.output else None, compared))
    return Exit.MISMATCH if compared is not None and compared.worse else Exit.OK
