"""Energy counters of the system: RAPL through powercap, and rails that hwmon offers as ``energy*_input``.

Both count microjoules. RAPL's wrap at ``max_energy_range_uj``; since CVE-2020-8694 most systems let only root read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orpheus_core.errors import BackendError

__all__ = ["Counters", "open_hwmon", "open_rapl"]

_RAPL = "sys/class/powercap/intel-rapl:[0-9]*"
_HWMON = "sys/class/hwmon/hwmon*/energy*_input"
_ROOT = Path("/")


@dataclass(frozen=True)
class _Counter:
    path: Path
    wraps: int | None

    def read(self) -> int:
        return int(self.path.read_text())


class Counters:
    """A context manager: joules between its entry and its exit, by the counter's name, in ``joules``.

    A counter that wraps may do so once in between: at 250 W a package's does every 17 minutes.
    """

    def __init__(self, counters: Mapping[str, _Counter]) -> None:
        self._counters = counters
        self._begun: dict[str, int] = {}
        self.joules: dict[str, float] = {}

    def __enter__(self) -> Counters:
        self._begun = {name: counter.read() for name, counter in self._counters.items()}
        return self

    def __exit__(self, *_: object) -> None:
        self.joules = {}
        for name, counter in self._counters.items():
            used = counter.read() - self._begun[name]
            if used < 0 and counter.wraps is not None:
                used += counter.wraps
            self.joules[name] = used / 1e6


def open_rapl(root: Path = _ROOT) -> Counters:
    """Every package's counter (not those of its parts, which it holds). BackendError says why there is none."""
    found = {}
    for folder in sorted(p for p in root.glob(_RAPL) if p.name.count(":") == 1):
        name = _text(folder / "name") or folder.name
        try:
            wraps = int((folder / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            wraps = None
        found[f"{name} ({folder.name})"] = _Counter(folder / "energy_uj", wraps)
    return _readable(found, "RAPL: this system has no powercap counters")


def open_hwmon(root: Path = _ROOT) -> Counters:
    """Every energy counter of hwmon, as boards with a power monitor have. BackendError says why there is none."""
    found = {}
    for path in sorted(root.glob(_HWMON)):
        label = _text(path.with_name(path.name.replace("_input", "_label"))) or path.name
        found[f"{_text(path.parent / 'name') or path.parent.name} {label}"] = _Counter(path, None)
    return _readable(found, "hwmon: this system has no energy counters")


def _readable(found: Mapping[str, _Counter], reason: str) -> Counters:
    if not found:
        raise BackendError(reason)
    for name, counter in found.items():
        try:
            counter.read()
        except PermissionError:
            raise BackendError(
                f"{name}: {counter.path} may not be read (try: sudo chmod a+r {counter.path})"
            ) from None
        except (OSError, ValueError) as error:
            raise BackendError(f"{name}: {counter.path} cannot be read: {error}") from error
    return Counters(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
