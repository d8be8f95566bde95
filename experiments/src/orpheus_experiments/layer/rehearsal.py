"""Planning prepares kernels in the process that plans, and one that dies of it would end the command before its row.

So the plan is rehearsed in a process of its own. What fails, dies or hangs there is left out of the real plan, and gets
its row from the test stand like any other kernel.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from orpheus_core import discovery
from orpheus_core.cli.feeds import make_feeds
from orpheus_core.cli.opening import open_session
from orpheus_core.cli.options import pairs, shapes
from orpheus_core.errors import KernelError
from orpheus_core.plugin import Backend, PassSpec, hookimpl
from orpheus_core.process import Child, ChildError
from orpheus_core.selection.candidates import kernel_id
from orpheus_core.session import InferenceSession

__all__ = ["Rehearsal", "left_out", "open_with_feeds", "rehearse"]

_HERE = "orpheus_experiments.layer.rehearsal:Rehearsal"
# A whole network is planned, so this is the least time that it gets.
_LEAST = 60.0


def rehearse(args: argparse.Namespace) -> dict[str, str]:
    """The kernels that the plan cannot be made with, and why. KernelError when it dies of something else."""
    lost: dict[str, str] = {}
    asked = argparse.Namespace(**{k: v for k, v in vars(args).items() if not callable(v)})
    while True:
        with Child(_HERE, timeout=max(_LEAST, args.timeout)) as child:
            try:
                failed = child.call("plan", asked, lost)
            except ChildError as error:
                if not error.note or error.note in lost:
                    raise
                failed = {error.note: f"{error.kind} while it was prepared: {error}"}
        if not failed:
            return lost
        lost.update(failed)


def open_with_feeds(args: argparse.Namespace) -> tuple[InferenceSession, dict[str, Any]]:
    """The session of a command's arguments, and inputs for it."""
    session = open_session(args)
    return session, make_feeds(session.get_inputs(), pairs(args.input, "-i"), shapes(args.shape), args.seed)


@contextlib.contextmanager
def left_out(lost: Mapping[str, str]) -> Iterator[None]:
    """Within the block the backends of these kernels are without them; their passes stay."""
    names = sorted({kernel.partition(":")[0] for kernel in lost})
    for name in names:
        discovery.register(_Without(name, lost), name)
    try:
        yield
    finally:
        for name in names:
            discovery.unregister(name)


class Rehearsal:
    """The child's side: plans, telling which kernel it is preparing."""

    def __init__(self, note: Callable[[str], None]) -> None:
        logging.getLogger("orpheus").setLevel(logging.ERROR)  # what runs where is told by the real plan
        self._teller = _Teller(note)
        log = logging.getLogger("orpheus.prepare")
        log.setLevel(logging.DEBUG)
        log.propagate = False
        log.addHandler(self._teller)

    def plan(self, args: argparse.Namespace, lost: Mapping[str, str]) -> dict[str, str]:
        """Make the plan without ``lost``; the kernel whose preparation raised an error, if one did."""
        with left_out(lost):
            try:
                session, feeds = open_with_feeds(args)
                session.executable.ready(session.ordered(feeds))
            except KernelError as error:
                if not self._teller.kernel:
                    raise
                return {self._teller.kernel: str(error)}
        return {}


class _Teller(logging.Handler):
    """Knows the kernel that is being prepared, and tells it."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note
        self.kernel = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.kernel = record.getMessage().partition("preparing ")[2]
        self._note(self.kernel)


class _Without:
    """An installed plugin whose backend lacks some kernels."""

    def __init__(self, name: str, lost: Mapping[str, str]) -> None:
        backend = discovery.get(name)
        kept = tuple(k for k in backend.kernels if kernel_id(backend, k) not in lost)
        self._backend = replace(backend, kernels=kept)
        self._passes = [c.item for c in discovery.passes() if c.plugin == name]

    @hookimpl
    def orpheus_backend(self) -> Backend:
        """The backend without them."""
        return self._backend

    @hookimpl
    def orpheus_passes(self) -> list[PassSpec]:
        """The plugin's own passes."""
        return self._passes
