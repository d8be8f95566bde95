"""``functools.cached_property`` without the lock that it has before Python 3.12.

That lock is one for all objects of a class, and costs three times what the rest does. Two threads that come at once may
both compute the value, which is the same.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

__all__ = ["cached_property"]

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:

    class cached_property(functools.cached_property):  # noqa: N801
        """As functools' own, from Python 3.12 on."""

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            """The value, which from now on is an attribute of the object."""
            if instance is None:
                return self
            found = instance.__dict__[self.attrname] = self.func(instance)
            return found
