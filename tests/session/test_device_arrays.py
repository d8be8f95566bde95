"""Tensors of other libraries on a device: taken and given without the host, in the order of streams, or refused."""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import accelerator
import ml_dtypes
import numpy as np
import pytest
import toys
from onnx import helper

import orpheus_core as orpheus
from orpheus_core import discovery, dlpack
from orpheus_core.errors import InputError, UsageError

SHAPE = (1, 4, 3, 5)
CHAIN = [("Relu", ["x"], "a"), ("Add", ["a", "a"], "d")]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    accelerator.LOG.clear()
    yield


class Foreign:
    """A tensor of another library: all it offers is DLPack. ``late`` is what its own stream has yet to do."""

    def __init__(
        self, values: Any, device: tuple[int, int] = (accelerator.KIND, 0), offset: int = 0, **facts: Any
    ) -> None:
        values = np.asarray(values)
        self.memory = np.zeros(values.nbytes + 512 + offset, np.uint8)
        start = -self.memory.ctypes.data % 256 + offset
        self.array = self.memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
        self.array[...] = values
        self.device, self.facts = device, facts
        self.late: list[Callable[[], Any]] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
        if stream is not None:
            late = weakref.WeakMethod(self.catch_up)  # the stream does not keep it
            accelerator.STREAMS[stream].queue.append(lambda: (do := late()) and do())
        a = self.array
        strides = tuple(s // a.itemsize for s in a.strides)
        told = dlpack.Tensor(a.ctypes.data, a.shape, strides, a.dtype, self.device, False, (a, self))
        return dlpack.lend(replace(told, **self.facts), versioned=max_version is not None)

    def catch_up(self) -> None:
        while self.late:
            self.late.pop(0)()


class Old(Foreign):
    """From before the argument ``max_version``."""

    def __dlpack__(self, *, stream: Any = None) -> Any:  # type: ignore[override]
        return super().__dlpack__(stream=stream)


def session(*backends: Any, ops: Any = CHAIN, outs: Any = ("d",), shape: Any = SHAPE, **more: Any) -> Any:
    backends = backends or (accelerator.backend(),)
    with discovery.override(*backends):
        more = {"providers": [b.name for b in backends], "enable_passes": [], **more}
        return orpheus.InferenceSession(toys.model(ops, shape, list(outs)), **more)


def draw(seed: int = 0, shape: Any = SHAPE) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def wanted(x: Any) -> Any:
    return 2 * np.maximum(x, 0)


def moved() -> list[str]:
    """Transfers since the last time."""
    found = [line for line in accelerator.LOG if line in ("up", "down", "within")]
    accelerator.LOG.clear()
    return found


@pytest.mark.parametrize("make", [Foreign, Old])
def test_a_tensor_on_the_device_is_read_there_after_what_fills_it(make: Any) -> None:
    s, x = session(), draw()
    tensor = make(np.zeros(SHAPE, np.float32))
    for seed in range(3):
        x = draw(seed)
        tensor.late.append(partial(np.copyto, tensor.array, x))
        np.testing.assert_array_equal(s.run(None, {"x": tensor})[0], wanted(x))
        assert moved() == ["within", "down"]
    np.testing.assert_array_equal(s.run(None, {"x": -x})[0], wanted(-x))
    assert moved() == ["up", "down"]


def test_results_stay_on_the_device_and_are_whole_when_it_runs_again() -> None:
    s = session()
    results = [s.run(None, {"x": Foreign(draw(seed))}, device="fake")[0] for seed in range(3)]
    assert "down" not in moved() and all(isinstance(y, orpheus.DeviceArray) for y in results)
    for seed, y in enumerate(results):
        assert (y.shape, y.dtype, str(y.device), y.__dlpack_device__()) == (
            SHAPE,
            np.float32,
            "fake",
            (12, 0),
        )
        np.testing.assert_array_equal(np.asarray(y), wanted(draw(seed)))
        shared = dlpack.read(y, None)
        assert shared.pointer == y.pointer and shared.is_contiguous
    again = s.run(None, {"x": results[1]}, device="fake:0")[0]
    np.testing.assert_array_equal(again.numpy(), wanted(wanted(draw(1))))
    (host,) = s.run(None, {"x": results[1]}, device="cpu")
    assert isinstance(host, np.ndarray)


def test_whoever_took_a_result_keeps_its_memory() -> None:
    (y,) = session().run(None, {"x": draw()}, device="fake")
    memory = weakref.ref(y.block)
    capsules = [y.__dlpack__(), y.__dlpack__(max_version=(1, 0))]
    del y
    for capsule in capsules:
        assert '"dltensor' in repr(capsule)
    gc.collect()
    assert memory() is not None
    del capsules, capsule
    gc.collect()
    assert memory() is None


def test_a_binding_computes_in_the_callers_memory() -> None:
    s, x, y = session(), Foreign(draw()), Foreign(np.zeros(SHAPE, np.float32))
    binding = s.io_binding()
    binding.bind_input("x", x)
    binding.bind_output("d", y)
    for seed in range(3):
        new = draw(seed)
        x.late.append(partial(np.copyto, x.array, new))
        y.late.append(lambda: np.copyto(y.array, 7))  # is still under way as the run begins
        s.run_with_iobinding(binding)
        assert binding.in_place() == {"x", "d"} and moved() == []
        np.testing.assert_array_equal(y.array, wanted(new))
    assert binding.get_outputs()[0] is y
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], wanted(draw(2)))
    bound = binding._bound
    binding.bind_input("x", x)
    s.run_with_iobinding(binding)
    assert binding._bound is bound  # what was recorded stays of use
    np.testing.assert_array_equal(x.array, draw(2))


