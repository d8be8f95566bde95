"""The manifest: this package adds verbs to the ``orpheus`` command, and no backend."""

from __future__ import annotations

from collections.abc import Sequence

from orpheus_core.plugin import Command, hookimpl

__all__ = ["orpheus_commands"]


@hookimpl
def orpheus_commands() -> Sequence[Command]:
    """The verbs that this package adds to the ``orpheus`` command."""
    return (
        Command(
            name="new-backend",
            help="write a backend package that conforms at once, to be changed into your own",
            configure="orpheus_conformance.scaffold.command:configure",
            run="orpheus_conformance.scaffold.command:run",
        ),
        Command(
            name="conform",
            help="judge a backend: generated layers against an oracle, failures shrunk to a line that replays",
            configure="orpheus_conformance.conform.command:configure",
            run="orpheus_conformance.conform.command:run",
        ),
    )
