"""Which plugins are installed, which are usable, and why the others are not.

Nothing is looked up until the first call, and a plugin is imported only when its row is looked into. Plugins
are entry points of the group ``orpheus.backends``. One that is broken, incompatible, switched off or unusable
on this machine is a row with its reason and harms no other; it is an error only when asked for by name.

``ORPHEUS_BACKENDS`` (comma-separated entry-point names) restricts which plugins are imported at all; unset or
empty means every installed one.
"""

from orpheus_core.discovery.registry import (
    Contribution,
    backends,
    commands,
    default_order,
    get,
    meters,
    override,
    passes,
    refresh,
    register,
    row,
    runtimes,
    split,
    unregister,
    volunteers,
)
from orpheus_core.discovery.state import BackendState, Broken, Disabled, Incompatible, State

__all__ = [
    "BackendState", "Broken", "Contribution", "Disabled", "Incompatible", "State", "backends", "commands",
    "default_order", "get", "meters", "override", "passes", "refresh", "register", "row", "runtimes", "split",
    "unregister", "volunteers",
]  # fmt: skip
