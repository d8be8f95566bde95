"""The three names of a new backend, checked before anything is written under them."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from orpheus_core import discovery
from orpheus_core.errors import UsageError

_NAME = re.compile(r"[a-z]([a-z0-9_-]*[a-z0-9])?")


@dataclass(frozen=True)
class Names:
    """``fast-conv`` the backend, ``orpheus-fast-conv`` what pip installs, ``orpheus_fast_conv`` what Python imports."""

    backend: str

    @property
    def distribution(self) -> str:
        """The name that pip installs, in its normal form."""
        return "orpheus-" + re.sub(r"[-_]+", "-", self.backend)

    @property
    def package(self) -> str:
        """The name that Python imports."""
        return self.distribution.replace("-", "_")


def checked(name: str) -> Names:
    """The names of a backend called ``name``; UsageError when it is ill-formed or taken here."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"new-backend {name!r}: a name is lower-case letters, digits, - and _, begins with a letter and ends "
            "with a letter or digit, such as 'fast-conv'"
        )
    names = Names(name)
    # Two plugins of one name are both refused, so one that is installed would be lost.
    for row in discovery.backends():
        if row.name == name:
            raise UsageError(
                f"new-backend {name!r}: {row.distribution or 'another plugin'} is installed under this name; "
                "take another, or uninstall it first"
            )
    if importlib.util.find_spec(names.package) is not None:
        raise UsageError(
            f"new-backend {name!r}: a package {names.package} is installed already; take another name"
        )
    return names
