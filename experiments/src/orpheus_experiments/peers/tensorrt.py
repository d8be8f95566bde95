"""TensorRT on an NVIDIA GPU: float32 with TF32 off, one stream; what is timed includes both copies.

Not verified on a GPU: where these lines were written there was none. The calls are those of TensorRT 10 and 11 and of
CUDA's own Python bindings, and a test holds their order against stand-ins for both packages.
"""

from __future__ import annotations

import ctypes
import json
import re
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.errors import BackendError, UnsupportedModelError
from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine

__all__ = ["convert", "load"]


def convert(path: Path, folder: Path) -> Path:
    """An engine in ``folder``, named by the GPU and the version that alone can load it, and its tensors as JSON.

    Raises BackendError without a GPU, for what TensorRT's parser does not take, or when it cannot build.
    """
    import tensorrt

    gpu = _gpu()
    logger, said = _logger()
    builder = tensorrt.Builder(logger)
    network = builder.create_network()
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        faults = [parser.get_error(i) for i in range(parser.num_errors)]
        told = "; ".join(" ".join(str(fault.desc()).split()) for fault in faults)
        raise BackendError(
            f"TensorRT's parser does not take {path.name}: {told[:500] or 'it does not say why'}"
        )
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"TensorRT cannot build an engine of {path.name}: {_last(said)}")
    made = {
        "inputs": [network.get_input(i).name for i in range(network.num_inputs)],
        "outputs": [network.get_output(i).name for i in range(network.num_outputs)],
        "gpu": gpu,
        "optimization level": config.builder_optimization_level,
    }
    engine = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', gpu)}-{tensorrt.__version__}.plan"
    engine.write_bytes(memoryview(plan))
    engine.with_suffix(".json").write_text(json.dumps(made))
    return engine


def load(path: Path, threads: int) -> LoadedEngine:
    """The engine in ``path``. The GPU's work is asked for by the caller's thread, so ``threads`` changes nothing."""
    import tensorrt

    made = json.loads(path.with_suffix(".json").read_text())
    gpu = _gpu()
    if gpu != made["gpu"]:
        raise BackendError(
            f"{path.name} was built for {made['gpu']}; this GPU is {gpu}; convert the model again"
        )
    logger, said = _logger()
    runtime = tensorrt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise BackendError(f"TensorRT {tensorrt.__version__} does not load {path.name}: {_last(said)}")

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        return _Bound(engine, made["inputs"], made["outputs"], inputs, (runtime, logger)).run

    settings = {
        "threads": f"1 (the caller's, though {threads} were asked for)"
        if threads != 1
        else "1 (the caller's)",
        "precision": "float32, TF32 off",
        "device": f"{gpu}, one stream",
        "copies": "of inputs and outputs, page-locked, in the time",
        "optimization level": made["optimization level"],
    }
    return LoadedEngine(settings, bind)


