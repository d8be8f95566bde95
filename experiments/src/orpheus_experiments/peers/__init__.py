"""Other engines, each at its best settings for latency at batch 1 in float32, behind ``orpheus_runtimes``.

One module an engine; importing this one imports none of them. Versions are pinned by the extras of this distribution.
"""

from __future__ import annotations

from orpheus_core.plugin import RuntimeSpec

__all__ = ["ENGINES"]

_ONEDNN_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}


def _spec(name: str, module: str, **facts: object) -> RuntimeSpec:
    extra = module.rpartition(".")[2]
    return RuntimeSpec(
        name=name, install=f"pip install 'orpheus-experiments[{extra}]'", **facts  # type: ignore[arg-type]
    )  # fmt: skip


_HERE = "orpheus_experiments.peers"

#: Where an engine is fastest depends on the network, each of its settings is an engine of its own.
ENGINES = (
    _spec(
        "onnxruntime", "onnxruntime", distribution="onnxruntime", modules=("onnxruntime",),
        load=f"{_HERE}.onnxruntime:load",
    ),
    _spec(
        "openvino", "openvino", distribution="openvino", modules=("openvino",),
        load=f"{_HERE}.openvino:load_pinned", isa={"avx2": _ONEDNN_AVX2},
    ),
    _spec(
        "openvino-unpinned", "openvino", distribution="openvino", modules=("openvino",),
        load=f"{_HERE}.openvino:load_unpinned", isa={"avx2": _ONEDNN_AVX2},
    ),
    _spec(
        "ncnn", "ncnn", distribution="ncnn", modules=("ncnn", "pnnx"),
        convert=f"{_HERE}.ncnn:convert", load=f"{_HERE}.ncnn:load",
    ),
    _spec(
        "litert", "litert", distribution="ai-edge-litert", modules=("ai_edge_litert.interpreter",),
        convert=f"{_HERE}.litert:convert", load=f"{_HERE}.litert:load",
    ),
    _spec(
        "pytorch", "pytorch", distribution="torch", modules=("torch",),
        convert=f"{_HERE}.pytorch:convert", load=f"{_HERE}.pytorch:load",
        isa={"avx2": {"ATEN_CPU_CAPABILITY": "avx2", **_ONEDNN_AVX2}},
    ),
    _spec(
        "pytorch-channels-last", "pytorch", distribution="torch", modules=("torch",),
        convert=f"{_HERE}.pytorch:convert_channels_last", load=f"{_HERE}.pytorch:load_channels_last",
        isa={"avx2": {"ATEN_CPU_CAPABILITY": "avx2", **_ONEDNN_AVX2}},
    ),
)  # fmt: skip
