"""Devices: found, listed, chosen; memory, streams and graphs; what goes wrong has a name and a way out."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import emulation
import numpy as np
import pytest
from onnx import TensorProto, helper
from orpheus_cuda import device, faults, programs
from orpheus_cuda.driver import Found
from orpheus_cuda.launch import blocks, launch
from orpheus_cuda.runtime import Runtime

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.errors import DeviceError, KernelError, LimitError, UsageError
from orpheus_core.plugin import Ready, Unavailable
from orpheus_core.types import Device


def chain(*ops: str, shape: tuple[int, ...] = (3, 50)) -> Any:
    names = ["x", *(f"v{i}" for i in range(len(ops) - 1)), "y"]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy"]
    nodes = [
        helper.make_node(op, [a], [b], f"{op}{i}") for i, (op, a, b) in enumerate(zip(ops, names, names[1:]))
    ]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def draw(seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((3, 50)).astype(np.float32)


@pytest.mark.parametrize("options", [{"device": 0}, {"device": ""}, {"tf32": True}, {}])
def test_a_device_is_chosen(options: Any) -> None:
    session = orpheus.InferenceSession(chain("Relu"), providers=[("cuda", options)], fallback="error")
    np.testing.assert_array_equal(session.run(None, {"x": draw()})[0], np.maximum(draw(), 0))


@pytest.mark.usefixtures("emulated")
def test_two_devices_by_index_and_by_a_part_of_the_name() -> None:
    for wanted in (1, "lated 1"):
        session: Any = orpheus.InferenceSession(chain("Relu"), providers=[("cuda", {"device": wanted})])
        np.testing.assert_array_equal(session.run(None, {"x": draw()})[0], np.maximum(draw(), 0))
        assert {d.index for d in session.latest_plan().arenas if d.kind == "cuda"} == {1}


@pytest.mark.parametrize(
    ("options", "text"),
    [({"device": 99}, "there is no CUDA device 99; there are 0: "), ({"device": "no such"}, "there is no CUDA device"),
     ({"colour": 1}, "has no option 'colour'; it has device, tf32"), ({"tf32": 1}, "True or False, not 1")],
)  # fmt: skip
def test_what_is_not_there_is_refused(options: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        orpheus.InferenceSession(chain("Relu"), providers=[("cuda", options)])


def test_devices_are_listed() -> None:
    row = discovery.row("cuda")
    assert row.devices[0].startswith("0: ") and "compute capability" in row.devices[0]


def library(**changed: Any) -> Any:
    return SimpleNamespace(**{"versions": lambda: ("13.0", "13.0"), "devices": emulation.devices, **changed})


def refuse(error: Exception) -> Any:
    def call() -> Any:
        raise error

    return call


OLD = Found("Tesla", (7, 0), 80, 1 << 34, "13.0", 96 << 10)


@pytest.mark.parametrize(
    ("there", "reason", "fix"),
    [
        (library(versions=refuse(ImportError("libcudart"))), "CuPy cannot be imported: libcudart", r"\[cuda13\]"),
        (library(versions=lambda: ("", "13.0")), "no NVIDIA driver", "install the driver"),
        (library(versions=lambda: ("12.4", "13.0"), devices=refuse(RuntimeError("insufficient"))),
         "driver runs CUDA up to 12.4, CuPy is for 13.0: insufficient", "CUDA 13.0 or newer, or CuPy for CUDA 12"),
        (library(devices=list), "CUDA sees none", "CUDA_VISIBLE_DEVICES"),
        (library(devices=lambda: [OLD]), "Tesla .*too old, needs 8.0", "8.0 or newer"),
    ],
)  # fmt: skip
def test_why_it_cannot_be_used(there: Any, reason: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "library", there)
    answer = device.probe()
    assert isinstance(answer, Unavailable)
    assert re.search(reason, answer.reason) and re.search(fix, answer.fix)


def test_an_old_device_beside_a_new_one_is_listed_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "library", library(devices=lambda: [OLD, *emulation.devices()]))
    answer = device.probe()
    assert (
        isinstance(answer, Ready)
        and "too old" in answer.devices[0]
        and answer.detail.startswith("Emulated 0")
    )
    with pytest.raises(UsageError, match="cannot be used: Tesla"):
        orpheus.InferenceSession(chain("Relu"), providers=[("cuda", {"device": 0})])


def test_the_manifest_imports_no_cupy() -> None:
    script = "import sys, orpheus_cuda; orpheus_cuda.orpheus_backend(); assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.usefixtures("emulated")
def test_a_plan_is_recorded_once_and_replayed() -> None:
    session = orpheus.InferenceSession(chain("Sin", "Softmax", "Exp"), providers=["cuda"], fallback="error")
    emulation.LOG.clear()
    for seed in range(5):
        powers = np.exp(np.sin(draw(seed).astype(np.float64)))
        wanted = np.exp(powers / powers.sum(-1, keepdims=True))
        np.testing.assert_allclose(session.run(None, {"x": draw(seed)})[0], wanted, rtol=1e-6)
    assert len(emulation.LOG) == 1


@pytest.mark.usefixtures("emulated")
def test_another_shape_is_recorded_anew() -> None:
    model = chain("Sin", "Softmax", shape=("n", 5))  # type: ignore[arg-type]
    session = orpheus.InferenceSession(model, providers=["cuda"], fallback="error")
    emulation.LOG.clear()
    for rows in (2, 3, 2, 3, 2, 3):
        x = np.random.default_rng(rows).standard_normal((rows, 5)).astype(np.float32)
        powers = np.exp(np.sin(x.astype(np.float64)))
        wanted = powers / powers.sum(-1, keepdims=True)
        np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-6)
    assert len(emulation.LOG) == 2


def test_calls_from_threads_do_not_mix() -> None:
    from concurrent.futures import ThreadPoolExecutor

    session = orpheus.InferenceSession(chain("Relu", "Neg"), providers=["cuda"])
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for seed, got in enumerate(pool.map(lambda s: session.run(None, {"x": draw(s)})[0], range(4))):
                np.testing.assert_array_equal(got, -np.maximum(draw(seed), 0))


def test_what_is_uploaded_may_change_at_once_unless_it_is_staging() -> None:
    runtime = Runtime(Device("cuda"))
    target, x = runtime.empty((3, 50), np.float32), draw()
    runtime.upload(x, target)
    wanted = x.copy()
    x[:] = 0
    got = np.empty_like(x)
    runtime.download(target, got)
    np.testing.assert_array_equal(got, wanted)
    staging = runtime.host(x.nbytes).view(np.float32).reshape(x.shape)
    staging[:] = 2
    runtime.upload(staging, target)
    runtime.download(target, got[:, ::-1])
    np.testing.assert_array_equal(got, 2)


def test_a_profile_tells_the_devices_time() -> None:
    profile = orpheus.InferenceSession(chain("Relu", "Exp"), providers=["cuda"]).profile({"x": draw()})
    rows = [row for row in profile.rows if row.kernel.startswith("cuda:")]
    assert rows and all(row.device_seconds is not None and row.device_seconds > 0 for row in rows)


@pytest.mark.usefixtures("emulated")
def test_no_memory_is_told_and_leaves_the_session_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    session = orpheus.InferenceSession(chain("Relu", "Neg"), providers=["cuda"])
    monkeypatch.setattr(emulation, "CAPACITY", [100])
    with pytest.raises(LimitError, match="Emulated 0 has no memory"):
        session.run(None, {"x": draw()})
    monkeypatch.undo()
    np.testing.assert_array_equal(session.run(None, {"x": draw()})[0], -np.maximum(draw(), 0))


def test_a_grid_that_is_too_large_is_an_error_before_it_starts() -> None:
    x = Runtime(Device("cuda")).empty((4,), np.float32)
    with pytest.raises(ValueError, match=r"grid of .* is too large; the limits are"):
        launch(x, programs.define("suppress.cu"), "collect", (), (1, 70000))
    assert blocks(0) == 0 and blocks(257) == 2


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (2, MemoryError, "80 MiB in all.* no memory for allocating"),
        (700, DeviceError, "was lost to this process while .*Start a new process"),
        (719, DeviceError, "was lost"),
        (9, KernelError, "refuses the launch"),
        (209, KernelError, "cannot run the program"),
        (35, DeviceError, "failed while"),
    ],
)
def test_what_cuda_reports_is_typed(status: int, kind: type[Exception], text: str) -> None:
    error = RuntimeError("cudaErrorSo")
    error.status = status  # type: ignore[attr-defined]
    found = faults.typed(error, "GPU", 80 << 20, "allocating 8 bytes")
    assert isinstance(found, kind) and re.search(text, str(found)) and "cudaErrorSo" in str(found)
    assert isinstance(found, DeviceError) == (kind is DeviceError)


@pytest.fixture
def kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder of programs, a compiler that counts, and a way to ask."""
    monkeypatch.setenv("ORPHEUS_CACHE", str(tmp_path))
    built: list[str] = []
    monkeypatch.setattr(
        programs, "build", lambda code, arch: built.append(arch) or f"{code} for {arch}".encode()
    )
    monkeypatch.setattr(programs, "compiler", lambda: "13.5")
    return SimpleNamespace(
        ask=lambda code="f", arch="sm_90": programs.cubin(code, arch), built=built, folder=tmp_path / "cuda"
    )


def test_a_second_start_compiles_nothing(kept: Any) -> None:
    assert kept.ask() == kept.ask() == b"f for sm_90"
    assert kept.built == ["sm_90"]


def test_another_target_source_or_compiler_does(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.ask()
    kept.ask("g")
    kept.ask(arch="sm_80")
    monkeypatch.setattr(programs, "compiler", lambda: "12.9")
    kept.ask()
    assert len(kept.built) == 4


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_built_anew(kept: Any, damage: str) -> None:
    kept.ask()
    (path,) = kept.folder.iterdir()
    data = path.read_bytes()
    changed = {
        "cut": data[: len(data) // 2],
        "changed": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        "empty": b"",
    }
    path.write_bytes(changed[damage])
    assert kept.ask() == b"f for sm_90" and len(kept.built) == 2 and path.read_bytes() == data
