"""Convolutions in NHWC by cuDNN's graphs: bias, residual, Relu or a Clip from 0 in one kernel of its choice.

Through nvidia-cudnn-frontend. A layer is judged by asking cuDNN for engines (some ms), so that what it cannot do is a
refusal with its reason; the one that it puts first is built when the layer is prepared (up to half a second, as cuDNN
compiles kernels with a residual then).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from orpheus_core.geometry.strides import contiguous
from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_cuda.device import opened
from orpheus_cuda.launch import Launch
from orpheus_cuda.limits import conv
from orpheus_cuda.runtime import Tensor, load

_TYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BFLOAT16"}


@dataclass(frozen=True)
class _Key:
    """What a plan depends on."""

    index: int
    dtype: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    window: Window
    bias: bool
    residual: bool
    top: float | None
    relu: bool
    tf32: bool


@dataclass(frozen=True, eq=False)
class _Graph:
    """Of cuDNN's, with engines that it says it can run; ``tensors`` by our names for them."""

    graph: Any
    tensors: dict[str, Any]


def _key(problem: Problem, *, tf32: bool) -> _Key:
    x, w, y = (shape_of(t) for t in (problem.inputs[0], problem.inputs[1], problem.outputs[0]))
    given = [t is not None for t in (*problem.inputs, None, None)]
    name = problem.attributes.get("activation", "")
    top = float(problem.attributes["activation_params"][1]) if name == "Clip" else None
    target: Any = problem.outputs[0]
    index = target.device.index if target.device.kind == "cuda" else 0
    return _Key(
        index, target.dtype.value, x, w, y, window(problem, w[2:]), given[2], given[3], top, bool(name), tf32
    )


def is_installed() -> bool:
    """Whether the frontend can be imported."""
    return find_spec("cudnn") is not None


def supports(problem: Problem) -> str | None:
    """The library, an epilogue that it fuses, and a plan of its own for this layer."""
    return _judge(problem, tf32=False)


def supports_tf32(problem: Problem) -> str | None:
    """The same with TF32."""
    return _judge(problem, tf32=True)


def _judge(problem: Problem, *, tf32: bool) -> str | None:
    if not is_installed():
        return "needs cuDNN's frontend: pip install nvidia-cudnn-frontend nvidia-cudnn-cu13 (or -cu12)"
    given = [t is not None for t in (*problem.inputs, *(None,) * 4)]
    if given[4] or given[5] or any(t is not None for t in problem.outputs[1:]):
        return "needs scale, shift and the second output to be left out"
    name, values = problem.attributes.get("activation", ""), problem.attributes.get("activation_params", ())
    if name not in ("", "Relu") and not (name == "Clip" and values[0] == 0 and np.isfinite(values[1])):
        return f"needs activation Relu, a Clip from 0 or none, has {name!r}"
    found = conv(problem)
    if found is None:
        try:
            _judged(_key(problem, tf32=tf32))
        except Exception as error:
            found = f"needs an engine of cuDNN's, which answers {str(error).strip().splitlines()[-1:]}"
    return found


@cache
def _judged(key: _Key) -> _Graph:
    import cudnn

    kind = getattr(cudnn.data_type, _TYPES[key.dtype])
    with opened(key.index).current():
        handle = cudnn.create_handle()
        graph = cudnn.pygraph(
            io_data_type=kind, intermediate_data_type=cudnn.data_type.FLOAT, compute_data_type=cudnn.data_type.FLOAT,
            handle=handle,
        )  # fmt: skip

        def tensor(name: str, shape: Sequence[int]) -> Any:
            n, c, h, w = shape
            sn, sh, sw, sc = contiguous((n, h, w, c))
            return graph.tensor(name=name, dim=list(shape), stride=[sn, sc, sh, sw], data_type=kind)

        w = key.window
        tensors = {"x": tensor("x", key.x), "w": tensor("w", key.w)}
        value = graph.conv_fprop(
            image=tensors["x"], weight=tensors["w"], pre_padding=list(w.pads[:2]), post_padding=list(w.pads[2:]),
            stride=list(w.strides), dilation=list(w.dilations), compute_data_type=cudnn.data_type.FLOAT,
        )  # fmt: skip
        if key.bias:
            tensors["b"] = tensor("b", (1, key.y[1], 1, 1))
            value = graph.bias(input=value, bias=tensors["b"])
        if key.residual:
            tensors["r"] = tensor("r", key.y)
            value = graph.add(a=value, b=tensors["r"])
        if key.relu:
            value = (
                graph.relu(input=value)
                if key.top is None
                else graph.relu(input=value, lower_clip=0.0, upper_clip=key.top)
            )
        n, c, height, width = key.y
        sn, sh, sw, sc = contiguous((n, height, width, c))
        value.set_output(True).set_data_type(kind).set_dim(list(key.y)).set_stride([sn, sc, sh, sw])
        tensors["y"] = value
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        notes = cudnn.numerical_note
        unwanted = [notes.DOWN_CONVERT_INPUTS, notes.REDUCED_PRECISION_REDUCTION, notes.NONDETERMINISTIC]
        if key.dtype == "float32" and not key.tf32:
            unwanted.append(notes.TENSOR_CORE)  # which round float32 operands to TF32
        graph.deselect_numeric_notes(unwanted)
        graph.check_support()
        return _Graph(graph, tensors)


@cache
def _planned(key: _Key) -> tuple[_Graph, int]:
    """The graph with its plan, and the bytes of workspace that takes."""
    import cudnn

    judged = _judged(key)
    with opened(key.index).current():
        judged.graph.build_plans(cudnn.build_plan_policy.HEURISTICS_CHOICE)
        return judged, int(judged.graph.get_workspace_size())


_handles: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _handle(stream: Any) -> Any:
    """The handle of a stream."""
    import cudnn

    if stream not in _handles:
        handle = cudnn.create_handle()
        cudnn.set_stream(handle=handle, stream=stream.handle.ptr)
        _handles[stream] = handle
    return _handles[stream]


class Conv:
    """Conv and FusedConv."""

    tf32 = False

    def __init__(self, problem: Problem) -> None:
        key = _key(problem, tf32=self.tf32)
        self.plan, self.workspace = _planned(key)
        self.w = load(key.index, np.ascontiguousarray(np.moveaxis(problem.constants[1], 1, -1)))
        self.packed = (1,)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One execution of the plan."""
        x, _, b, r = (*inputs, None, None)[:4]
        y = outputs[0]
        assert x is not None and y is not None
        places = {"x": x, "w": self.w, "b": b, "r": r, "y": y}
        pack = {self.plan.tensors[n]: t.pointer for n, t in places.items() if t is not None}
        with y.library.current():
            handle = _handle(y.stream)
        run = partial(self.plan.graph.execute, pack, workspace.pointer if workspace else 0, handle=handle)
        call = partial(y.library.doing, "a convolution of cuDNN", run)
        return Launch(
            y.library, y.stream, (call,), (*(t for t in places.values() if t is not None), workspace)
        )


class ConvTF32(Conv):
    """float32 operands rounded to TF32."""

    tf32 = True
