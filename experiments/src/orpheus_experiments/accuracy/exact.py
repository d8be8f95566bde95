"""The results of a model in float64: what the errors of all engines are measured against."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from orpheus_core.kept import cache_folder
from orpheus_core.types import Array

__all__ = ["WRONG", "error", "evaluate", "evaluate_all", "widened"]

#: An engine whose largest error is above this share of the output's range computes something else, at any speed.
WRONG = 1e-3


_Run = Callable[[Mapping[str, Array]], list[Array]]


def evaluate(path: Path, feeds: Mapping[str, Array], cache: Path | None = None) -> list[Array]:
    """Outputs of the model in ``path`` computed in float64 by the reference backend, with no graph rewritten.

    Kept in the folder ``cache`` (by default beside the kept measurements) under a digest of the model and the feeds.
    """
    return evaluate_all(path, [feeds], cache)[0]


def evaluate_all(
    path: Path, given: Sequence[Mapping[str, Array]], cache: Path | None = None
) -> list[list[Array]]:
    """The same for several feeds."""
    model = hashlib.sha256(path.read_bytes())
    run: _Run | None = None
    found = []
    for feeds in given:
        digest = model.copy()
        for name in sorted(feeds):
            digest.update(name.encode() + repr(feeds[name].shape).encode() + feeds[name].tobytes())
        kept = (cache or cache_folder() / "float64") / f"{digest.hexdigest()[:32]}.npz"
        if kept.exists():
            with np.load(kept) as file:
                found.append([file[name] for name in file.files])
            continue
        run = run or _open(path)
        outputs = run(feeds)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, *outputs)
        part.replace(kept)
        found.append(outputs)
    return found


def _open(path: Path) -> _Run:
    from orpheus_core.session import InferenceSession, SessionOptions

    options = SessionOptions(enable_passes=(), measurements="")
    session = InferenceSession(widened(onnx.load(path)), options, providers=["numpy"], fallback="error")

    def run(feeds: Mapping[str, Array]) -> list[Array]:
        wide = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feeds.items()}
        return [np.asarray(value) for value in session.run(None, wide)]

    return run


def widened(model: onnx.ModelProto, to: int = TensorProto.DOUBLE) -> onnx.ModelProto:
    """A copy in which every float32 tensor is float64 (or ``to``): inputs, outputs, weights, constants, casts."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    _widen(wide.graph, to)
    return wide


def _widen(graph: onnx.GraphProto, to: int) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor, to)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = to
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t, to)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                _widen(attribute.g, to)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = to


def _widen_tensor(tensor: TensorProto, to: int) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        array = numpy_helper.to_array(tensor).astype(onnx.helper.tensor_dtype_to_np_dtype(to))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def error(outputs: Sequence[Array], exact: Sequence[Array]) -> float:
    """The largest difference of any output as a share of its range (maximum less minimum); inf for other shapes."""
    if len(outputs) != len(exact):
        return float("inf")
    worst = 0.0
    for got, wanted in zip(outputs, exact):
        if got.shape != wanted.shape or not np.isfinite(got).all():
            return float("inf")
        if wanted.size:
            spread = float(np.ptp(wanted)) or float(np.abs(wanted).max()) or 1.0
            worst = max(worst, float(np.abs(got.astype(np.float64) - wanted).max()) / spread)
    return worst
