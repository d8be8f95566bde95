"""Finding the verb, running it, and turning errors into one line and an exit code."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

from orpheus_core import __version__, discovery
from orpheus_core.cli.exits import Exit, code_for
from orpheus_core.plugin import resolve


class Verb(NamedTuple):
    """One verb: its line in ``--help``, and references to what configures its parser and what runs it."""

    help: str
    configure: str
    run: str


def _own(module: str, help_: str) -> Verb:
    return Verb(help_, f"orpheus_core.cli.{module}:configure", f"orpheus_core.cli.{module}:run")


VERBS = {
    "backends": _own("backends", "what is installed, what is usable here, and why the rest is not"),
    "inspect": _own(
        "inspect", "a model's inputs, outputs, operators, sizes and MACs; its graph after any pass"
    ),
    "explain": _own("explain", "which kernel would run each node, why, and which were refused"),
    "run": _own("run", "run a model on given or random inputs"),
    "tune": _own(
        "tune", "measure every candidate of every layer, then the plan as a whole; keep what is faster"
    ),
    "compare": _own("compare", "time, memory, load time and error of several backends on one model"),
}


class _LogLine(logging.Formatter):
    """``orpheus: warning: text``."""

    def format(self, record: logging.LogRecord) -> str:
        return f"orpheus: {record.levelname.lower()}: {record.getMessage()}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (see :class:`~orpheus_core.cli.exits.Exit`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # this process is ours, so its streams and logging are too
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names may hold what the terminal cannot show
        handler = logging.StreamHandler()
        handler.setFormatter(_LogLine())
        logging.basicConfig(handlers=[handler], level=logging.WARNING)
    debug = os.environ.get("ORPHEUS_DEBUG", "") not in ("", "0") or "--debug" in arguments
    try:
        parser, run = _parser(arguments)
        return int(run(parser.parse_args(arguments)))
    except BrokenPipeError:
        # The reader of our output has left (a pager, head): nothing is wrong, and nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except KeyboardInterrupt:
        print("orpheus: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = code_for(error)
        text = " ".join(str(error).split()) or type(error).__name__
        if code is Exit.INTERNAL:
            text = f"internal error: {type(error).__name__}: {text} (--debug shows where)"
        print(f"orpheus: error: {text}", file=sys.stderr)
        return code


def _parser(arguments: Sequence[str]) -> tuple[argparse.ArgumentParser, Callable[[argparse.Namespace], int]]:
    """The parser, with only the chosen verb configured, and what runs that verb."""
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    # Plugins are asked only when no verb of our own was named: `orpheus run` must not wait for them.
    verbs = VERBS if chosen in VERBS else {**VERBS, **_plugin_verbs()}
    if chosen is not None and chosen not in verbs:
        _warn_of_missing()
    parser = argparse.ArgumentParser(
        prog="orpheus",
        description="Deploy and evaluate neural-network inference, layer by layer.",
        epilog="Exit codes: 0 ok, 1 mismatch, 2 usage, 3 model refused, 4 backend crashed or timed out, "
        "5 unstable.",
    )
    parser.add_argument("--version", action="version", version=f"orpheus-core {__version__}")
    _add_debug(parser)
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    run: Callable[[argparse.Namespace], int] | None = None
    for name, verb in verbs.items():
        sub = subparsers.add_parser(name, help=verb.help, description=_sentence(verb.help))
        if name == chosen:
            _add_debug(sub)
            resolve(verb.configure)(sub)
            run = resolve(verb.run)
    return parser, run if run is not None else _no_verb


def _no_verb(_: argparse.Namespace) -> int:
    return Exit.USAGE


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )


def _plugin_verbs() -> dict[str, Verb]:
    verbs: dict[str, Verb] = {}
    owners: dict[str, str] = dict.fromkeys(VERBS, "orpheus-core")
    for plugin, command in ((c.plugin, c.item) for c in discovery.commands()):
        if command.name in owners:
            print(
                f"orpheus: warning: plugin {plugin} offers the verb {command.name!r}, which "
                f"{owners[command.name]} has already; ignored",
                file=sys.stderr,
            )
            continue
        owners[command.name] = plugin
        verbs[command.name] = Verb(command.help, command.configure, command.run)
    return verbs


def _warn_of_missing() -> None:
    """Name the plugins that may have the verb that was asked for, but could not be asked."""
    for row in discovery.backends():
        if row.kind == "unknown":
            print(
                f"orpheus: warning: plugin {row.name} ({row.distribution}) is {row.status}, so any verbs of its own "
                "are missing; `orpheus backends` tells why",
                file=sys.stderr,
            )
