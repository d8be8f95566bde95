"""Whole engines to compare with, by name: which are installed, and a model loaded into one of them."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx

from orpheus_core import discovery
from orpheus_core.errors import BackendError, InputError, ModelError, OrpheusError
from orpheus_core.importer import bind_shapes, load
from orpheus_core.plugin import Engine, RuntimeSpec, resolve
from orpheus_core.types import Array, Dim, TensorType

#: How an engine is told from a backend: ``peer:onnxruntime``.
PREFIX = "peer:"


def peers() -> dict[str, RuntimeSpec]:
    """Every engine that a plugin offers, installed or not, by name."""
    found: dict[str, RuntimeSpec] = {}
    for contribution in discovery.runtimes():
        found.setdefault(contribution.item.name, contribution.item)
    return found


def peer(name: str) -> RuntimeSpec:
    """The engine called ``name``; BackendError, with those there are, when no plugin offers it."""
    known = peers()
    if name not in known:
        there = ", ".join(known) or "none; try: pip install orpheus-experiments"
        raise BackendError(f"no plugin offers the engine {PREFIX}{name}; offered: {there}")
    return known[name]


def absence(spec: RuntimeSpec) -> str | None:
    """None when the engine's packages are installed, else which is not and how to get it. Imports none of them."""
    for module in spec.modules:
        try:
            missing = find_spec(module) is None
        except (ImportError, ValueError):
            missing = True
        if missing:
            return f"not installed: no module {module!r}" + (f"; try: {spec.install}" if spec.install else "")
    return None


def version(spec: RuntimeSpec) -> str:
    """The installed version of the engine; empty when that is not known."""
    try:
        return metadata.version(spec.distribution) if spec.distribution else ""
    except metadata.PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class PeerInput:
    """An input of the model: its name, type as ONNX Runtime writes it, and shape."""

    name: str
    type: str
    shape: tuple[Dim, ...]


@dataclass(frozen=True)
class Source:
    """A model made ready for one engine: the ONNX model's inputs, and the file that the engine loads."""

    inputs: tuple[PeerInput, ...]
    path: Path


def source(
    spec: RuntimeSpec,
    path: str | os.PathLike[str],
    folder: Path,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Source:
    """The model in ``path`` in the engine's own format; files that this takes are written into ``folder``.

    ``shapes`` fixes input shapes; an open first dimension is taken as 1, for some engines know fixed shapes only.
    Raises ModelError for the model, BackendError when the engine is not installed or does not take it.
    """
    _import(spec)
    inputs, found = _static(Path(path), folder, shapes or {})
    if spec.convert is not None:
        with _blaming(spec, f"does not take {Path(path).name}"):
            found = Path(resolve(spec.convert)(found, folder))
    return Source(inputs, found)


def output_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of a model's outputs, in the order in which every engine gives them."""
    return [value.name for value in onnx.load(path, load_external_data=False).graph.output]


class Peer:
    """A model in an engine. ``seconds`` is the time of the load, without imports and conversion.

    Raises BackendError when the engine is not installed or does not load the model.
    """

    def __init__(self, spec: RuntimeSpec, source: Source, threads: int) -> None:
        _import(spec)
        self.spec = spec
        self.inputs = source.inputs
        with _blaming(spec, f"does not load {source.path.name}"):
            load_ = resolve(spec.load)
            start = time.perf_counter()
            self.engine: Engine = load_(source.path, threads)
            self.seconds = time.perf_counter() - start

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], list[Any]]:
        """One inference on ``feeds`` as a call that gives the outputs in order; InputError for wrong names."""
        names = [i.name for i in self.inputs]
        if set(feeds) != set(names):
            raise InputError(f"the model takes {', '.join(names) or 'nothing'}; given: {', '.join(feeds)}")
        with _blaming(self.spec, "does not take the inputs"):
            step = self.engine.bind([feeds[name] for name in names])
        return lambda: list(step())

    @property
    def summary(self) -> str:
        """Version and settings in one line."""
        told = ", ".join(f"{key} {value}" for key, value in self.engine.settings.items())
        name = " ".join(filter(None, (self.spec.name, version(self.spec))))
        return f"{name}: {told}"


def _import(spec: RuntimeSpec) -> None:
    reason = absence(spec)
    if reason is not None:
        raise BackendError(f"{PREFIX}{spec.name} is {reason}")
    with _blaming(spec, "cannot be imported"):
        for module in spec.modules:
            importlib.import_module(module)


@contextlib.contextmanager
def _blaming(spec: RuntimeSpec, what: str) -> Iterator[None]:
    """Errors of an engine's own become BackendErrors that name it."""
    try:
        yield
    except OrpheusError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        raise BackendError(f"{PREFIX}{spec.name} {what}: {text}") from error


def _static(
    path: Path, folder: Path, shapes: Mapping[str, Sequence[int]]
) -> tuple[tuple[PeerInput, ...], Path]:
    """The model's inputs, and the file to load: ``path`` itself when its shapes are fixed, else a copy in ``folder``.

    The importer reads it first, so that what an engine is given has been checked. Raises ModelError.
    """
    graph = load(path).graph
    required = [v for v in graph.inputs if v not in graph.defaults]
    open_ = {
        v.name: (1, *v.type.shape[1:])
        for v in required
        if isinstance(v.type, TensorType) and v.type.shape and not isinstance(v.type.shape[0], int)
    }
    wanted = {**open_, **{name: tuple(shape) for name, shape in shapes.items()}}
    if wanted:
        bind_shapes(graph, shapes)
    inputs = []
    for value in required:
        if not isinstance(value.type, TensorType) or value.type.shape is None:
            raise ModelError(f"input {value.name!r} is not a tensor of known rank, which engines need")
        word = {"float32": "float", "float64": "double"}.get(value.type.dtype.value, value.type.dtype.value)
        shape = tuple(wanted.get(value.name, value.type.shape))
        inputs.append(PeerInput(value.name, f"tensor({word})", shape))
    if wanted:
        path = _fixed(path, folder, wanted)
    return tuple(inputs), path


def _fixed(path: Path, folder: Path, shapes: Mapping[str, Sequence[Dim]]) -> Path:
    model = onnx.load(path)
    for value in model.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ())):
            if isinstance(size, int):
                dim.dim_value = size
    for value in model.graph.output:  # what follows is the engine's to infer
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    target = folder / "fixed.onnx"
    onnx.save(model, target)
    return target
