"""The list of plugins: found once, kept, replaceable for tests and notebooks."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from orpheus_core.discovery.state import BackendState, Broken, Disabled, State
from orpheus_core.errors import BackendError, OrpheusError, UsageError
from orpheus_core.plugin import Backend, Command, Meter, PassSpec, RuntimeSpec, resolve

if sys.version_info >= (3, 12):
    from importlib.metadata import entry_points
else:
    from importlib_metadata import entry_points

GROUP = "orpheus.backends"
VARIABLE = "ORPHEUS_BACKENDS"
#: ``Backend.rank`` of a reference, which computes what nobody else does: who stands behind it runs where it is named.
REFERENCE_RANK = 1000
T = TypeVar("T")
_log = logging.getLogger("orpheus.discovery")
_lock = threading.RLock()
_installed: dict[str, list[BackendState]] | None = None
_registered: dict[str, BackendState] = {}
_hide_installed = False


@dataclass(frozen=True)
class Contribution(Generic[T]):
    """Something a plugin adds through a hook, and the plugin's name."""

    plugin: str
    item: T


def backends() -> tuple[BackendState, ...]:
    """Every installed or registered plugin, sorted by name. Finding them imports none of them.

    Raises UsageError when ``ORPHEUS_BACKENDS`` names something that is not installed.
    """
    with _lock:
        rows = [row for twins in _find().values() for row in twins if row.name not in _registered]
        return tuple(sorted((*rows, *_registered.values()), key=lambda row: (row.name, row.distribution)))


def refresh() -> None:
    """Forget what was found, so that the next call looks again; registered backends stay."""
    global _installed
    with _lock:
        _installed = None


def register(backend: Backend | Any, name: str | None = None) -> BackendState:
    """Add a backend that is not installed, for a test or a notebook; replaces one of the same name.

    Takes a Backend, or a plugin object with hooks and the ``name`` to give it. Raises BackendError, and adds
    nothing, when its manifest is not sound.
    """
    if name is None:
        if not isinstance(backend, Backend):
            raise UsageError("register: name= is needed for a plugin object that is not a Backend")
        name = backend.name
    row = BackendState(name, lambda: backend, "(registered)")
    if row.kind == "unknown":
        raise BackendError(f"backend {name!r} cannot be registered: {row.reason}") from row.cause
    with _lock:
        _registered[name] = row
    return row


def unregister(name: str) -> None:
    """Take back :func:`register`; an installed backend of that name shows again."""
    with _lock:
        _registered.pop(name, None)


@contextlib.contextmanager
def override(*plugins: Backend, keep_installed: bool = False) -> Iterator[None]:
    """Within the block exactly these backends exist (and the installed ones, with ``keep_installed``)."""
    global _hide_installed, _registered
    with _lock:
        before = (_hide_installed, _registered)
        _hide_installed, _registered = not keep_installed, {}
    try:
        for plugin in plugins:
            register(plugin)
        yield
    finally:
        with _lock:
            _hide_installed, _registered = before


def row(name: str) -> BackendState:
    """The row of one plugin; BackendError, with what is installed and how to get it, when there is none."""
    with _lock:
        if name in _registered:
            return _registered[name]
        twins = _find().get(name)
    if twins:
        return twins[0]
    names = [r.name for r in backends()]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"try: pip install orpheus-{name.partition(':')[0]}"
    raise BackendError(f"backend {name!r} is not installed; installed: {', '.join(names) or 'none'}; {hint}")


def split(text: str) -> tuple[str, str]:
    """``backend:rest`` in its two parts; of installed backends whose own name has a colon, the longest that fits."""
    fits = [r.name for r in backends() if f"{text}:".startswith(f"{r.name}:")]
    name = max(fits, key=len, default=text.partition(":")[0])
    return name, text[len(name) + 1 :]


def get(name: str, options: Mapping[str, Any] | None = None) -> Backend:
    """The backend called ``name``, usable here, as the provider ``options`` ask for it.

    Raises BackendError, chained to its cause, when it is absent, broken, incompatible, disabled or unavailable;
    UsageError for options that it does not take.
    """
    found = row(name)
    if found.ready and found.backend is not None:
        return _configured(found, found.backend, options) if options else found.backend
    if found.ready:
        raise BackendError(f"{name!r} ({found.distribution}) is an extension; it offers no kernels")
    others = [b.name for b in default_order() if b.name != name]
    origin = f" ({found.distribution} {found.version})".replace(" )", ")") if found.distribution else ""
    parts = [f"backend {name!r}{origin} is {found.status}: {found.reason}"]
    parts += [f"to fix: {found.fix}"] if found.fix else []
    parts.append(f"ready: {', '.join(others) or 'none'}")
    raise BackendError("; ".join(parts)) from found.cause


