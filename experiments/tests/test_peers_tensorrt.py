"""TensorRT against stand-ins for its package and CUDA's, since a GPU is rare: which calls, and in which order.

The stand-in for the engine doubles its input, at the addresses that it was given; its "device memory" is the host's.
"""

from __future__ import annotations

import ctypes
import json
import sys
from enum import Enum, IntEnum
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from orpheus_experiments.peers import ENGINES

from orpheus_core.errors import BackendError, UnsupportedModelError

(SPEC,) = (spec for spec in ENGINES if spec.name == "tensorrt")
SHAPE = (1, 2, 3)


class Status(IntEnum):
    """Of CUDA's runtime."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100


class Kind(Enum):
    """Directions of a copy."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class Cuda(ModuleType):
    """``cuda.bindings.runtime`` with one GPU; ``calls`` are what moves data or waits."""

    cudaError_t, cudaMemcpyKind = Status, Kind

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.calls: list[str] = []
        self.gpus, self.name, self.full = 1, b"Test GPU 9", False
        self.memory: dict[int, ctypes.Array] = {}
        self.streams = 0

    def cudaGetDeviceCount(self):
        return (Status.cudaSuccess, self.gpus) if self.gpus else (Status.cudaErrorNoDevice, None)

    def cudaGetErrorString(self, status):
        return Status.cudaSuccess, f"text of {int(status)}".encode()

    def cudaGetDevice(self):
        return Status.cudaSuccess, 0

    def cudaGetDeviceProperties(self, _):
        return Status.cudaSuccess, SimpleNamespace(name=self.name)

    def cudaMalloc(self, size):
        if self.full:
            return Status.cudaErrorMemoryAllocation, None
        held = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(held)] = held
        return Status.cudaSuccess, ctypes.addressof(held)

    cudaMallocHost = cudaMalloc

    def cudaFree(self, address):
        del self.memory[address]
        return (Status.cudaSuccess,)

    cudaFreeHost = cudaFree

    def cudaStreamCreate(self):
        self.streams += 1
        return Status.cudaSuccess, 7

    def cudaStreamDestroy(self, _):
        self.streams -= 1
        return (Status.cudaSuccess,)

    def cudaMemcpyAsync(self, target, given, size, kind, stream):
        assert stream == 7
        self.calls.append(kind.name.removeprefix("cudaMemcpy"))
        ctypes.memmove(target, given, size)
        return (Status.cudaSuccess,)

    def cudaStreamSynchronize(self, stream):
        assert stream == 7
        self.calls.append("wait")
        return (Status.cudaSuccess,)


class ILogger:
    """TensorRT's logger, to be derived from."""

    Severity = Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING"])

    def __init__(self) -> None:
        self.derived_rightly = True


class TensorRT(ModuleType):
    """``tensorrt``: an engine of one input ``x`` and one output ``y``, which is its double."""

    __version__ = "11.4.0"
    ILogger = ILogger
    BuilderFlag = SimpleNamespace(TF32="TF32")

    def __init__(self, cuda: Cuda) -> None:
        super().__init__("tensorrt")
        self.cuda, self.cleared = cuda, []
        self.parses = self.builds = self.runs = True
        self.shape = SHAPE
        self.addresses: dict[str, int] = {}

    def Builder(self, logger):
        assert logger.derived_rightly
        x, y = SimpleNamespace(name="x"), SimpleNamespace(name="y")
        network = SimpleNamespace(
            num_inputs=1, num_outputs=1, get_input=lambda i: [x][i], get_output=lambda i: [y][i]
        )
        config = SimpleNamespace(clear_flag=self.cleared.append, builder_optimization_level=3)

        def build(*given):
            assert given == (network, config)
            logger.log(ILogger.Severity.WARNING, "no matter")
            logger.log(ILogger.Severity.ERROR, "no kernel\nfits")
            return b"engine" if self.builds else None

        return SimpleNamespace(
            create_network=lambda: network,
            create_builder_config=lambda: config,
            build_serialized_network=build,
        )

    def OnnxParser(self, *_):
        fault = SimpleNamespace(desc=lambda: "no importer for Warp")
        return SimpleNamespace(parse_from_file=lambda _: self.parses, num_errors=1, get_error=lambda _: fault)

    def Runtime(self, _):
        def load(given):
            return self if given == b"engine" else None

        return SimpleNamespace(deserialize_cuda_engine=load)

    def nptype(self, given):
        return {"FLOAT": np.float32}[given]

    def get_tensor_dtype(self, _):
        return "FLOAT"

    def create_execution_context(self):
        return self

    def get_tensor_shape(self, _):
        return self.shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        assert stream == 7
        self.cuda.calls.append("run")
        size = int(np.prod(SHAPE))
        x, y = ((ctypes.c_float * size).from_address(self.addresses[n]) for n in "xy")
        y[:] = [2 * v for v in x]
        return self.runs


