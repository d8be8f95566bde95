"""Devices: found, listed, chosen; one bad driver hides no other; programs kept on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.errors import DeviceError, KernelError, UsageError
from orpheus_core.plugin import Ready, Unavailable, resolve

cl = pytest.importorskip("pyopencl", reason="pyopencl is not installed")
pytest.importorskip("orpheus_opencl", reason="orpheus-opencl is not installed")

import orpheus_opencl  # noqa: E402
from orpheus_opencl import device, faults, peak, programs, tiles  # noqa: E402
from orpheus_opencl.launch import launch  # noqa: E402
from orpheus_opencl.runtime import Runtime  # noqa: E402

from orpheus_core.types import Device  # noqa: E402


def relu() -> Any:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3, 50]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "r")], "g", infos[:1], infos[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("options", [{"device": 0}, {"device": "", "platform": ""}, {}])
def test_a_device_is_chosen(options: Any) -> None:
    session = orpheus.InferenceSession(relu(), providers=[("opencl", options)], fallback="error")
    x = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))


def test_by_a_part_of_its_name() -> None:
    name = device.find()[0][0].name
    session = orpheus.InferenceSession(relu(), providers=[("opencl", {"device": name[1:-1].upper()})])
    assert session.get_providers()[0] == "opencl"


@pytest.mark.parametrize(
    ("options", "text"),
    [({"device": 99}, "there is no OpenCL device"), ({"device": "no such name"}, "there are 0: "),
     ({"colour": 1}, "has no option 'colour'; it has device, platform")],
)  # fmt: skip
def test_what_is_not_there_is_refused(options: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        orpheus.InferenceSession(relu(), providers=[("opencl", options)])


def test_devices_are_listed() -> None:
    row = discovery.row("opencl")
    assert row.devices[0].startswith("0: ") and len(row.devices) == len(device.find()[0])


def test_two_sessions_at_once() -> None:
    sessions = [orpheus.InferenceSession(relu(), providers=["opencl"]) for _ in range(2)]
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((3, 50)).astype(np.float32)
        for session in sessions:
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))


_TWO = """
import sys, numpy as np, orpheus_core as orpheus, onnx
from orpheus_opencl import device
model = onnx.load(sys.argv[1])
count = len(device.find()[0])
sessions = [
    orpheus.InferenceSession(model, providers=[("opencl", {"device": i})], fallback="error") for i in range(count)
]
x = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
for _ in range(2):
    for session in sessions:
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))
print(*(session.kernel_plan()[0].outputs[0] for session in sessions))
"""


def test_devices_work_side_by_side(tmp_path: Path) -> None:
    found = device.find()[0]
    if len(found) < 2 and "Portable" not in found[0].platform:
        pytest.skip("only PoCL shows one processor as two devices")
    onnx.save(relu(), tmp_path / "m.onnx")
    environment = os.environ if found[1:] else {**os.environ, "POCL_DEVICES": "basic pthread"}
    command = [sys.executable, "-c", _TWO, str(tmp_path / "m.onnx")]
    ran = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    others = [f"float32[3,50]@opencl:{i}" for i in range(1, max(len(found), 2))]
    assert ran.stdout.split() == ["float32[3,50]@opencl", *others], ran.stderr


def test_a_platform_is_chosen_by_a_part_of_its_name() -> None:
    found = device.find()[0]
    for index, there in enumerate(found):
        name = there.platform[1:].upper()
        first = next(i for i, f in enumerate(found) if name.lower() in f.platform.lower())
        backend = device.configure(orpheus_opencl.orpheus_backend(), {"platform": name})
        assert backend.device == Device("opencl", first)
        assert device.configure(backend, {"platform": name, "device": index}).device.index == index


class _Bad:
    name = "Broken Inc"

    def get_devices(self) -> Any:
        raise cl.LogicError("the driver is of another version")


def test_one_bad_platform_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    good = cl.get_platforms()
    monkeypatch.setattr(cl, "get_platforms", lambda: [_Bad(), *good])
    answer = device.probe()
    assert isinstance(answer, Ready) and "Broken Inc: the driver is of another version" in answer.detail
    monkeypatch.setattr(cl, "get_platforms", lambda: [_Bad()])
    answer = device.probe()
    assert isinstance(answer, Unavailable) and "Broken Inc" in answer.reason and "PoCL" in answer.fix


def test_no_platform_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise cl.LogicError("PLATFORM_NOT_FOUND_KHR")

    monkeypatch.setattr(cl, "get_platforms", none)
    answer = device.probe()
    assert isinstance(answer, Unavailable) and "PLATFORM_NOT_FOUND_KHR" in answer.reason


def test_the_manifest_imports_no_opencl() -> None:
    script = (
        "import sys, orpheus_opencl; orpheus_opencl.orpheus_backend(); assert 'pyopencl' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_work_group_that_is_refused_names_the_limit() -> None:
    queue = device.opened(0).queue()
    most = queue.device.max_work_group_size
    y = Runtime(Device("opencl")).empty((4,), np.float32)
    group = 2 * most
    step = launch(queue, "softmax.cl", "softmax", "", (y, y, 1, 1), (group,), (group,))
    with pytest.raises(KernelError, match=f"refuses the work-group size of .*softmax.*limit is {most}"):
        step()


def test_what_a_driver_says_of_a_program_that_builds_is_no_warning(kept: Any) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        queue = device.opened(0).queue()
        source = "softmax.cl\n#pragma unknown\n#warning something to say\n"
        for _ in range(2):
            programs.program(queue, source, "")
            programs._programs.clear()
    assert not [str(w.message) for w in heard if issubclass(w.category, cl.CompilerWarning)]


def test_a_program_that_does_not_build_shows_the_log() -> None:
    queue = device.opened(0).queue()
    with pytest.raises(
        KernelError, match=r"does not build for .* '-DLOG=1 -cl-kernel-arg-info'(.|\n)*no_such_function"
    ):
        programs.program(
            queue, "softmax.cl\n#define EXTRA 1\nfloat f() { return no_such_function(1); }", "-DLOG=1"
        )


def test_what_drivers_report_is_typed() -> None:
    here = device.opened(0).device
    codes = cl.status_code
    memory = faults.typed(_error(codes.MEM_OBJECT_ALLOCATION_FAILURE), here, "a block of 8 bytes")
    assert isinstance(memory, MemoryError) and "a block of 8 bytes" in str(memory)
    lost = faults.typed(_error(codes.DEVICE_NOT_AVAILABLE), here, "starting conv")
    assert isinstance(lost, DeviceError) and "starting conv" in str(lost) and "new session" in str(lost)


def _error(code: int) -> Any:
    return cl.RuntimeError(
        SimpleNamespace(routine=lambda: "clX", code=lambda: code, what=lambda: "clX failed")
    )


def test_the_peak_is_of_multiply_adds_that_were_done() -> None:
    runtime = Runtime(Device("opencl"))
    y = runtime.empty((3, 4), np.float32)
    peak.work(y, 50)()
    got = np.empty(y.shape, np.float32)
    runtime.download(y, got)
    sums = np.arange(peak.CHAINS, dtype=np.float64)
    for _ in range(50):
        sums = 0.999 * sums + 0.1
    # Each of 50 steps, and of 11 additions, rounds once.
    np.testing.assert_allclose(got, sums.sum(), rtol=61 * 2.0**-24)


def test_the_peak_leaves_out_what_compiling_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one run that another program disturbed."""
    rounds: list[int] = []

    def seconds(runtime: Any, step: Any) -> float:
        rounds.append(step)
        return 0.5 if len(rounds) in (1, 3) else step * 1e-6

    monkeypatch.setattr(peak, "work", lambda y, n: n)
    monkeypatch.setattr(peak, "_seconds", seconds)
    units = device.opened(0).device.max_compute_units
    lanes = tiles.lanes(device.opened(0))
    items = units * (16 if device.opened(0).is_cpu else 2048)
    assert peak.of_device(0, 1) == pytest.approx(2e6 * peak.CHAINS * items * lanes)
    assert rounds[-1] == 2000


