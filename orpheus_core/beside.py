"""Work that goes on beside the making of a plan.

A layer's weights may be packed while Python plans the layers after it: nothing reads them before the first run. A
plugin that packs in threads of its own asks :func:`helper` for what it gives such work to, and the plan is not ready
before that has been waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

__all__ = ["Helper", "helper", "joined"]


class Helper(Protocol):
    """Does work beside its caller."""

    def wait(self) -> None:
        """Returns when everything is done that was given."""


_H = TypeVar("_H", bound=Helper)


class _Plan:
    """The helpers of one plan."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.helpers: dict[Hashable, Any] = {}


_plan: ContextVar[_Plan | None] = ContextVar("_plan", default=None)


def helper(key: Hashable, make: Callable[[], _H]) -> _H | None:
    """What ``make()`` gave when this plan asked for ``key`` first; None while no plan is made: do the work at once."""
    plan = _plan.get()
    if plan is None:
        return None
    if key not in plan.helpers:
        plan.helpers[key] = made = make()
        plan.stack.callback(made.wait)
    found: _H = plan.helpers[key]
    return found


@contextmanager
def joined() -> Iterator[None]:
    """Within the block a plan is made; at its end, however it ends, the plan's helpers are waited for."""
    with ExitStack() as stack:
        token = _plan.set(_Plan(stack))
        stack.callback(_plan.reset, token)
        yield