class _Bound:
    """One inference with a context, a stream and buffers of its own. ``owners`` have to outlive the engine."""

    def __init__(
        self,
        engine: Any,
        sources: Sequence[str],
        targets: Sequence[str],
        inputs: Sequence[Array],
        owners: Any,
    ) -> None:
        from cuda.bindings import runtime as cuda

        self._owners = engine, owners
        self._cuda = cuda
        self._context = engine.create_execution_context()
        self._held: list[tuple[Callable[[Any], Any], Any]] = []
        weakref.finalize(self, _release, self._held)
        try:
            self._allocate(engine, sources, targets, inputs)
        except BaseException:
            _release(self._held)  # whoever keeps the error keeps this, too
            raise

    def _allocate(
        self, engine: Any, sources: Sequence[str], targets: Sequence[str], inputs: Sequence[Array]
    ) -> None:
        import tensorrt

        self._stream = _ask(self._cuda.cudaStreamCreate())
        self._held.append((self._cuda.cudaStreamDestroy, self._stream))
        self._inputs = [self._place(n, array.shape, array.dtype) for n, array in zip(sources, inputs)]
        for (host, _), array in zip(self._inputs, inputs):
            host[...] = array
        self._outputs = []
        for name in targets:
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=1) < 0:
                raise UnsupportedModelError(
                    f"the shape of the output {name!r} is not fixed in TensorRT: {shape}"
                )
            dtype = np.dtype(tensorrt.nptype(engine.get_tensor_dtype(name)))
            self._outputs.append(self._place(name, shape, dtype))

    def _place(self, name: str, shape: tuple[int, ...], dtype: Any) -> tuple[Array, int]:
        """A page-locked array and memory on the device of the same size, which the engine is told."""
        size = max(1, int(np.prod(shape)) * dtype.itemsize)
        address = int(_ask(self._cuda.cudaMallocHost(size)))
        self._held.append((self._cuda.cudaFreeHost, address))
        device = int(_ask(self._cuda.cudaMalloc(size)))
        self._held.append((self._cuda.cudaFree, device))
        raw = (ctypes.c_byte * size).from_address(address)
        host = np.frombuffer(raw, dtype, count=int(np.prod(shape))).reshape(shape)
        if not self._context.set_tensor_address(name, device):
            raise BackendError(f"TensorRT does not take an address for {name!r}")
        return host, device

    def run(self) -> Sequence[Array]:
        """Copy the inputs, run, copy the outputs back, wait. The arrays are overwritten by the next call."""
        cuda, kind = self._cuda, self._cuda.cudaMemcpyKind
        for host, device in self._inputs:
            _ask(
                cuda.cudaMemcpyAsync(
                    device, host.ctypes.data, host.nbytes, kind.cudaMemcpyHostToDevice, self._stream
                )
            )
        if not self._context.execute_async_v3(int(self._stream)):
            raise BackendError("TensorRT did not run the engine")
        for host, device in self._outputs:
            _ask(
                cuda.cudaMemcpyAsync(
                    host.ctypes.data, device, host.nbytes, kind.cudaMemcpyDeviceToHost, self._stream
                )
            )
        _ask(cuda.cudaStreamSynchronize(self._stream))
        return [host for host, _ in self._outputs]


def _release(held: list[tuple[Callable[[Any], Any], Any]]) -> None:
    while held:
        free, what = held.pop()
        free(what)


def _gpu() -> str:
    """The name of the GPU; BackendError, with CUDA's reason, where there is none."""
    from cuda.bindings import runtime as cuda

    try:
        count = _ask(cuda.cudaGetDeviceCount())
    except BackendError as error:
        raise BackendError(f"TensorRT needs an NVIDIA GPU: {error}") from error
    if not count:
        raise BackendError("TensorRT needs an NVIDIA GPU, and CUDA finds none")
    name = _ask(cuda.cudaGetDeviceProperties(_ask(cuda.cudaGetDevice()))).name
    return name.decode() if isinstance(name, bytes) else str(name)


def _ask(found: tuple[Any, ...]) -> Any:
    """What a call of CUDA's gives beside its status; BackendError for a status that is not success."""
    from cuda.bindings import runtime as cuda

    status, *values = found
    if status != cuda.cudaError_t.cudaSuccess:
        _, text = cuda.cudaGetErrorString(status)
        raise BackendError(f"CUDA says {getattr(status, 'name', status)}: {text.decode()}")
    return values[0] if values else None


def _logger() -> tuple[Any, list[str]]:
    """A logger for TensorRT, and the errors that it is told."""
    import tensorrt

    said: list[str] = []
    severe = tensorrt.ILogger.Severity.INTERNAL_ERROR, tensorrt.ILogger.Severity.ERROR

    class Errors(tensorrt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in severe:
                said.append(" ".join(message.split()))

    return Errors(), said


def _last(said: Sequence[str]) -> str:
    return "; ".join(said[-2:])[:500] or "it does not say why"
