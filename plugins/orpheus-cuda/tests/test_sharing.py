"""Tensors of other libraries on the GPU: read and written where they lie, in the order of streams."""

from __future__ import annotations

import gc
from typing import Any

import emulation
import numpy as np
import pytest
from onnx import helper
from orpheus_cuda import device, sharing
from orpheus_cuda.block import Block
from orpheus_cuda.driver import DOWN, UP
from orpheus_cuda.runtime import DLPACK_KIND
from orpheus_cuda.sharing import Sharing

import orpheus_core as orpheus
from orpheus_core import dlpack
from orpheus_core.errors import InputError

SHAPE = (3, 50)


class Foreign:
    """Memory of a GPU that another library filled in a stream of its own: all it offers is DLPack."""

    def __init__(self, values: Any, index: int = 0, room: int = 0) -> None:
        self.library = device.opened(index)
        self.stream = self.library.stream()
        self.shape, self.dtype, self.place = values.shape, values.dtype, (DLPACK_KIND, index)
        self.block = self.library.allocate(values.nbytes + room, self.stream)
        self.pointer = self.block.pointer + room
        self.write(values)

    def write(self, values: Any) -> None:
        """Begin to; it has not ended when this returns."""
        self.values = np.ascontiguousarray(values)
        self.library.copy(self.pointer, self.values.ctypes.data, self.values.nbytes, self.stream, UP)

    def read(self) -> Any:
        found = np.empty(self.shape, self.dtype)
        self.library.copy(found.ctypes.data, self.pointer, found.nbytes, self.stream, DOWN)
        self.library.wait(self.stream)
        return found

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __dlpack__(self, *, stream: int | None = None, max_version: Any = None) -> Any:
        if emulation.ON_DEVICE:
            from cupy.cuda import ExternalStream

            ExternalStream(stream).wait_event(self.stream.handle.record())
        elif stream is not None:
            emulation.STREAMS[stream].work.append(lambda: self.library.wait(self.stream))
            emulation.PENDING[0] += 1
        strides = tuple(int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape)))
        told = dlpack.Tensor(self.pointer, self.shape, strides, self.dtype, self.place, False, self.block)
        return dlpack.lend(told, versioned=max_version is not None)


def session(**more: Any) -> Any:
    infos = [helper.make_tensor_value_info(n, 1, SHAPE) for n in "xy"]
    ops = (("Sin", ["x"], ["a"]), ("Softmax", ["a"], ["b"]), ("Add", ["b", "x"], ["y"]))
    nodes = [helper.make_node(*op) for op in ops]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return orpheus.InferenceSession(model, **{"providers": ["cuda"], "fallback": "error", **more})


def draw(seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def check(got: Any, x: Any) -> None:
    powers = np.exp(np.sin(x.astype(np.float64)))
    wanted = powers / powers.sum(-1, keepdims=True) + x
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-5, atol=1e-6)


def test_a_run_takes_and_leaves_tensors_on_the_device() -> None:
    s, x = session(), Foreign(draw())
    results = []
    for seed in range(4):  # one by one, recorded, replayed
        x.write(draw(seed))
        results += s.run(None, {"x": x}, device="cuda")
    for seed, y in enumerate(results):
        assert y.__dlpack_device__() == (DLPACK_KIND, 0)
        check(y, draw(seed))
    (again,) = s.run(None, {"x": results[1]}, device="cuda:0")
    check(again, results[1].numpy())
    check(s.run(None, {"x": x})[0], draw(3))


def test_a_binding_computes_where_the_tensors_lie() -> None:
    s, x, y = session(), Foreign(draw()), Foreign(np.zeros(SHAPE, np.float32))
    binding = s.io_binding()
    binding.bind_input("x", x)
    binding.bind_output("y", y)
    for seed in range(4):
        x.write(draw(seed))
        y.write(np.full(SHAPE, 7, np.float32))
        s.run_with_iobinding(binding)
        assert binding.in_place() == {"x", "y"}
        check(y.read(), draw(seed))
        np.testing.assert_array_equal(x.read(), draw(seed))
    assert binding.get_outputs()[0] is y
    check(binding.copy_outputs_to_cpu()[0], draw(3))


@pytest.mark.usefixtures("emulated")
def test_what_is_bound_is_recorded_once() -> None:
    s, x = session(), Foreign(draw())
    call = s.bind({"x": x}, device="cuda")
    emulation.LOG.clear()
    for seed in range(5):
        x.write(draw(seed))
        check(call()[0], draw(seed))
    assert [line for line in emulation.LOG if line.startswith("captured")] == ["captured 3"]


def test_a_tensor_that_lies_badly_is_copied() -> None:
    s, x = session(), Foreign(draw(), room=4)
    binding = s.io_binding()
    binding.bind_input("x", x)
    for _ in range(3):
        s.run_with_iobinding(binding)
        check(binding.get_outputs()[0], draw())
    assert binding.in_place() == set()


@pytest.mark.usefixtures("emulated")
def test_a_pointer_on_another_device_is_refused_with_a_way_out() -> None:
    way = "this session shares memory with the host and cuda:0. Copy it there, or open the session"
    with pytest.raises(InputError, match=f"'x' lies on cuda:1; {way}"):
        session().run(None, {"x": Foreign(draw(), index=1)})
    second = session(providers=[("cuda", {"device": 1})])
    (y,) = second.run(None, {"x": Foreign(draw(), index=1)}, device="cuda:1")
    check(y, draw())
    with pytest.raises(InputError, match="'x' lies on cuda:1"):
        session().run(None, {"x": y})


@pytest.mark.skipif(not emulation.ON_DEVICE, reason="of a GPU and its libraries")
@pytest.mark.parametrize("name", ["cupy", "torch"])
def test_libraries_of_the_gpu_share_both_ways(name: str) -> None:
    library = pytest.importorskip(name)
    if name == "torch" and not library.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    s, values = session(), draw()
    x = library.asarray(values) if name == "cupy" else library.asarray(values).cuda()
    y = library.zeros_like(x)
    (z,) = s.run(None, {"x": x}, device="cuda")
    binding = s.io_binding()
    binding.bind_input("x", x)
    binding.bind_output("y", y)
    for _ in range(4):
        s.run_with_iobinding(binding)
    assert binding.in_place() == {"x", "y"}
    for got in (library.from_dlpack(z), y):
        check(got.get() if name == "cupy" else got.cpu().numpy(), values)


def test_memory_that_was_shared_waits_for_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    room = [2]

    def allocate(nbytes: int, stream: Any) -> Block:
        if not room[0]:
            raise MemoryError("none left")
        room[0] -= 1

        class Owner:
            def __del__(self) -> None:
                room[0] += 1
                told.append("free")

        return Block(4096, nbytes, Owner())

    shared = Sharing(allocate, lambda: told.append("idle"))
    blocks = [shared.block(8, None), shared.block(8, None)]
    with pytest.raises(MemoryError, match="none left"):
        shared.block(8, None)
    assert told == ["idle"]
    blocks.clear()
    gc.collect()
    assert told == ["idle"]  # given back, and not yet of use
    blocks.append(shared.block(8, None))
    assert told == ["idle", "idle", "free", "free"]
    monkeypatch.setattr(sharing, "MOST", 1)
    blocks.clear()
    told.clear()
    blocks.append(shared.block(8, None))
    assert told == ["idle", "free"]
