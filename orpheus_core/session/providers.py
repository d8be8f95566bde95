"""From what the user asked for to the backends that selection sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

from orpheus_core import discovery
from orpheus_core.errors import BackendError, UsageError
from orpheus_core.plugin import Backend


def find_backends(
    providers: Sequence[Union[str, tuple[str, Any]]] | None, fallback: str
) -> tuple[tuple[Backend, ...], int | None]:
    """Backends in order of preference, and how many of them were named.

    None means every ready backend, none of them a fallback. Unless ``fallback`` is "error", ready backends that were
    not named follow the named ones. Unasked come only those that rank no further than a reference. Raises BackendError
    for a named backend that is not ready.
    """
    if providers is None:
        backends = discovery.volunteers()
        if not backends:
            raise BackendError(_none_ready())
        return backends, None
    if isinstance(providers, str):
        raise UsageError(f"providers must be a list of backend names: [{providers!r}]")
    named = []
    for provider in providers:
        name, settings = (provider, {}) if isinstance(provider, str) else provider
        named.append(discovery.get(name, settings))
    names = [b.name for b in named]
    if len(set(names)) != len(names) or not names:
        raise UsageError(f"providers must name at least one backend, each once, not {names}")
    rest = () if fallback == "error" else tuple(b for b in discovery.volunteers() if b.name not in names)
    return (*named, *rest), len(named)


def _none_ready() -> str:
    rows = [f"{r.name} is {r.status}: {r.reason}" for r in discovery.backends() if r.kind != "extension"]
    found = "; ".join(rows) or "none is installed"
    return f"no backend that runs unasked is ready ({found}); name one, or install one: pip install orpheus-numpy"
