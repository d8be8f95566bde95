"""From what is asked to trials: every name is checked here, before anything is measured."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from orpheus_core import discovery
from orpheus_core.cli.comparison import parse_variant
from orpheus_core.errors import BackendError, UsageError
from orpheus_core.peers import PREFIX, peer
from orpheus_experiments.noise.processor import cores
from orpheus_experiments.trial import ModelRef, Trial
from orpheus_experiments.trial.models import digest
from orpheus_experiments.zoo import names as zoo_names

__all__ = ["AGAIN", "Group", "groups", "model_refs", "processors"]

#: What an engine's second entry is called in an A/A comparison.
AGAIN = " (again)"


@dataclass(frozen=True)
class Group:
    """Trials that are compared with each other, and so take turns: all but the engine is the same."""

    title: str
    labels: tuple[str, ...]
    trials: tuple[Trial, ...]


def groups(
    models: Iterable[str | os.PathLike[str] | ModelRef],
    engines: Sequence[str] | None,
    threads: Sequence[int],
    batches: Sequence[int],
    settings: Trial,
    *,
    pin: Sequence[int] | bool = False,
    twice: bool = False,
) -> list[Group]:
    """One group for each model, thread count and batch; ``settings`` gives the rest.

    ``engines`` None are all ready backends. ``pin`` True takes as many processors as there are threads, cores before
    their siblings. ``twice`` enters each engine two times. UsageError or BackendError for what does not exist.
    """
    specs = list(engines) if engines is not None else [b.name for b in discovery.default_order()]
    if not specs:
        raise BackendError("no backend is ready; `orpheus backends` tells why")
    if len(set(specs)) != len(specs):
        raise UsageError(f"an engine is named twice: {', '.join(specs)}")
    variants = [(spec, _variant(spec, settings)) for spec in specs]
    found = []
    for ref, count, batch in product(model_refs(models), threads, batches):
        labels, trials = [], []
        for spec, variant in variants:
            cpus = processors(count * settings.streams, pin)
            trial = replace(variant, model=ref, threads=count, batch=batch, cpus=cpus)
            for label in (spec, spec + AGAIN) if twice else (spec,):
                labels.append(label)
                trials.append(trial)
        streams = f", {settings.streams} streams" if settings.streams > 1 else ""
        title = f"{ref.name}, threads {count}, batch {batch}, {settings.scenario}{streams}"
        found.append(Group(title, tuple(labels), tuple(trials)))
    return found


def model_refs(models: Iterable[str | os.PathLike[str] | ModelRef]) -> list[ModelRef]:
    """Files, networks of the zoo, and all models in folders; UsageError for anything else."""
    found: list[ModelRef] = []
    for asked in models:
        if isinstance(asked, ModelRef):
            found.append(asked)
            continue
        path = Path(asked)
        if path.is_dir():
            inside = sorted(path.rglob("*.onnx"))
            if not inside:
                raise UsageError(f"there is no .onnx file in the folder {path}")
            found += [_file(p) for p in inside]
        elif path.exists():
            found.append(_file(path))
        elif str(asked) in zoo_names():
            found.append(ModelRef(zoo=str(asked)))
        else:
            close = difflib.get_close_matches(str(asked), zoo_names(), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f" ({', '.join(zoo_names())})"
            raise UsageError(f"{asked} is neither a file or folder nor a network of the zoo{hint}")
    if not found:
        raise UsageError("no model was given")
    return found


def processors(count: int, pin: Sequence[int] | bool) -> tuple[int, ...] | None:
    """The processors to run on: those given, or ``count`` of the usable ones when ``pin`` is True, or None."""
    if pin is False:
        return None
    if pin is not True:
        return tuple(pin)
    usable = cores()
    if len(usable) < count:
        raise UsageError(f"cannot pin {count} threads to processors of their own: {len(usable)} are usable")
    return tuple(usable[:count])


def _file(path: Path) -> ModelRef:
    try:
        return ModelRef(path=str(path.resolve()), sha256=digest(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _variant(spec: str, settings: Trial) -> Trial:
    """The settings on the engine that ``spec`` names: ``a+b``, ``backend:Op/kernel``, ``peer:x``."""
    if spec.startswith(PREFIX):
        peer(spec[len(PREFIX) :])
        return replace(settings, engine=spec, kernels={}, policy=None, tuned=False)
    backend, rest = discovery.split(spec.partition("+")[0])
    if rest and any(r.name == backend for r in discovery.backends()):
        variant = parse_variant(spec)
        discovery.row(variant.backend)
        return replace(settings, engine=variant.backend, kernels={**settings.kernels, **variant.pins})
    for name in spec.split("+"):
        discovery.row(name)
    return replace(settings, engine=spec.replace("+", ","))
