"""ncnn, converted by pnnx: float32 throughout, Winograd and packed layouts on, light mode as by default."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx

from orpheus_core.errors import BackendError, UnsupportedModelError
from orpheus_core.types import Array
from orpheus_experiments.peers.engine import LoadedEngine

__all__ = ["convert", "load"]

# Half precision in any form: weights, activations, arithmetic.
_HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
_INT8 = ("use_int8_inference", "use_int8_packed", "use_int8_storage", "use_int8_arithmetic")


def convert(path: Path, folder: Path) -> Path:
    """``model.ncnn.param`` and ``.bin`` below ``folder``, made by the program pnnx without its fp16 weights."""
    import pnnx

    folder = folder / "pnnx"  # it writes much else, beside its source too
    folder.mkdir()
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    shapes = [
        "[" + ",".join(str(d.dim_value) for d in v.type.tensor_type.shape.dim) + "]f32"
        for v in graph.input
        if v.name not in weights
    ]
    files = {
        key: str(folder / f"model.{end}")
        for key, end in (
            ("pnnxparam", "pnnx.param"), ("pnnxbin", "pnnx.bin"), ("pnnxpy", "pnnx.py"), ("pnnxonnx", "pnnx.onnx"),
            ("ncnnparam", "ncnn.param"), ("ncnnbin", "ncnn.bin"), ("ncnnpy", "ncnn.py"),
        )
    }  # fmt: skip
    source = folder / "source.onnx"
    onnx.save(onnx.load(path), source)
    done = subprocess.run(
        [pnnx.EXEC_PATH, str(source), f"inputshape={','.join(shapes)}", "fp16=0",
         *(f"{key}={value}" for key, value in files.items())],
        capture_output=True, text=True, errors="replace", cwd=folder, check=False,
    )  # fmt: skip
    param = Path(files["ncnnparam"])
    if done.returncode or not param.exists():
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        raise BackendError(f"pnnx ended with code {done.returncode} on {path.name}: {said}")
    for left in folder.glob("*.onnx"):
        left.unlink()
    return param


def load(path: Path, threads: int) -> LoadedEngine:
    """The converted network in ncnn."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    for name in (*_HALF, *_INT8, "use_vulkan_compute"):
        if hasattr(net.opt, name):
            setattr(net.opt, name, False)
    net.opt.use_winograd_convolution = True
    net.opt.use_sgemm_convolution = True
    net.opt.use_packing_layout = True
    _check(net.load_param(str(path)), path)
    _check(net.load_model(str(path.with_suffix(".bin"))), path)
    names = sorted(net.input_names(), key=_number), sorted(net.output_names(), key=_number)

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        if any(array.shape[0] != 1 for array in inputs):
            raise UnsupportedModelError("ncnn has no batch: the first dimension of every input must be 1")
        mats = [ncnn.Mat(array[0]).clone() for array in inputs]

        def run() -> Sequence[Array]:
            extractor = net.create_extractor()
            for name, mat in zip(names[0], mats):
                extractor.input(name, mat)
            found = []
            for name in names[1]:
                code, mat = extractor.extract(name)
                if code != 0:
                    raise BackendError(f"ncnn does not compute {name}: code {code}")
                found.append(mat.numpy().copy()[None])  # numpy() looks into the Mat; [None] is the batch
            return found

        return run

    opt = net.opt
    half = any(getattr(opt, name, False) for name in _HALF)
    settings = {
        "threads": opt.num_threads,
        "precision": "with half precision" if half else "float32",
        "device": "CPU",
        "winograd": opt.use_winograd_convolution,
        "packing": opt.use_packing_layout,
        "light mode": opt.lightmode,
    }
    return LoadedEngine(settings, bind)


def _check(code: int, path: Path) -> None:
    if code != 0:
        raise BackendError(f"ncnn cannot load {path.name}: code {code}")


def _number(name: str) -> int:
    return int("".join(c for c in name if c.isdigit()) or 0)  # pnnx calls them in0, in1, out0, ...
