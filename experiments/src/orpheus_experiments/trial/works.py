"""What a trial's children do, each function one request; arguments and answers are plain data.

``state`` lasts as long as the child: the loaded model, the bound calls, the meters.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core import discovery
from orpheus_core.errors import BackendError, ModelError, UsageError
from orpheus_core.peers import PREFIX, peer, source
from orpheus_core.process import ChildError
from orpheus_core.types import Dim, TensorType
from orpheus_experiments.noise.environment import environment
from orpheus_experiments.timing.device_memory import held
from orpheus_experiments.timing.pages import drop
from orpheus_experiments.timing.place import move, processor
from orpheus_experiments.timing.prime import prime, prime_feeds
from orpheus_experiments.timing.resident import restart_peak, status
from orpheus_experiments.timing.steady import LEAD_IN, samples, warm_up
from orpheus_experiments.timing.streams import together
from orpheus_experiments.trial.engines import OrpheusLoaded, demand, open_engine
from orpheus_experiments.trial.models import files, locate
from orpheus_experiments.trial.reference import compare, images, read, write
from orpheus_experiments.trial.trial import Trial

__all__ = [
    "circumstances", "idle", "layers", "load", "make_reference", "peak", "prepare", "start", "turn", "warm",
]  # fmt: skip

State = dict[str, Any]
_PEAK = 0.5


@dataclass(frozen=True)
class _Input:
    """An input of the model: its name, type as ONNX Runtime writes it, and shape."""

    name: str
    type: str
    shape: tuple[Dim, ...]


def circumstances(_: State, names: Sequence[str]) -> dict[str, Any]:
    """The environment; plugins are loaded for it, which is why a child does it."""
    return environment(names)


def prepare(_: State, trial: str, folder: str) -> dict[str, Any]:
    """The model, and a tiny one, in the engine's own format; what is known of it without running it.

    Gives paths, inputs, the shapes to fix, declared output shapes, bytes on disk, and multiply-accumulates.
    """
    from orpheus_core.importer import bind_shapes
    from orpheus_core.importer import load as read_model
    from orpheus_core.ops.macs import total_macs

    asked, place = Trial.from_json(trial), Path(folder)
    demand(asked.engine)
    path = locate(asked.model, asked.batch)
    graph = read_model(path).graph
    needed = [v for v in graph.inputs if v not in graph.defaults]
    shapes = _shapes(asked, {v.name: _dims(v) for v in needed})
    bound = bind_shapes(graph, shapes) if shapes else graph
    types = {v.name: v.type for v in bound.inputs}
    count, unknown = total_macs(bound)
    made = primed = path
    if asked.is_peer:
        spec = peer(asked.engine[len(PREFIX) :])
        small = place / "prime"
        small.mkdir(parents=True)
        primed = _save(prime(), small / "prime.onnx")
        primed = source(spec, primed, small).path
        made = source(spec, path, place, shapes).path
    else:
        primed = _save(prime(), place / "prime.onnx")
    return {
        "path": str(made),
        "prime": str(primed),
        "onnx": str(path),
        "inputs": [[v.name, _word(types[v.name]), list(_dims_of(types[v.name]))] for v in needed],
        "shapes": {k: list(v) for k, v in shapes.items()},
        "outputs": [_static(v) for v in bound.outputs],
        "bytes": sum(p.stat().st_size for p in files(made)),
        "macs": None if unknown else count,
    }


def make_reference(_: State, trial: str, made: Mapping[str, Any], target: str, exact: bool) -> None:
    """The outputs of the trial's engine, or in float64 when ``exact``, into the file ``target``."""
    asked = Trial.from_json(trial)
    given = images(asked, _inputs(made), made["shapes"])
    bind = None if exact else _open(asked, made).bind
    write(Path(target), given, bind, Path(made["onnx"]))


def load(state: State, trial: str, made: Mapping[str, Any], cold: bool) -> float:
    """Seconds of a load, after a tiny model's; ``cold`` drops the model's files from the page cache before."""
    asked = Trial.from_json(trial)
    _prime(asked, made)
    paths = files(Path(made["path"]))
    if cold:
        drop(paths)
    else:
        for path in paths:
            path.read_bytes()
    seconds: float = _open(asked, made).seconds
    return seconds


