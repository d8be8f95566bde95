"""Toy backends that differ in layout, cost, device and manners, and graphs for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from orpheus_core.plugin import Backend, Format, Kernel, Problem, Rule
from orpheus_core.types import Device, TensorType

BLOCKED = Format(("NCHW16c", "NCHW16c"), ("NCHW16c",))
CALLS: list[str] = []


def microseconds(value: float) -> Callable[[Problem], float]:
    return lambda problem: value * 1e-6


cost_1, cost_5, cost_20, cost_1000 = map(microseconds, (1, 5, 20, 1000))
cost_nan, cost_infinite, cost_negative = map(microseconds, (float("nan"), float("inf"), -1))


def relu(X: Any, *, out: Any = (None,)) -> Any:
    return np.maximum(X, 0, out=out[0])


def add(A: Any, B: Any) -> Any:
    return A + B


def neg(X: Any) -> Any:
    return -X


def branch(cond: Any, *, then_branch: Callable[[], Any], else_branch: Callable[[], Any]) -> Any:
    return then_branch() if cond else else_branch()


def same_shapes(problem: Problem) -> str | None:
    shapes = {t.shape for t in problem.inputs if isinstance(t, TensorType)}
    return None if len(shapes) == 1 else "does not broadcast"


class Elementwise:
    """A full-form kernel: layout is the problem's; counts what it was asked to do."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.workspace = 128 if problem.op == "Relu" else 0

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any) -> Callable[[], None]:
        for type_, array in zip(self.problem.inputs, inputs):
            assert isinstance(type_, TensorType) and type_.static_shape is not None
            assert array.shape == type_.layout.physical_shape(type_.static_shape)
        assert (workspace is not None and workspace.nbytes >= 128) == (self.problem.op == "Relu")

        def step() -> None:
            CALLS.append(f"{self.problem.op}/blocked")
            if self.problem.op == "Relu":
                workspace[:] = 255
                np.maximum(inputs[0], 0, out=outputs[0])
            else:
                np.add(inputs[0], inputs[1], out=outputs[0])

        return step


def seal(steps: Sequence[Callable[[], object]]) -> Callable[[], None]:
    def run() -> None:
        CALLS.append(f"sealed {len(steps)}")
        for step in steps:
            step()

    return run


OFFERED: list[int] = []
ANSWER: list[Any] = []


def chain(layers: Sequence[Any]) -> list[Any]:
    """Notes how many layers it is offered; answers what ANSWER says."""
    OFFERED.append(len(layers))
    return ANSWER


def join(steps: Sequence[Callable[[], object]]) -> Callable[[], None]:
    def run() -> None:
        CALLS.append(f"joined {len(steps)}")
        for step in steps:
            step()

    return run


class Tensor:
    """Memory of a device that numpy must not touch by accident."""

    def __init__(self, array: Any) -> None:
        self.hidden = array

    @property
    def shape(self) -> Any:
        return self.hidden.shape

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("device memory was read as if it were the host's")


class DeviceRuntime:
    """A device whose memory is a Tensor; counts transfers."""

    transfers: list[str] = []  # noqa: RUF012

    def __init__(self, device: Device) -> None:
        assert device.kind == "toy"

    def empty(self, shape: Any, dtype: Any) -> Tensor:
        return Tensor(np.empty(shape, dtype))

    def arena(self, nbytes: int) -> Any:
        return np.empty(nbytes, np.uint8)

    def view(self, arena: Any, offset: int, shape: Any, dtype: Any) -> Tensor:
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return Tensor(arena[offset : offset + count].view(dtype).reshape(shape))

    def upload(self, source: Any, target: Tensor) -> None:
        self.transfers.append("up")
        np.copyto(target.hidden, source)

    def download(self, source: Tensor, target: Any) -> None:
        self.transfers.append("down")
        np.copyto(target, source.hidden)

    def synchronize(self) -> None:
        self.transfers.append("sync")


def device_relu(X: Tensor, *, out: tuple[Tensor, ...]) -> Tensor:
    np.maximum(X.hidden, 0, out=out[0].hidden)
    return out[0]


def plain(name: str = "plain", **costs: str) -> Backend:
    """Relu, Add and Neg in ONNX's own layout."""
    kernels = (
        Kernel(op="Relu", name="p", run="toys:relu", writes_out=True, cost=costs.get("relu", "toys:cost_20")),
        Kernel(op="Add", name="p", run="toys:add", cost=costs.get("add", "toys:cost_20")),
        Kernel(op="Neg", name="p", run="toys:neg", cost=costs.get("neg", "toys:cost_1")),
    )
    return Backend(name=name, api=1, kernels=kernels)


