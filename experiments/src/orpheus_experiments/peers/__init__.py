"""Other engines, each at its best settings for latency at batch 1 in float32, behind ``orpheus_runtimes``.

One module an engine; importing this one imports none of them. Versions are pinned by the extras of this distribution.
"""

from __future__ import annotations

from orpheus_core.plugin import RuntimeSpec

__all__ = ["ENGINES"]

_HERE = "orpheus_experiments.peers"
_ONEDNN_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
_TORCH_AVX2 = {**_ONEDNN_AVX2, "ATEN_CPU_CAPABILITY": "avx2"}


def _pip(extra: str) -> str:
    return f"pip install 'orpheus-experiments[{extra}]'"


#: Where the best setting of an engine depends on the network, each setting is an engine of its own.
ENGINES = (
    RuntimeSpec(
        name="onnxruntime", distribution="onnxruntime", modules=("onnxruntime",), install=_pip("onnxruntime"),
        load=f"{_HERE}.onnxruntime:load",
    ),
    RuntimeSpec(
        name="openvino", distribution="openvino", modules=("openvino",), install=_pip("openvino"),
        load=f"{_HERE}.openvino:load_pinned", isa={"avx2": _ONEDNN_AVX2},
    ),
    RuntimeSpec(
        name="openvino-unpinned", distribution="openvino", modules=("openvino",), install=_pip("openvino"),
        load=f"{_HERE}.openvino:load_unpinned", isa={"avx2": _ONEDNN_AVX2},
    ),
    RuntimeSpec(
        name="ncnn", distribution="ncnn", modules=("ncnn", "pnnx"), install=_pip("ncnn"),
        convert=f"{_HERE}.ncnn:convert", load=f"{_HERE}.ncnn:load",
    ),
    RuntimeSpec(
        name="litert", distribution="ai-edge-litert", modules=("ai_edge_litert.interpreter",), install=_pip("litert"),
        convert=f"{_HERE}.litert:convert", load=f"{_HERE}.litert:load",
    ),
    RuntimeSpec(
        name="pytorch", distribution="torch", modules=("torch",), install=_pip("pytorch"),
        convert=f"{_HERE}.pytorch:convert", load=f"{_HERE}.pytorch:load", isa={"avx2": _TORCH_AVX2},
    ),
    RuntimeSpec(
        name="pytorch-channels-last", distribution="torch", modules=("torch",), install=_pip("pytorch"),
        convert=f"{_HERE}.pytorch:convert_channels_last", load=f"{_HERE}.pytorch:load_channels_last",
        isa={"avx2": _TORCH_AVX2},
    ),
    RuntimeSpec(
        name="tvm", distribution="apache-tvm", modules=("tvm",), install=_pip("tvm"),
        convert=f"{_HERE}.tvm:convert", load=f"{_HERE}.tvm:load", isa={"avx2": {"ORPHEUS_TVM_CPU": "x86-64-v3"}},
    ),
    RuntimeSpec(
        name="onnx-reference", distribution="onnx", modules=("onnx.reference", "threadpoolctl"),
        install=_pip("reference"), load=f"{_HERE}.reference:load",
    ),
    RuntimeSpec(
        name="tensorrt", distribution="tensorrt", modules=("tensorrt", "cuda.bindings.runtime"),
        install=_pip("tensorrt"), convert=f"{_HERE}.tensorrt:convert", load=f"{_HERE}.tensorrt:load",
    ),
)  # fmt: skip
