"""cuDNN's frontend and cuBLASLt as their documentation has them, on the emulated GPU: what calls mean.

They read the same arguments and the same bytes as the libraries would, in the order of their stream, by numpy.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import emulation
import ml_dtypes
import numpy as np
from orpheus_cuda.device import opened

#: What the stand-ins were asked to do.
CALLS: list[str] = []
_TYPES: dict[Any, Any] = {
    "FLOAT": np.float32, "HALF": np.float16, "BFLOAT16": ml_dtypes.bfloat16,
    0: np.float32, 2: np.float16, 14: ml_dtypes.bfloat16,
}  # fmt: skip


def memory(pointer: int, kind: Any, shape: Any, strides: Any) -> Any:
    """A strided view of the emulated device's memory; strides in elements."""
    assert emulation.owned(pointer), "a pointer of no device"
    size = np.dtype(_TYPES[kind]).itemsize
    last = sum((n - 1) * s for n, s in zip(shape, strides)) + 1
    flat = np.frombuffer((ctypes.c_char * (last * size)).from_address(pointer), _TYPES[kind])
    return np.lib.stride_tricks.as_strided(flat, shape, [s * size for s in strides])


def queue(number: int, work: Any) -> None:
    """In the order of the stream of that number."""
    opened(0)._queue(emulation.STREAMS[number], work)


class Value:
    """A tensor of a graph, or what an operation gives."""

    def __init__(self, dim: Any = (), stride: Any = (), kind: str = "", make: Any = None) -> None:
        self.dim, self.stride, self.kind, self.make, self.is_output = dim, stride, kind, make, False

    def set_output(self, is_output: bool) -> Value:
        self.is_output = is_output
        return self

    def set_data_type(self, kind: str) -> Value:
        self.kind = kind
        return self

    def set_dim(self, dim: Any) -> Value:
        self.dim = dim
        return self

    def set_stride(self, stride: Any) -> Value:
        self.stride = stride
        return self


