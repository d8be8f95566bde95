"""Every program for every target, by the compiler that a GPU's machine has; it needs no GPU and no driver."""

from __future__ import annotations

import os
import struct
from functools import cache
from typing import Any

import emulation
import pytest
from cases import LAYERS, Layer, conv, model, providers
from chain_cases import CHAINS
from chain_cases import model as chain_model
from integer_cases import LAYERS as INTEGERS
from integer_cases import dynamic, name_of
from integer_cases import model as integer_model
from orpheus_cuda import driver, product, programs, tiles
from test_quantized import network

import orpheus_core as orpheus
from orpheus_core.errors import KernelError
from orpheus_core.plan.context import Context

REQUIRED = os.environ.get("ORPHEUS_REQUIRE_NVRTC") == "1"


@pytest.fixture(scope="module")
def targets() -> list[str]:
    """The oldest architecture, Hopper's, and the newest that the compiler knows."""
    try:
        from cupy.cuda import nvrtc

        newest = nvrtc.getSupportedArchs()[-1]
    except (ImportError, RuntimeError) as error:
        if REQUIRED:
            pytest.fail(f"ORPHEUS_REQUIRE_NVRTC=1, but {error}")
        pytest.skip(f"NVRTC, of CuPy, cannot be loaded: {error}")
    return ["sm_80", "sm_90", f"sm_{newest}"]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_programs_of_a_layer(layer: Layer, targets: list[str]) -> None:
    pin = {"layer": f"cuda:{layer.kernel}"}
    session = orpheus.InferenceSession(
        model(layer, layer.dtype)[0], providers=providers(layer), fallback="error", pin=pin
    )
    emulation.PROGRAMS.clear()
    Context(session.executable.ready().plan)
    assert emulation.PROGRAMS
    for text in emulation.PROGRAMS:
        build(text, targets)


@pytest.mark.parametrize(
    "tile", [*tiles.PLAIN, *tiles.TENSOR], ids=lambda t: f"{t.rows}x{t.columns}x{t.threads}"
)
def test_programs_of_a_tile(tile: tiles.Tile, targets: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "ranked", lambda *sizes, **more: [(tile, 2)])
    layer = conv((1, 48, 19, 17), (72, 48, 3, 3), dtype="float16" if tile.tensor else "float32")
    session = orpheus.InferenceSession(
        model(layer, layer.dtype)[0],
        providers=["cuda"],
        fallback="error",
        pin={"layer": "cuda:Conv/implicit"},
    )
    emulation.PROGRAMS.clear()
    Context(session.executable.ready().plan)
    assert any(f"#define BM {tile.rows}\n" in text for text in emulation.PROGRAMS)
    for text in emulation.PROGRAMS:
        build(text, targets)


@cache
def _built(text: str, target: str) -> bytes:
    return programs.build(text, target)


def build(text: str, targets: list[str]) -> None:
    """For each target, unless another layer has asked for it before."""
    for target in targets:
        code = _built(text, target)
        assert code[:4] == b"\x7fELF"
        programs_at, size, count = (
            *struct.unpack_from("<Q", code, 0x20),
            *struct.unpack_from("<HH", code, 0x36),
        )
        assert programs_at + size * count <= len(code), "the last program header is cut short"


@pytest.mark.parametrize("name", CHAINS)
def test_programs_of_a_chain(name: str, targets: list[str]) -> None:
    session = orpheus.InferenceSession(chain_model(name), providers=["cuda"], enable_passes=[])
    emulation.PROGRAMS.clear()
    Context(session.executable.ready().plan)
    texts = [text for text in emulation.PROGRAMS if "struct stage1" in text]
    assert texts or name == "empty"
    for text in texts:
        build(text, targets)


@pytest.mark.parametrize("layer", INTEGERS, ids=name_of)
def test_programs_of_bytes(layer: Any, targets: list[str]) -> None:
    session = orpheus.InferenceSession(integer_model(layer), providers=["cuda"], fallback="error")
    emulation.PROGRAMS.clear()
    Context(session.executable.ready().plan)
    assert any("#define MMA mma_" in text for text in emulation.PROGRAMS)
    for text in emulation.PROGRAMS:
        build(text, targets)


def test_programs_of_a_network_of_bytes(targets: list[str]) -> None:
    session = orpheus.InferenceSession(network(), providers=["cuda"], fallback="error")
    emulation.PROGRAMS.clear()
    Context(session.executable.ready().plan)
    for text in emulation.PROGRAMS:
        build(text, targets)


def test_programs_of_a_range(targets: list[str]) -> None:
    session = orpheus.InferenceSession(dynamic((300, 300)), providers=["cuda"], fallback="error")
    emulation.PROGRAMS.clear()
    Context(session.executable.ready().plan)
    (text,) = emulation.PROGRAMS
    build(text, targets)


def test_other_programs(targets: list[str]) -> None:
    texts = [programs.text(programs.define("suppress.cu")), driver.SPIN]
    texts.append(programs.text(programs.define("topk.cu", T="i64")))
    for text in texts:
        build(text, targets)


def test_what_does_not_build_shows_the_log(targets: list[str]) -> None:
    with pytest.raises(KernelError, match=r"does not build for sm_90(.|\n)*no_such_thing"):
        programs.build('extern "C" __global__ void f() { no_such_thing(); }', "sm_90")
