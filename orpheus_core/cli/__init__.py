"""The ``orpheus`` command: one verb a file, more verbs through the hook ``orpheus_commands``."""

from orpheus_core.cli.main import main

__all__ = ["main"]