def _configured(found: BackendState, backend: Backend, options: Mapping[str, Any]) -> Backend:
    if backend.configure is None:
        raise UsageError(f"backend {found.name!r} takes no provider options, given {dict(options)!r}")
    try:
        made = resolve(backend.configure)(backend, dict(options))
    except OrpheusError:
        raise
    except Exception as error:
        text = f"backend {found.name!r}: configure failed: {type(error).__name__}: {error}"
        raise BackendError(text) from error
    if not isinstance(made, Backend) or made.name != backend.name or made.device.kind != backend.device.kind:
        raise BackendError(
            f"backend {found.name!r}: configure gave {made!r}, not itself on a device of its kind"
        )
    return made


def default_order() -> tuple[Backend, ...]:
    """Every ready backend, most preferred first: by ``Backend.rank``, then name. Loads and probes them all."""
    return _ordered(r for r in backends() if r.kind == "backend")


def volunteers() -> tuple[Backend, ...]:
    """Those of :func:`default_order` that a session takes unasked: no reference stands before them. Probes no other."""
    rows = (r for r in backends() if r.kind == "backend")
    return _ordered(r for r in rows if r.backend is not None and r.backend.rank <= REFERENCE_RANK)


def _ordered(rows: Iterable[BackendState]) -> tuple[Backend, ...]:
    ready = [r.backend for r in rows if r.ready]
    return tuple(sorted((b for b in ready if b is not None), key=lambda b: (b.rank, b.name)))


def commands() -> tuple[Contribution[Command], ...]:
    """The CLI verbs that plugins add."""
    return _collect("orpheus_commands", Command)


def passes() -> tuple[Contribution[PassSpec], ...]:
    """The graph rewrites that plugins add."""
    return _collect("orpheus_passes", PassSpec)


def runtimes() -> tuple[Contribution[RuntimeSpec], ...]:
    """The whole engines that plugins offer to compare with."""
    return _collect("orpheus_runtimes", RuntimeSpec)


def meters() -> tuple[Contribution[Meter], ...]:
    """The energy and memory meters that plugins add."""
    return _collect("orpheus_meters", Meter)


def _collect(hook: str, kind: type[T]) -> tuple[Contribution[T], ...]:
    found: list[Contribution[T]] = []
    for plugin in backends():
        found += [Contribution(plugin.name, item) for item in plugin.contributions(hook, kind)]
        fault = plugin.hook_fault(hook)
        if fault is not None:
            _log.warning("plugin %s (%s): %s", plugin.name, plugin.distribution, fault)
    return tuple(found)


def _find() -> dict[str, list[BackendState]]:
    """Installed plugins by name; more than one under a name when two distributions claim it."""
    global _installed
    if _hide_installed:
        return {}
    if _installed is None:
        found = list(entry_points(group=GROUP))
        allowed = _allowed({ep.name for ep in found})
        counts = Counter(ep.name for ep in found)
        claims = {name: sorted(_origin(ep) for ep in found if ep.name == name) for name in counts}
        table: dict[str, list[BackendState]] = {}
        for ep in found:
            refused: State | None = None
            if allowed is not None and ep.name not in allowed:
                refused = Disabled(f"{VARIABLE}={os.environ[VARIABLE]} leaves it out")
            elif counts[ep.name] > 1:
                both = " and ".join(claims[ep.name])
                refused = Broken(f"{both} both offer {ep.name!r}", fix="uninstall one of them")
            dist = ep.dist
            name, version = (dist.name, dist.version) if dist is not None else ("", "")
            table.setdefault(ep.name, []).append(BackendState(ep.name, ep.load, name, version, refused))
        _installed = table
    return _installed


def _origin(entry_point: Any) -> str:
    dist = entry_point.dist
    return f"{dist.name} {dist.version}" if dist is not None else entry_point.value


def _allowed(names: set[str]) -> set[str] | None:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    asked = [part.strip() for part in text.split(",")]
    unknown = sorted(set(asked) - names)
    if unknown:
        raise UsageError(
            f"{VARIABLE}={text}: {', '.join(repr(u) for u in unknown)} not installed; "
            f"installed: {', '.join(sorted(names)) or 'none'}"
        )
    return set(asked)