def start(state: State, trial: str, made: Mapping[str, Any], reference: str | None) -> dict[str, Any]:
    """Load the model for every stream and run it: load time, memory, results against the ``reference``'s file."""
    asked = Trial.from_json(trial)
    _prime(asked, made)
    for path in files(Path(made["path"])):
        path.read_bytes()  # a warm load
    held_before = held()
    before = restart_peak()
    loaded = [_open(asked, made) for _ in range(asked.streams)]
    first = loaded[0]
    feeds = images(asked, _inputs(made), made["shapes"])
    state["loaded"] = loaded
    state["calls"] = calls = [each.bind(feeds[0]) for each in loaded]
    outputs = [np.array(x) for x in calls[0]()]
    _check_shapes(outputs, made["outputs"])
    for call in calls:
        call()
    after, held_after = status("VmHWM"), held()
    planned = first.session.stats if isinstance(first, OrpheusLoaded) else None
    found: dict[str, Any] = {
        "load": first.seconds,
        "peak_bytes": after,
        "growth_bytes": None if before is None or after is None else max(0, after - before),
        "weight_bytes": planned and int(planned.weight_bytes),
        "arena_bytes": planned and int(planned.arena_bytes),
        "device_bytes": held_after,
        "device_growth_bytes": None if held_after is None else max(0, held_after - (held_before or 0)),
        "settings": first.summary,
    }
    if reference is not None:
        wanted = read(Path(reference))
        got = [outputs, *([np.array(x) for x in first.bind(f)()] for f in feeds[1 : len(wanted)])]
        state["calls"][0] = first.bind(feeds[0])  # some engines have one place for inputs
        error, found["agreement"] = compare(got, wanted)
        found["error"] = None if error == float("inf") else error  # JSON has no infinity
    return found


def warm(state: State, most: float, within: float) -> dict[str, Any]:
    """Run until steady, all streams at once."""
    calls = state["calls"]
    found = warm_up(lambda: together(calls, 1, 0) if len(calls) > 1 else calls[0](), most, within)
    return {"steady": found.steady, "runs": found.runs}


def turn(state: State, runs: int, at_least: float, metered: bool, after: int | None) -> dict[str, Any]:
    """Samples of all streams after a short lead-in, with the energy that was used meanwhile when ``metered``.

    They last as long as the lead-in at least, which is two calls. They begin on the processor ``after`` where one is
    given; told is the one on which they end.
    """
    calls = state["calls"]
    if after is not None:
        move(after)
    begun = time.perf_counter()
    for call in calls:
        samples(call, 2, min(LEAD_IN, at_least / 2) / len(calls))
    at_least = max(at_least, (time.perf_counter() - begun) / len(calls))
    if not metered:
        found = together(calls, runs, at_least)
        joules: dict[str, float] = {}
    else:
        meters = _meters(state)
        with meters:
            found = together(calls, runs, at_least)
        joules = meters.joules
    times = {"wall": found.wall, "cpu": found.cpu, "waited": found.waited}
    return {"samples": found.samples, **times, "joules": joules, "processor": processor()}


def idle(state: State, seconds: float) -> dict[str, float]:
    """Watts of every meter while nothing runs here. ChildError "refused" says why there is no meter."""
    meters = _meters(state)
    begun = time.perf_counter()
    with meters:
        time.sleep(seconds)
    passed = time.perf_counter() - begun
    return {name: joules / passed for name, joules in meters.joules.items()}


def peak(_: State, threads: int) -> dict[str, Any]:
    """FLOP/s in float32 on so many threads (the best of half a second's tries) and memory's bytes/s, with sources."""
    from orpheus_experiments.profile.peak import measured_bandwidth, measured_peak

    backends, end = discovery.default_order(), time.perf_counter() + _PEAK
    found = measured_peak(backends, threads)
    while time.perf_counter() < end:
        found = max(found, measured_peak(backends, threads), key=lambda p: p.flops)
    memory = measured_bandwidth(threads)
    return {"peak": [found.flops, found.source], "bandwidth": [memory.rate, memory.source]}


