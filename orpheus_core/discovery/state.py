"""One plugin's row: loaded when first looked into, probed when its state is asked for, never fatal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias, Union

from orpheus_core.discovery.load import Loaded, LoadFault, check, load, one_line, trace
from orpheus_core.discovery.validate import suspicions
from orpheus_core.plugin import API, Backend, Ready, Unavailable, resolve


@dataclass(frozen=True)
class Broken:
    """The plugin cannot be used because of a defect of its own or of its installation."""

    reason: str
    traceback: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Incompatible:
    """The plugin was written for another version of the plugin interface."""

    api: int

    @property
    def reason(self) -> str:
        """What the plugin speaks and what is accepted."""
        return f"it speaks plugin API {self.api}; this core accepts {API - 1} and {API}"

    @property
    def fix(self) -> str:
        """Which of the two to upgrade."""
        return "upgrade orpheus-core" if self.api > API else "upgrade the plugin"


@dataclass(frozen=True)
class Disabled:
    """The plugin is installed but was switched off, so it was not even imported."""

    reason: str
    fix: str = "add its name to ORPHEUS_BACKENDS, or unset it"


State: TypeAlias = Union[Ready, Broken, Incompatible, Disabled, Unavailable]


class BackendState:
    """A plugin: where it comes from, what it offers, and whether it is usable here.

    ``source`` gives the plugin object (a module, usually) or a Backend. ``refused`` is a state that is known
    without loading it. ``cause`` is the exception behind a state that is not Ready, if there was one.
    """

    def __init__(
        self,
        name: str,
        source: Callable[[], Any],
        distribution: str = "",
        version: str = "",
        refused: State | None = None,
    ) -> None:
        self.name = name
        self.distribution = distribution
        self.version = version
        self.cause: BaseException | None = None
        self._source = source
        self._refused = refused
        self._lock = threading.RLock()
        self._outcome: Loaded | State | None = None
        self._state: State | None = None
        self._hook_faults: dict[str, str] = {}

    def _load(self) -> Loaded | State:
        with self._lock:
            if self._outcome is None:
                self._outcome = self._refused or self._load_now()
            return self._outcome

    def _load_now(self) -> Loaded | State:
        try:
            return load(self.name, self._source)
        except LoadFault as fault:
            self.cause = fault.__cause__ or fault
            if fault.api is not None:
                return Incompatible(fault.api)
            return Broken(str(fault), trace(self.cause))

    @property
    def backend(self) -> Backend | None:
        """The manifest, or None when the plugin offers no backend or could not be loaded.

        Kernels that the library itself has to tell (``Backend.complete``) are in it once it was found ready.
        """
        loaded = self._load()
        return loaded.backend if isinstance(loaded, Loaded) else None

    @property
    def kind(self) -> str:
        """``backend``; ``extension`` for a plugin that offers other hooks only; ``unknown`` when not loaded."""
        loaded = self._load()
        if not isinstance(loaded, Loaded):
            return "unknown"
        return "extension" if loaded.backend is None else "backend"

    @property
    def state(self) -> State:
        """Whether it is usable here. The first call loads the plugin and runs its probe."""
        with self._lock:
            if self._state is None:
                loaded = self._load()
                self._state = self._complete(loaded) if isinstance(loaded, Loaded) else loaded
            return self._state

    def _complete(self, loaded: Loaded) -> State:
        state, backend = self._probe(loaded.backend), loaded.backend
        if backend is None or backend.complete is None or not isinstance(state, Ready):
            return state
        try:
            whole = resolve(backend.complete)(backend)
            check(whole, self.name, "complete")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.cause = error
            return Broken(f"completing its manifest raised {one_line(error)}", trace(error))
        # A copy that is registered for itself, with fewer kernels or watched ones, is not to get these again.
        self._outcome = replace(loaded, backend=replace(whole, complete=None))
        return state

    def _probe(self, backend: Backend | None) -> State:
        if backend is None or backend.probe is None:
            return Ready()
        try:
            answer = resolve(backend.probe)()
        except KeyboardInterrupt:
            raise
        except (ImportError, OSError) as error:
            # A library that the plugin needs is absent: the machine's state, not the plugin's defect.
            self.cause = error
            return Unavailable(
                one_line(error), f"see the installation notes of {self.distribution or self.name}"
            )
        except BaseException as error:
            self.cause = error
            return Broken(f"its probe raised {one_line(error)}", trace(error))
        if isinstance(answer, (Ready, Unavailable)):
            return answer
        return Broken(f"its probe returned {answer!r}, not Ready or Unavailable")

    @property
    def ready(self) -> bool:
        """Whether it is usable here; loads and probes it."""
        return isinstance(self.state, Ready)

    @property
    def status(self) -> str:
        """The state in one word: ready, broken, incompatible, disabled or unavailable."""
        return type(self.state).__name__.lower()

    @property
    def reason(self) -> str:
        """Why it is not usable, or what its probe found."""
        state = self.state
        return state.detail if isinstance(state, Ready) else state.reason

    @property
    def fix(self) -> str:
        """What would make it usable; empty when it is, or when nothing is known."""
        state = self.state
        return "" if isinstance(state, Ready) else state.fix

    @property
    def devices(self) -> tuple[str, ...]:
        """A line for each device that there is to choose from; none when it is not usable or has but one."""
        return self.state.devices if isinstance(self.state, Ready) else ()

    @cached_property
    def _suspicions(self) -> tuple[str, ...]:
        backend = self.backend
        return () if backend is None else tuple(suspicions(backend))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Defects that leave the rest of the plugin usable: kernels that can never run, hooks that raise."""
        return (*self._suspicions, *self._hook_faults.values())

    def contributions(self, hook: str, kind: type[Any]) -> Sequence[Any]:
        """What the hook ``hook`` gives, empty when it raises or gives anything but a sequence of ``kind``.

        The defect is then one of :attr:`warnings`.
        """
        loaded = self._load()
        if not isinstance(loaded, Loaded):
            return ()
        try:
            items = tuple(getattr(loaded.manager.hook, hook)() or ())
            strange = [item for item in items if not isinstance(item, kind)]
            if strange:
                raise TypeError(f"it gave {strange[0]!r}, which is not a {kind.__name__}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._hook_faults[hook] = f"hook {hook} failed: {one_line(error)}"
            return ()
        return items

    def hook_fault(self, hook: str) -> str | None:
        """What went wrong in :meth:`contributions` of this hook, or None."""
        return self._hook_faults.get(hook)

    def __repr__(self) -> str:
        return f"BackendState({self.name!r}, {self.distribution} {self.version})"
