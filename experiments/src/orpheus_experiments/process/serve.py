"""The child's end: does what it is asked, one request after another, and types what goes wrong."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from orpheus_core.errors import (
    BackendError,
    InputError,
    KernelError,
    ModelError,
    OrpheusError,
    SelectionError,
    UnsupportedModelError,
    UsageError,
)  # fmt: skip
from orpheus_experiments.process.child import ChildError

__all__ = ["kind_of", "serve"]


def serve(module: str, memory: int | None, cpus: Sequence[int] | None, parent: int) -> None:
    """Answer requests on stdin until it is closed.

    A request is ``{"work", "given"}``: a public function of ``module``, called with a state that lasts and the given
    keywords; the answer is ``{"ok": result}`` or ``{"failed": {"kind", "message"}}``.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what an engine prints is no answer
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    _die_with(parent)
    warnings.simplefilter("ignore")  # of libraries about their own future
    works: Any = None
    state: dict[str, Any] = {}
    while line := requests.readline():
        request = json.loads(line)
        try:
            if works is None:
                _confine(memory, cpus)
                works = importlib.import_module(module)
            answer = {"ok": getattr(works, request["work"])(state, **request["given"])}
            text = json.dumps(answer)
        except Exception as error:
            message = " ".join(str(error).split())[:2000]
            if not isinstance(error, OrpheusError):
                message = f"{type(error).__name__}: {message}"
            text = json.dumps({"failed": {"kind": kind_of(error), "message": message}})
        try:
            answers.write(text.encode() + b"\n")
            answers.flush()
        except OSError:
            return


def kind_of(error: BaseException) -> str:
    """How a record calls an error."""
    if isinstance(error, ChildError):
        return error.kind
    if _is_memory(error):
        return "out of memory"
    if isinstance(error, KernelError):
        return "failed"
    if isinstance(error, UnsupportedModelError):
        return "unsupported"
    if isinstance(error, ModelError):
        return "model"
    refusals = (BackendError, SelectionError, UsageError, InputError)
    return "refused" if isinstance(error, refusals) else "failed"


def _is_memory(error: BaseException | None) -> bool:
    while error is not None:
        lacks = isinstance(error, OSError) and error.errno == errno.ENOMEM
        if lacks or isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _confine(memory: int | None, cpus: Sequence[int] | None) -> None:
    if cpus is not None:
        if not hasattr(os, "sched_setaffinity"):
            raise UsageError("this system cannot pin a process to processors")
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            raise UsageError(f"cannot run on processors {list(cpus)}: {error.strerror}") from error
    if memory is not None:
        try:
            resource: Any = importlib.import_module("resource")
        except ImportError:
            raise UsageError("this system cannot limit the memory of a process") from None
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _die_with(parent: int) -> None:
    # A stopped process would outlive a parent that was killed: it cannot notice that the pipe is closed.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG; Linux only
        if os.getppid() != parent:  # it died before the call
            sys.exit(1)
