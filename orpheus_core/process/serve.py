"""The child's end: makes the object, then does what it is asked, one request after another."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from orpheus_core.errors import OrpheusError, UsageError
from orpheus_core.plugin import resolve
from orpheus_core.process.child import OUT_OF_MEMORY, receive, send

__all__ = ["serve"]

_LONGEST = 2000


def serve(memory: int | None, cpus: Sequence[int] | None, parent: int, quiet: bool) -> None:
    """Answer requests on stdin until it is closed.

    The first is the reference and what the object is made from, all others a method and its arguments. An answer is
    ``("ok", result)``, ``("raised", typed error)`` or ``(kind, text)``; before it any number of ``("note", text)``.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a backend prints is no answer
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    _die_with(parent)
    if quiet:
        warnings.simplefilter("ignore")  # of libraries about their own future

    def note(text: str) -> None:
        send(answers, pickle.dumps(("note", text)))

    made: Any = None
    with contextlib.suppress(BrokenPipeError):
        while (message := receive(requests)) is not None:
            is_first = made is None
            if is_first:
                work: Callable[[], Any] = partial(_made, message, note, memory, cpus)
            else:
                work = partial(_asked, made, message)
            kind, answer = _answer(work)
            if is_first and kind == "ok":
                made, answer = answer, None
            send(answers, _packed(kind, answer))
            if made is None:
                return


def _made(message: bytes, note: Callable[[str], None], memory: int | None, cpus: Sequence[int] | None) -> Any:
    _confine(memory, cpus)
    reference, given = pickle.loads(message)
    if ":" in reference:
        return resolve(reference)(note, *given)
    return _Functions(importlib.import_module(reference))


def _asked(made: Any, message: bytes) -> Any:
    method, given, named = pickle.loads(message)
    return getattr(made, method)(*given, **named)


class _Functions:
    """A module's functions, called with a state that lasts."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._state = module, dict[str, Any]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(getattr(self._module, name), self._state)


def _answer(work: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "ok", work()
    except OrpheusError as error:
        return "raised", error
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST]}"
        return "out of memory" if _is_memory(error) else "failed", text


def _packed(kind: str, answer: Any) -> bytes:
    """The answer as bytes; what cannot cross is a failure that says so."""
    try:
        packed = pickle.dumps((kind, answer))
        if kind == "raised":
            pickle.loads(packed)  # an error whose constructor wants more than its text
    except Exception as error:
        told = (
            str(answer) if kind == "raised" else f"its answer cannot cross: {type(error).__name__}: {error}"
        )
        packed = pickle.dumps(("failed", told))
    return packed


def _is_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
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
