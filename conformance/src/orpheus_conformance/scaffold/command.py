"""The verb ``orpheus new-backend``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
from pathlib import Path

from orpheus_conformance.scaffold.name import checked
from orpheus_conformance.scaffold.render import TEMPLATES, render, write
from orpheus_core.cli.exits import Exit


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "name", metavar="NAME", help="what the backend is called, as in `orpheus run -b NAME`"
    )
    parser.add_argument(
        "-t",
        "--template",
        choices=tuple(TEMPLATES),
        default="numpy",
        help="what to begin with (default: %(default)s)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="the folder to write (default: orpheus-NAME)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the package; UsageError for a name or folder that cannot be taken."""
    names = checked(args.name)
    folder: Path = args.output if args.output is not None else Path(names.distribution)
    files = render(args.template, names)
    write(files, folder)
    for path in sorted(files):
        print(folder / path)
    print(f"\nnext:\n  pip install -e {folder}\n  orpheus backends\n  orpheus conform {names.backend}")
    return Exit.OK