class Graph:
    """cudnn.pygraph."""

    def __init__(
        self, *, io_data_type: str, intermediate_data_type: str, compute_data_type: str, handle: Any
    ) -> None:
        assert compute_data_type == intermediate_data_type == "FLOAT" and io_data_type in _TYPES
        self.steps, self.type = ["made"], io_data_type

    def tensor(self, *, name: str, dim: Any, stride: Any, data_type: str) -> Value:
        return Value(dim, stride, data_type)

    def conv_fprop(
        self, *, image: Value, weight: Value, pre_padding: Any, post_padding: Any, stride: Any, dilation: Any,
        compute_data_type: str,
    ) -> Value:  # fmt: skip
        def make(read: Any) -> Any:
            x, w = read(image), read(weight)
            x = np.pad(x, [(0, 0), (0, 0), *zip(pre_padding, post_padding)])
            spans = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation)]
            seen = np.lib.stride_tricks.sliding_window_view(x, spans, (2, 3))
            seen = seen[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
            groups = x.shape[1] // w.shape[1]
            parts = zip(np.split(seen, groups, 1), np.split(w, groups, 0))
            return np.concatenate([np.einsum("ncpqrs,fcrs->nfpq", a, b) for a, b in parts], 1)

        return Value(make=make)

    def bias(self, *, input: Value, bias: Value) -> Value:
        return Value(make=lambda read: read(input) + read(bias))

    def add(self, *, a: Value, b: Value) -> Value:
        return Value(make=lambda read: read(a) + read(b))

    def relu(self, *, input: Value, lower_clip: float = 0.0, upper_clip: float = np.inf) -> Value:
        return Value(make=lambda read: np.clip(read(input), lower_clip, upper_clip))

    def validate(self) -> None:
        self._next("made", "valid")

    def build_operation_graph(self) -> None:
        self._next("valid", "graph")

    def create_execution_plans(self, modes: Any) -> None:
        self._next("graph", "plans")

    def deselect_numeric_notes(self, notes: Any) -> None:
        assert self.steps[-1] == "plans"
        # Engines that round float32 to TF32 are not asked for here.
        assert ("TENSOR_CORE" in notes) == (self.type == "FLOAT")

    def check_support(self) -> None:
        self._next("plans", "supported")

    def build_plans(self, policy: Any) -> None:
        self._next("supported", "built")

    def get_workspace_size(self) -> int:
        return 1000

    def _next(self, before: str, after: str) -> None:
        assert self.steps[-1] == before
        self.steps.append(after)

    def execute(self, pack: Any, workspace: int, *, handle: Any) -> None:
        assert self.steps[-1] == "built" and emulation.owned(workspace)
        CALLS.append("cudnn")

        def read(value: Value) -> Any:
            if value.make is not None:
                return value.make(read)
            return memory(pack[value], value.kind, value.dim, value.stride).astype(np.float64)

        def work() -> None:
            for value, pointer in pack.items():
                if value.is_output:
                    target = memory(pointer, value.kind, value.dim, value.stride)
                    target[...] = value.make(read)

        queue(handle.stream, work)


def cudnn() -> Any:
    """The module."""
    notes = ("DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION", "NONDETERMINISTIC", "TENSOR_CORE")

    def names(*known: str) -> Any:
        return SimpleNamespace(**{name: name for name in known})

    def set_stream(*, handle: Any, stream: int) -> None:
        handle.stream = stream

    return SimpleNamespace(
        pygraph=Graph, create_handle=SimpleNamespace, set_stream=set_stream, numerical_note=names(*notes),
        data_type=names("FLOAT", "HALF", "BFLOAT16"), heur_mode=names("A", "FALLBACK"),
        build_plan_policy=names("HEURISTICS_CHOICE"),
    )  # fmt: skip


class Lt:
    """libcublasLt by its C interface: columns together, epilogues 1, 2 (Relu), 4 (bias), 6 (both)."""

    def __init__(self) -> None:
        self.things: dict[int, dict[Any, Any]] = {}

    def _new(self, place: Any, **facts: Any) -> int:
        place._obj.value = len(self.things) + 1
        self.things[place._obj.value] = facts
        return 0

    def cublasLtCreate(self, handle: Any) -> int:
        return self._new(handle)

    def cublasLtMatmulDescCreate(self, made: Any, compute: int, scale: int) -> int:
        assert compute in (68, 77) and scale == 0
        return self._new(made)

    def cublasLtMatmulDescSetAttribute(self, made: Any, attribute: int, value: Any, size: Any) -> int:
        assert size.value == ctypes.sizeof(value._obj) == {3: 4, 7: 4, 8: 8}[attribute]
        self.things[made.value][attribute] = value._obj.value
        return 0

    def cublasLtMatrixLayoutCreate(self, made: Any, kind: int, rows: Any, columns: Any, leading: Any) -> int:
        return self._new(made, kind=kind, shape=(rows.value, columns.value), leading=leading.value)

    def cublasLtMatmulPreferenceCreate(self, made: Any) -> int:
        return self._new(made)

    def cublasLtMatmulPreferenceSetAttribute(self, made: Any, attribute: int, value: Any, size: Any) -> int:
        assert attribute == 1 and size.value == 8
        return 0

    def _destroy(self, made: Any) -> int:
        del self.things[made.value]
        self.things[-made.value] = {}
        return 0

    cublasLtMatmulPreferenceDestroy = cublasLtMatrixLayoutDestroy = cublasLtMatmulDescDestroy = _destroy

    def cublasLtMatmulAlgoGetHeuristic(self, *given: Any) -> int:
        *_, wanted, choice, count = given
        assert wanted == 1
        choice._obj.workspace, choice._obj.state, count._obj.value = 512, 0, 1
        return 0

    def cublasLtMatmul(
        self, handle: Any, made: Any, alpha: Any, a: Any, a_layout: Any, b: Any, b_layout: Any, beta: Any, c: Any,
        c_layout: Any, d: Any, d_layout: Any, choice: Any, space: Any, size: Any, stream: Any,
    ) -> int:  # fmt: skip
        assert emulation.owned(space.value) and size.value == 512
        CALLS.append("cublaslt")
        facts = dict(self.things[made.value])
        layouts = [dict(self.things[x.value]) for x in (a_layout, b_layout, c_layout, d_layout)]
        scales = alpha._obj.value, beta._obj.value

        def matrix(place: Any, layout: Any) -> Any:
            return memory(place.value, layout["kind"], layout["shape"], (1, layout["leading"]))

        def work() -> None:
            left, right, old, target = map(matrix, (a, b, c, d), layouts)
            left = left.T if facts.get(3) else left
            value = scales[0] * (left.astype(np.float64) @ right.astype(np.float64))
            if scales[1]:
                value = value + scales[1] * old.astype(np.float64)
            if facts[7] & 4:
                value = (
                    value
                    + memory(facts[8], layouts[3]["kind"], (len(value),), (1,)).astype(np.float64)[:, None]
                )
            target[...] = np.maximum(value, 0) if facts[7] & 2 else value

        queue(stream.value, work)
        return 0