def layers(_: State, trial: str, made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each layer takes. ChildError "refused" where the engine does not tell its layers."""
    from orpheus_experiments.trial.layers import told_layers

    asked = Trial.from_json(trial)
    loaded = _open(asked, made)
    given = images(asked, _inputs(made), made["shapes"])[0]
    return [asdict(layer) for layer in told_layers(loaded, given)]


def _prime(asked: Trial, made: Mapping[str, Any]) -> None:
    small = [_Input("x", "tensor(float)", (1, 8, 8, 8))]
    bare = Trial(model=asked.model, engine=asked.engine, threads=asked.threads)  # pins are the model's own
    open_engine(bare, Path(made["prime"]), small, {}).bind(prime_feeds())()


def _open(asked: Trial, made: Mapping[str, Any]) -> Any:
    return open_engine(asked, Path(made["path"]), _inputs(made), made["shapes"])


def _meters(state: State) -> Any:
    from orpheus_experiments.energy.meters import Meters

    meters = state.setdefault("meters", Meters())
    if meters.reason:
        raise ChildError("refused", meters.reason)
    return meters


def _inputs(made: Mapping[str, Any]) -> list[_Input]:
    return [_Input(name, type_, tuple(shape)) for name, type_, shape in made["inputs"]]


def _shapes(asked: Trial, declared: Mapping[str, Sequence[Dim]]) -> dict[str, tuple[int, ...]]:
    """The shapes to fix: those the trial gives, and the batch where a first dimension is open."""
    unknown = sorted(set(asked.shapes) - set(declared))
    if unknown:
        raise UsageError(f"the model has no input {unknown[0]!r}; it has {', '.join(declared) or 'none'}")
    found = {}
    for name, dims in declared.items():
        wanted = asked.shapes.get(name)
        if wanted is None and dims and not isinstance(dims[0], int):
            wanted = (asked.batch, *(d if isinstance(d, int) else -1 for d in dims[1:]))
            if -1 in wanted:
                shown = ", ".join("?" if d is None else str(d) for d in dims)
                raise UsageError(f"input {name!r} has the open shape [{shown}]; give its shape")
        if wanted is not None:
            found[name] = wanted
    firsts = [found.get(n, d)[0] for n, d in declared.items() if found.get(n, d)]
    if asked.batch > 1 and asked.batch not in firsts:
        raise UsageError(
            f"a batch of {asked.batch} was asked for, and the model's inputs have the fixed first dimensions {firsts}"
        )
    return found


def _check_shapes(outputs: Sequence[Any], declared: Sequence[Sequence[int | None] | None]) -> None:
    if len(outputs) != len(declared):
        raise ChildError("wrong shape", f"it gives {len(outputs)} results; the model has {len(declared)}")
    for index, (value, dims) in enumerate(zip(outputs, declared)):
        if dims is None:
            continue
        same = len(value.shape) == len(dims) and all(d in (None, s) for s, d in zip(value.shape, dims))
        if not same:
            raise ChildError(
                "wrong shape",
                f"result {index} has the shape {list(value.shape)}; the model declares {list(dims)}",
            )


def _known(value: Any) -> bool:
    return isinstance(value.type, TensorType) and value.type.shape is not None


def _static(value: Any) -> list[int | None] | None:
    return [d if isinstance(d, int) else None for d in value.type.shape] if _known(value) else None


def _dims(value: Any) -> tuple[Dim, ...]:
    if not _known(value):
        raise ModelError(f"{value.name!r} is not a tensor of known rank, which a trial needs")
    return tuple(value.type.shape)


def _dims_of(type_: Any) -> tuple[Dim, ...]:
    return tuple(type_.shape)


def _word(type_: Any) -> str:
    word = {"float32": "float", "float64": "double"}.get(type_.dtype.value, type_.dtype.value)
    return f"tensor({word})"


def _save(model: Any, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
    except OSError as error:
        raise BackendError(f"cannot write {path}: {error.strerror}") from error
    return path
