"""The workbench of Orpheus, a plugin that adds verbs to the ``orpheus`` command and engines to compare with.

Importing this module loads neither numpy code of its own nor a model; the verbs are named by reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from orpheus_core.plugin import Command, RuntimeSpec, hookimpl

__all__ = ["orpheus_commands", "orpheus_runtimes"]


@hookimpl
def orpheus_commands() -> Sequence[Command]:
    """The verbs: ``profile`` and ``zoo``."""
    return (
        Command(
            name="profile",
            help="the time of every layer, its share of the machine's peak, and a trace",
            configure="orpheus_experiments.profile.command:configure",
            run="orpheus_experiments.profile.command:run",
        ),
        Command(
            name="zoo",
            help="write a well-known network as ONNX, with seeded weights",
            configure="orpheus_experiments.zoo.command:configure",
            run="orpheus_experiments.zoo.command:run",
        ),
    )


@hookimpl
def orpheus_runtimes() -> Sequence[RuntimeSpec]:
    """The peer engines, installed or not."""
    from orpheus_experiments.peers import ENGINES

    return ENGINES
