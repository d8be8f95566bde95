"""Logs of TVM's tuner MetaSchedule. Where one is not as TVM expects, TVM crashes, so another process reads it first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from orpheus_core.errors import BackendError

__all__ = ["VARIABLE", "checked", "given", "records"]

VARIABLE = "ORPHEUS_TVM_LOG"
_RECORDS = "database_tuning_record.json"
_NAME = "orpheus_experiments.peers.tvm_log"
_WRITES = "writes JSON"
_LIMIT = 600  # seconds; importing TVM takes some of them, a long log the rest


def given() -> Path | None:
    """The directory that ``ORPHEUS_TVM_LOG`` names; BackendError where it has no log."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    log = Path(named)
    if not (log / _RECORDS).is_file():
        raise BackendError(
            f"{VARIABLE} is {named!r}, which has no log of MetaSchedule ({_RECORDS});"
            " python -m orpheus_experiments.peers.tvm MODEL --log DIRECTORY --trials N makes one"
        )
    return log


def records(log: Path) -> Any:
    """The records of ``log`` as a database of MetaSchedule; BackendError for a log that TVM does not read."""
    checked(log)
    return _read(log)


def checked(log: Path) -> None:
    """Have another process write TVM's JSON, and read ``log`` where there is one.

    Raises BackendError for a TVM that crashes at its JSON, as it does with a ``tvm-ffi`` of another version than it was
    built with, and for a log that it does not read.
    """
    command = [sys.executable, "-m", _NAME, str(log)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LIMIT)
    except subprocess.TimeoutExpired:
        raise BackendError(f"TVM did not read the log {log} in {_LIMIT} s") from None
    if done.returncode == 0:
        return
    told = re.search(r"^\S*(Error|Exception): .*", done.stderr, re.MULTILINE)
    reason = told[0][:300] if told else f"it crashes (exit status {done.returncode})"
    if _WRITES not in done.stdout:
        versions = " and ".join(
            f"{name} {metadata.version(name)}" for name in ("apache-tvm", "apache-tvm-ffi")
        )
        raise BackendError(
            f"TVM does not read or write logs here: {reason}. Here are {versions};"
            " pip install 'orpheus-experiments[tvm]' has those that fit"
        )
    raise BackendError(f"TVM does not read the log {log}: {reason}; tune into another directory")


def _read(log: Path) -> Any:
    from tvm.s_tir import meta_schedule

    return meta_schedule.database.JSONDatabase(work_dir=str(log), allow_missing=False)


def _main(log: Path) -> None:
    import tvm

    tvm.ir.load_json(tvm.ir.save_json(tvm.tirx.IntImm("int32", 1)))
    print(_WRITES, flush=True)
    if (log / _RECORDS).is_file():
        _read(log)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