def test_a_bound_call_leaves_its_results_there() -> None:
    s, x = session(), Foreign(draw())
    call = s.bind({"x": x}, device="fake")
    (first,) = call()
    x.array[...] = draw(1)
    (second,) = call()
    np.testing.assert_array_equal(first.numpy(), wanted(draw()))
    np.testing.assert_array_equal(second.numpy(), wanted(draw(1)))
    assert moved()[:2] == ["within", "within"]  # the results, to memory of their own


def test_what_lies_badly_or_overlaps_is_copied() -> None:
    s, x, y = session(), Foreign(draw(), offset=4), Foreign(np.zeros(SHAPE, np.float32), offset=64)
    binding = s.io_binding()
    binding.bind_input("x", x)
    binding.bind_output("d", y)
    s.run_with_iobinding(binding)
    assert binding.in_place() == set()
    np.testing.assert_array_equal(y.array, wanted(draw()))
    same = Foreign(draw())
    binding = s.io_binding()
    binding.bind_input("x", same)
    binding.bind_output("d", same)
    s.run_with_iobinding(binding)
    assert binding.in_place() == {"x"}
    np.testing.assert_array_equal(same.array, wanted(draw()))


def test_a_kernel_that_writes_over_its_input_leaves_the_callers_alone() -> None:
    plain = accelerator.backend()
    backend = replace(plain, kernels=tuple(replace(k, inplace=((0, 0),)) for k in plain.kernels))
    s, x = session(backend, ops=[("Relu", ["x"], "d")]), Foreign(draw())
    call = s.bind({"x": x})
    for _ in range(2):
        np.testing.assert_array_equal(call()[0], np.maximum(draw(), 0))
    np.testing.assert_array_equal(x.array, draw())


def test_what_the_host_reads_too_is_brought_there() -> None:
    ops = [("Relu", ["x"], "a"), ("Neg", ["x"], "b"), ("Neg", ["a"], "c")]
    s = session(accelerator.backend(), toys.plain(), ops=ops, outs=("a", "b", "c"), policy="order")
    assert {row.kernel_id.partition(":")[0] for row in s.kernel_plan()} >= {"fake", "plain"}
    x = draw()
    want = [np.maximum(x, 0), -x, -np.maximum(x, 0)]
    for got in (
        s.run(None, {"x": Foreign(x)}),
        s.run(None, {"x": Foreign(x)}, device="fake"),
        s.bind({"x": Foreign(x)}, device="fake")(),
        s.bind({"x": Foreign(x)})(),
    ):
        for a, b in zip(got, want):
            np.testing.assert_array_equal(np.asarray(a), b)
    y = Foreign(np.zeros(SHAPE, np.float32))
    binding = s.io_binding()
    binding.bind_input("x", Foreign(x))
    binding.bind_output("b", y)
    s.run_with_iobinding(binding)
    np.testing.assert_array_equal(y.array, want[1])


def test_open_shapes_views_and_empty_tensors() -> None:
    ops = [("Relu", ["x"], "a"), ("Identity", ["a"], "b"), ("Add", ["b", "b"], "d")]
    s = session(ops=ops, shape=("n", 4), outs=("d", "b"))
    for rows in (1, 3, 0, 3):
        x = draw(rows, (rows, 4))
        d, b = s.run(None, {"x": Foreign(x)}, device="fake")
        assert d.shape == b.shape == (rows, 4)
        np.testing.assert_array_equal(d.numpy(), wanted(x))
        np.testing.assert_array_equal(b.numpy(), np.maximum(x, 0))
        assert dlpack.read(d, None).shape == (rows, 4)