def blocked(cost: str = "toys:cost_1", **more: Any) -> Backend:
    """Relu and Add on NCHW16c only, cheap."""
    kernels = tuple(
        Kernel(
            op=op,
            name="b",
            prepare="toys:Elementwise",
            formats=(BLOCKED,),
            cost=cost,
            where=(Rule(field, "==", 4),),
            supports="toys:same_shapes",
        )
        for op, field in (("Relu", "X.rank"), ("Add", "A.rank"))
    )
    return Backend(name="blocked", api=1, kernels=kernels, seal="toys:seal", **more)


def device(cost: str = "toys:cost_1") -> Backend:
    """Relu on a device of its own."""
    kernel = Kernel(op="Relu", name="d", run="toys:device_relu", writes_out=True, cost=cost)
    return Backend(
        name="device", api=1, kernels=(kernel,), device=Device("toy"), runtime="toys:DeviceRuntime"
    )


def model(
    ops: Sequence[tuple[str, Sequence[str], str]], shape: Sequence[Any], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Elementwise nodes (op, inputs, output) over inputs ``x`` and ``y`` of one shape."""
    infos = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y", *outputs)}
    read = {name for _, inputs, _ in ops for name in inputs}
    nodes = [helper.make_node(op, list(i), [o], name=o) for op, i, o in ops]
    inputs = [infos[n] for n in ("x", "y") if n in read]
    graph = helper.make_graph(nodes, "toy", inputs, [infos[n] for n in outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


class LateAdd:
    """A full-form Add that demands fixed shapes."""

    prepared = 0

    def __init__(self, problem: Problem) -> None:
        assert all(isinstance(t, TensorType) and t.is_static for t in problem.inputs)
        type(self).prepared += 1

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any) -> Callable[[], None]:
        return lambda: np.add(inputs[0], inputs[1], out=outputs[0])


class LateStrict(LateAdd):
    """Demands arrays of the very shapes that it was prepared for."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any) -> Callable[[], None]:
        for array, type_ in zip(inputs, self.problem.inputs):
            assert isinstance(type_, TensorType) and array.shape == type_.static_shape
        return super().bind(inputs, outputs, workspace)


def fails(X: Any) -> Any:
    raise RuntimeError("on purpose")


class OneAtATime:
    """A full-form Add whose prepared object must not be in use twice at once."""

    collisions = 0

    def __init__(self, problem: Problem) -> None:
        self.busy = 0

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any) -> Callable[[], None]:
        def step() -> None:
            self.busy += 1
            time.sleep(0.002)
            type(self).collisions += self.busy > 1
            np.add(inputs[0], inputs[1], out=outputs[0])
            self.busy -= 1

        return step


class FailsToBind:
    """A full-form kernel that can be prepared only."""

    def __init__(self, problem: Problem) -> None:
        pass

    def bind(self, *_: Any) -> Callable[[], None]:
        raise RuntimeError("on purpose")


def wrong_shape(X: Any) -> Any:
    return X[:1]


def wrong_dtype(X: Any) -> Any:
    return X.astype(np.float64)


class Counted:
    """A full-form kernel whose steps leave the number of the prepared layer in ``CALLS``."""

    prepared = 0

    def __init__(self, problem: Problem) -> None:
        Counted.prepared += 1
        self.number = Counted.prepared

    def bind(self, *_: Any) -> Callable[[], None]:
        return lambda: CALLS.append(str(self.number))


#: What each toy library was last told.
THREADS: dict[str, int] = {}


def set_plain_threads(threads: int) -> None:
    THREADS["plain"] = threads


def set_other_threads(threads: int) -> None:
    THREADS["other"] = threads


class Sleepy:
    """A Relu whose steps take two milliseconds, whatever was measured."""

    def __init__(self, problem: Problem) -> None:
        del problem

    def bind(self, inputs: Any, outputs: Any, workspace: Any) -> Callable[[], None]:
        del workspace

        def step() -> None:
            time.sleep(0.002)
            np.maximum(inputs[0], 0, out=outputs[0])

        return step


def slow_relu(X: Any) -> Any:
    for _ in range(20):
        result = np.maximum(X, 0)
    return result