@pytest.fixture
def trt(monkeypatch):
    """The stand-ins, in place of whatever is installed."""
    cuda = Cuda()
    made = TensorRT(cuda)
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = cuda
    for name, module in (("tensorrt", made), ("cuda.bindings", bindings), ("cuda.bindings.runtime", cuda)):
        monkeypatch.setitem(sys.modules, name, module)
    if "cuda" not in sys.modules:
        monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    return made


def test_it_copies_runs_copies_back_and_waits(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert, load

    plan = convert(tmp_path / "model.onnx", tmp_path)
    assert plan.name == "Test-GPU-9-11.4.0.plan" and plan.read_bytes() == b"engine"
    assert trt.cleared == ["TF32"]
    engine = load(plan, 1)
    x = np.arange(6, dtype=np.float32).reshape(SHAPE)
    run = engine.bind([x])
    assert trt.cuda.calls == []
    for _ in range(2):
        (y,) = run()
        assert np.array_equal(y, 2 * x) and y.shape == SHAPE
    assert trt.cuda.calls == ["HostToDevice", "run", "DeviceToHost", "wait"] * 2
    assert "TF32 off" in engine.settings["precision"] and "Test GPU 9" in engine.settings["device"]
    assert engine.settings["threads"].startswith("1") and "in the time" in engine.settings["copies"]
    assert engine.layers([x], 1) == []


def test_all_memory_is_given_back(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert, load

    engine = load(convert(tmp_path / "model.onnx", tmp_path), 1)
    run = engine.bind([np.zeros(SHAPE, np.float32)])
    assert len(trt.cuda.memory) == 4 and trt.cuda.streams == 1
    del run
    assert trt.cuda.memory == {} and trt.cuda.streams == 0


def test_more_threads_are_told_not_to_matter(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert, load

    told = load(convert(tmp_path / "model.onnx", tmp_path), 4).settings["threads"]
    assert told.startswith("1 ") and "4" in told


def test_without_a_gpu_it_says_so(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert

    trt.cuda.gpus = 0
    with pytest.raises(BackendError, match=r"NVIDIA GPU.*cudaErrorNoDevice.*text of 100"):
        convert(tmp_path / "model.onnx", tmp_path)


def test_what_the_parser_does_not_take_is_told(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert

    trt.parses = False
    with pytest.raises(BackendError, match=r"model\.onnx.*no importer for Warp"):
        convert(tmp_path / "model.onnx", tmp_path)


def test_an_engine_that_cannot_be_built_tells_what_was_logged(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert

    trt.builds = False
    with pytest.raises(BackendError, match=r"cannot build.*model\.onnx: no kernel fits$"):
        convert(tmp_path / "model.onnx", tmp_path)


def test_an_engine_of_another_gpu_or_version_is_refused(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert, load

    plan = convert(tmp_path / "model.onnx", tmp_path)
    trt.cuda.name = b"Test GPU 10"
    with pytest.raises(BackendError, match="built for Test GPU 9; this GPU is Test GPU 10"):
        load(plan, 1)
    trt.cuda.name = b"Test GPU 9"
    plan.write_bytes(b"of another version")
    with pytest.raises(BackendError, match=r"TensorRT 11\.4\.0 does not load"):
        load(plan, 1)


def test_shapes_runs_and_memory_that_fail(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert, load

    engine = load(convert(tmp_path / "model.onnx", tmp_path), 1)
    x = np.zeros(SHAPE, np.float32)
    run = engine.bind([x])
    trt.runs = False
    with pytest.raises(BackendError, match="did not run"):
        run()
    del run
    trt.shape = (1, -1, 3)
    with pytest.raises(UnsupportedModelError, match="'y'"):
        engine.bind([x])
    trt.cuda.full = True
    with pytest.raises(BackendError, match="cudaErrorMemoryAllocation"):
        engine.bind([x])
    assert trt.cuda.memory == {} and trt.cuda.streams == 0


def test_the_names_of_its_tensors_are_beside_the_engine(trt, tmp_path) -> None:
    from orpheus_experiments.peers.tensorrt import convert

    told = json.loads(convert(tmp_path / "m.onnx", tmp_path).with_suffix(".json").read_text())
    assert (told["inputs"], told["outputs"], told["gpu"]) == (["x"], ["y"], "Test GPU 9")


def test_without_the_package_it_says_how_to_get_it() -> None:
    from dataclasses import replace

    from orpheus_core.peers import absence

    reason = absence(replace(SPEC, modules=("no_tensorrt_here", "cuda.bindings.runtime")))
    assert reason is not None and "orpheus-experiments[tensorrt]" in reason
