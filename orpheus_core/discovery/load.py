"""Loading one plugin, with everything that may go wrong turned into a :class:`LoadFault`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pluggy

from orpheus_core.discovery.validate import faults
from orpheus_core.plugin import API, PROJECT, Backend, Hooks, hookimpl


@dataclass(frozen=True)
class Loaded:
    """A plugin that loaded: its hooks, and its backend if it has one."""

    manager: pluggy.PluginManager
    backend: Backend | None


class LoadFault(Exception):
    """Why a plugin cannot be used; ``api`` is set when only its interface version does not fit."""

    def __init__(self, reason: str, api: int | None = None) -> None:
        super().__init__(reason)
        self.api = api


class _Registered:
    """A plugin object made of a Backend alone, for backends that are not installed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @hookimpl
    def orpheus_backend(self) -> Backend:
        return self._backend


def load(name: str, source: Callable[[], Any]) -> Loaded:
    """Import, register, check and ask the plugin called ``name``; LoadFault says what went wrong.

    Every plugin gets a manager of its own: in a shared one, a single misspelt hook fails the check of every
    plugin that is loaded after it.
    """
    plugin = _guard("importing it", source)
    if isinstance(plugin, Backend):
        plugin = _Registered(plugin)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)

    def register() -> None:
        manager.register(plugin, name)
        manager.check_pending()

    _guard("registering its hooks", register)
    if not manager.get_hookcallers(plugin):
        raise LoadFault("it implements no hook of Orpheus; mark its functions with @hookimpl")
    backend = _guard("its hook orpheus_backend", manager.hook.orpheus_backend)
    if backend is not None:
        check(backend, name)
    return Loaded(manager, backend)


def _guard(step: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except KeyboardInterrupt:
        raise
    # A plugin may raise SystemExit or a library's own BaseException; neither may end the program.
    except BaseException as error:
        raise LoadFault(f"{step} raised {one_line(error)}") from error


def check(backend: object, name: str, source: str = "hook orpheus_backend") -> None:
    """LoadFault when what the plugin called ``name`` gave by its ``source`` is no sound manifest."""
    if not isinstance(backend, Backend):
        raise LoadFault(f"its {source} returned {type(backend).__name__}, not a Backend")
    if not isinstance(backend.api, int) or isinstance(backend.api, bool):
        raise LoadFault(f"Backend.api must be an integer, is {backend.api!r}")
    if backend.api not in (API, API - 1):
        raise LoadFault(f"plugin API {backend.api}", api=backend.api)
    found = _guard("checking its manifest", lambda: list(faults(backend, name)))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise LoadFault(found[0] + more)


def one_line(error: BaseException) -> str:
    """The exception's type and its message with lines joined, cut at 300 characters."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else text[:297] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def trace(error: BaseException) -> str:
    """The exception's traceback as text."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
