"""Loading shared libraries from where they may be, and why one does not load, where the system misleads.

To Linux a file of another machine is not there. Ground floor: it imports nothing of Orpheus but its errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from orpheus_core.errors import BackendError

_T = TypeVar("_T")
#: Machines in the header of an ELF file; source: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
_MACHINES = {3: "x86", 22: "S/390", 40: "32-bit Arm", 62: "x86-64", 183: "AArch64", 243: "RISC-V"}


def first_usable(
    places: Iterable[str], load: Callable[[str], _T], *, variable: str, fix: str, nowhere: str = ""
) -> _T:
    """What ``load`` makes of the first place that it can use, or of the one that the environment's ``variable`` names.

    ``load`` raises OSError or BackendError for a place that it cannot use. BackendError with all reasons, or
    ``nowhere`` where there is no place, and what helps behind "; to fix: ".
    """
    named = os.environ.get(variable, "").strip()
    reasons: dict[str, None] = {}
    for place in [named] if named else places:
        try:
            return load(place)
        except (OSError, BackendError) as error:
            reasons[why_not(place, error) if isinstance(error, OSError) else str(error)] = None
    unset = f"unset {variable} and " if named else ""
    raise BackendError(f"{'; '.join(reasons) or nowhere}; to fix: {unset}{fix}")


def why_not(path: str | Path, error: OSError) -> str:
    """What the loader's ``error`` says of ``path``, or for which machine that is where it is not for this one."""
    its, mine = _machine(Path(path)), _machine(Path("/proc/self/exe"))
    if its is not None and mine is not None and its != mine:
        return f"{path} is built for {its}, and this Python for {mine}"
    return f"{path} does not load: {str(error).removeprefix(f'{path}: ')}"


def _machine(path: Path) -> str | None:
    """The machine that an ELF file is for; None when it is none, or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        return None
    number = int.from_bytes(head[18:], "big" if head[5] == 2 else "little")
    return _MACHINES.get(number, f"machine {number} of the ELF standard")