def test_a_configured_backend_measures_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    monkeypatch.setattr(peak, "of_device", lambda index, threads: measured.append(index))
    backend = device.configure(orpheus_opencl.orpheus_backend(), {"device": 0})
    resolve(backend.peak or "")(1)
    peak.device3(1)
    assert measured == [0, 3]
    with pytest.raises(AttributeError, match="no attribute 'deviceX'"):
        _ = peak.deviceX


@pytest.fixture
def kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder of programs, written by whatever driver there is, and a way to begin anew."""
    monkeypatch.setenv("ORPHEUS_CACHE", str(tmp_path))
    monkeypatch.setattr(programs, "keeps", lambda device: True)

    def start() -> dict[str, int]:
        monkeypatch.setattr(programs, "_programs", {})
        monkeypatch.setattr(programs, "counts", {"built": 0, "kept": 0})
        queue = device.opened(0).queue()
        programs.program(queue, "softmax.cl", "-DLOG")
        return programs.counts

    return SimpleNamespace(start=start, folder=tmp_path / "opencl")


def test_a_second_start_compiles_nothing(kept: Any) -> None:
    assert kept.start() == {"built": 1, "kept": 0}
    assert kept.start() == {"built": 0, "kept": 1}


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_built_anew(kept: Any, damage: str) -> None:
    kept.start()
    (path,) = kept.folder.iterdir()
    data = path.read_bytes()
    changed = {
        "cut": data[: len(data) // 2],
        "changed": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        "empty": b"",
    }[damage]
    path.write_bytes(changed)
    assert kept.start() == {"built": 1, "kept": 0}
    assert kept.start() == {"built": 0, "kept": 1}


def test_another_driver_device_source_or_option_misses() -> None:
    def facts(**changed: str) -> Any:
        common = {"name": "D", "version": "2", "driver_version": "3", **changed}
        return SimpleNamespace(platform=SimpleNamespace(name="P", version="1"), **common)

    names = {programs.kept_as(facts(), "a", "-DX"), programs.kept_as(facts(), "b", "-DX"),
             programs.kept_as(facts(), "a", "-DY"), programs.kept_as(facts(name="E"), "a", "-DX"),
             programs.kept_as(facts(driver_version="4"), "a", "-DX")}  # fmt: skip
    assert len(names) == 5


def test_a_profile_tells_the_devices_time() -> None:
    session = orpheus.InferenceSession(relu(), providers=["opencl"])
    profile = session.profile({"x": np.ones((3, 50), np.float32)})
    rows = [row for row in profile.rows if row.kernel.startswith("opencl:")]
    assert rows
    for row in rows:
        assert row.device_seconds is not None and 0 < row.device_seconds < row.seconds