def test_a_result_whose_size_the_values_tell_stays_there() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("NonZero", ["a"], ["d"])]
    infos = [helper.make_tensor_value_info("x", 1, SHAPE), helper.make_tensor_value_info("d", 7, None)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", infos[:1], infos[1:]),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    with discovery.override(accelerator.backend()):
        s = orpheus.InferenceSession(model, providers=["fake"], fallback="error")
    for seed in range(2):
        x = draw(seed)
        (got,) = s.run(None, {"x": Foreign(x)}, device="fake")
        np.testing.assert_array_equal(got.numpy(), np.nonzero(np.maximum(x, 0)))


def test_a_profiled_run_takes_and_gives_the_same() -> None:
    s = session(sess_options=orpheus.SessionOptions(enable_profiling=True))
    (got,) = s.run(None, {"x": Foreign(draw())}, device="fake")
    np.testing.assert_array_equal(got.numpy(), wanted(draw()))


def test_a_bound_tensor_is_kept_and_let_go() -> None:
    s, x = session(), Foreign(draw())
    call, memory = s.bind({"x": x}), weakref.ref(x.memory)
    call()
    del x
    gc.collect()
    assert memory() is not None
    del call
    gc.collect()
    assert memory() is None


def fails(tensor: Any, text: str, **more: Any) -> None:
    with pytest.raises(InputError, match=text):
        session(**more).run(None, {"x": tensor})


def test_what_cannot_be_read_is_refused_with_a_way_out() -> None:
    there = (
        "shares memory with the host and ext_dev:0. Copy it there, or open the session with a backend on its"
    )
    fails(Foreign(draw(), (accelerator.KIND, 1)), f"'x' lies on ext_dev:1; this session {there} device")
    fails(Foreign(draw(), (2, 0)), "'x' lies on cuda:0; this session")
    fails(Foreign(draw(), (99, 0)), "'x' lies on device kind 99:0")
    fails(Foreign(draw().astype(np.float64)), "element type float64, expected float32")
    fails(Foreign(draw()[:, :3]), r"shape \[1, 3, 3, 5\], expected")
    with discovery.override(toys.plain()):
        s = orpheus.InferenceSession(toys.model([("Neg", ["x"], "d")], SHAPE, ["d"]), providers=["plain"])
    with pytest.raises(InputError, match="shares memory with the host only"):
        s.run(None, {"x": Foreign(draw())})


def test_strides_that_skip_are_refused() -> None:
    class Strided(Foreign):
        def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
            capsule = super().__dlpack__()
            told = dlpack._told(capsule)[0]
            self.kept = (ctypes.c_int64 * 4)(60, 1, 20, 4)
            told.strides = self.kept
            return capsule

    fails(Strided(draw()), "has strides .*give a contiguous copy")


def test_what_refuses_itself_is_told() -> None:
    class Grad(Foreign):
        def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
            raise BufferError("it requires gradients")

    fails(Grad(draw()), "Grad cannot be read through DLPack: it requires gradients")

    class Odd(Foreign):
        def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
            return "capsule"

    fails(Odd(draw()), "gives no capsule")


def test_bindings_are_checked() -> None:
    s, x = session(), Foreign(draw())
    call = s.bind({"x": x})
    call()
    x.array = Foreign(draw()).array
    with pytest.raises(InputError, match="has moved or changed its shape; bind it anew"):
        call()
    binding = s.io_binding()
    with pytest.raises(UsageError, match="cannot be left on 'gpu'; this session has cpu, fake"):
        binding.bind_output("d", device="gpu")
    with pytest.raises(UsageError, match="not both"):
        binding.bind_output("d", x, device="fake")
    with pytest.raises(UsageError, match="cannot be left on 'fake:1'"):
        s.run(None, {"x": draw()}, device="fake:1")
    binding.bind_input("x", draw())
    binding.bind_output("d", Foreign(draw(0, (2, 2))))
    with pytest.raises(InputError, match=r"bound to an array of float32\[2, 2\], the model gives"):
        s.run_with_iobinding(binding)


def test_an_array_of_a_device_does_not_pass_for_the_hosts() -> None:
    (y,) = session().run(None, {"x": draw()}, device="fake")
    with pytest.raises(BufferError, match=r"lies on ext_dev:0; numpy\(\) copies"):
        y.__dlpack__(dl_device=(1, 0))
    with pytest.raises(ValueError, match="not the host's without a copy"):
        np.asarray(y, copy=False)
    other = dlpack.read(_Capsule(y.__dlpack__(copy=True)), None)
    assert other.pointer != y.pointer


class _Capsule:
    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_the_hosts_memory_in_types_that_numpy_lacks_is_read_in_place(dtype: str) -> None:
    values = draw().astype(getattr(ml_dtypes, dtype))
    tensor = Foreign(values, (1, 0))
    got = dlpack.host_array(tensor)
    assert got.dtype == values.dtype and got.ctypes.data == tensor.array.ctypes.data
    np.testing.assert_array_equal(got.view(np.uint8), values.view(np.uint8))
    memory = weakref.ref(tensor.memory)
    del tensor
    gc.collect()
    assert memory() is not None
    del got
    gc.collect()
    assert memory() is None


def test_pytorch_s_tensors_on_the_host_are_bound_in_place() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with discovery.override(toys.plain()):
        s = orpheus.InferenceSession(
            toys.model([("Neg", ["x"], "d")], SHAPE, ["d"]), providers=["plain"], enable_passes=[]
        )
    x, y = torch.randn(SHAPE), torch.zeros(SHAPE)
    binding = s.io_binding()
    binding.bind_input("x", x)
    binding.bind_output("d", y)
    for _ in range(2):
        s.run_with_iobinding(binding)
        assert binding.in_place() == {"x", "d"} and torch.equal(y, -x)
        x += 1
    with pytest.raises(InputError, match="require gradient"):
        s.run(None, {"x": x.requires_grad_()})
