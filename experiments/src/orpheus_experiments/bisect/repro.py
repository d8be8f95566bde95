"""The difference on its own: the parting layer as a small model, its inputs, and how to replay it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import onnx

from orpheus_core.discovery import split
from orpheus_core.errors import OrpheusError, UsageError
from orpheus_core.graph import Value
from orpheus_core.importer import to_onnx
from orpheus_core.process import Child
from orpheus_experiments.bisect.found import Bisection
from orpheus_experiments.bisect.side import Captured, Setting, reference_to
from orpheus_experiments.layer.exact import apart, expand
from orpheus_experiments.layer.study import plain

__all__ = ["Repro", "write_repro"]


@dataclass(frozen=True)
class Repro:
    """What was written: the folder, the command that replays it, and the difference found on replaying it at once.

    ``replayed`` is None when a side did not run the small model; ``reason`` says why.
    """

    folder: Path
    command: str
    difference: float
    replayed: float | None
    reason: str = ""

    @property
    def is_same(self) -> bool:
        """Whether the replayed difference is of the size of the one found in the network."""
        return self.replayed is not None and self.replayed >= 0.5 * self.difference


def write_repro(
    found: Bisection, settings: tuple[Setting, Setting], folder: Path, *, timeout: float = 600.0
) -> Repro:
    """Write the first parting of ``found`` into ``folder`` and replay it.

    ``model.onnx`` holds the layer in standard operators (a fused one taken apart, so that any engine reads it and
    fuses it again), ``NAME.npy`` its inputs as the side at fault had them, ``difference.json`` the facts. Each side is
    pinned to the kernel that it ran in the network, where the small model leads to the same operator. Raises UsageError
    when nothing parts or the folder cannot be written.
    """
    first = found.first
    if first is None:
        raise UsageError("the sides do not part at any layer, so there is nothing to write")
    segment, given_a, given_b = found.segments[first.value]
    arrays = given_b if first.b.is_at_fault or not first.a.is_at_fault else given_a
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A copy: names are the segment's own, and what was an inner value of the network is an input here.
        graph, _ = expand(segment).fresh()
        files = _files(graph.inputs)
        onnx.save(to_onnx(graph), folder / "model.onnx")
        for name, array in arrays.items():
            np.save(folder / files[name], array, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror or error}") from error
    path = str(folder / "model.onnx")
    small = [_pinned(s, path, fact.kernel) for s, fact in zip(settings, (first.a, first.b))]
    replayed, reason = None, ""
    try:
        results = []
        for index, setting in enumerate(small):
            small[index], outputs = _run(setting, arrays, timeout)
            results.append(outputs)
        replayed = max((apart(a, b) for a, b in zip(*results)), default=0.0)
    except OrpheusError as error:
        reason = str(error)
    command = _command(small, files, folder, found)
    facts = {"command": command, "difference": first.difference, "replayed": replayed, "reason": reason}
    text = json.dumps(plain({**facts, **found.to_json(), "boundaries": []}), indent=2)
    (folder / "difference.json").write_text(text, encoding="utf-8")
    return Repro(folder, command, first.difference, replayed, reason)


def _files(inputs: tuple[Value, ...]) -> dict[str, str]:
    """File names by input, free of what a file's name should not have."""
    files: dict[str, str] = {}
    for number, value in enumerate(inputs):
        stem = re.sub(r"[^\w.-]", "_", value.name)
        taken = {f.casefold() for f in files.values()}
        files[value.name] = f"{stem}.npy" if f"{stem}.npy".casefold() not in taken else f"{stem}.{number}.npy"
    return files


def _pinned(setting: Setting, path: str, kernel: str) -> Setting:
    """The side on the small model, with its kernel in the network pinned."""
    pins = {}
    backend, rest = split(kernel)
    if not setting.is_engine and backend == setting.backend:
        pins[rest.rpartition("/")[0]] = kernel
    return replace(setting, model=path, shapes={}, pins=pins)


def _run(setting: Setting, arrays: Mapping[str, Any], timeout: float) -> tuple[Setting, list[Any]]:
    """Outputs of a side, and how it ran: without the pin when the small model has no node that it fits."""
    try:
        return setting, _captured(setting, arrays, timeout)
    except OrpheusError:
        if not setting.pins:
            raise
        free = replace(setting, pins={})
        return free, _captured(free, arrays, timeout)


def _captured(setting: Setting, arrays: Mapping[str, Any], timeout: float) -> list[Any]:
    with Child(reference_to(setting), setting, timeout=timeout) as child:
        got: Captured = child.call("capture", dict(arrays), [])
    return list(got.outputs)


def _command(settings: Sequence[Setting], files: Mapping[str, str], folder: Path, found: Bisection) -> str:
    sides = []
    for setting in settings:
        pins = "+".join(split(kernel)[1] for kernel in setting.pins.values())
        sides.append(f"{setting.backend}:{pins}" if pins else setting.backend)
    inputs = "".join(f" -i {quote(f'{name}={folder / file}')}" for name, file in files.items())
    bound = "" if found.bound is None else f" --bound {found.bound:g}"
    threads = f" --threads {settings[0].threads}"
    return f"orpheus bisect {quote(str(folder / 'model.onnx'))} -b {','.join(sides)}{threads}{bound}{inputs}"
