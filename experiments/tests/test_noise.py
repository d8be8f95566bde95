"""The circumstances of a measurement, and energy counters, read from a made-up system."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from orpheus_experiments.energy.counters import open_hwmon, open_rapl
from orpheus_experiments.energy.meters import Meters
from orpheus_experiments.energy.nvml import open_nvml
from orpheus_experiments.noise import processor
from orpheus_experiments.noise.environment import busy, disturbances, environment
from orpheus_experiments.noise.versions import engines
from orpheus_experiments.timing.device_memory import held
from orpheus_experiments.timing.pages import drop, resident

from orpheus_core.errors import BackendError


def write(root: Path, path: str, text: object) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{text}\n")
    return target


def test_what_a_system_tells(tmp_path) -> None:
    cpu = "sys/devices/system/cpu"
    write(tmp_path, "proc/cpuinfo", "flags\t: fpu avx2 sse4_2 hypervisor\ncpu MHz : 1000.5")
    for number, (rule, now) in enumerate((("performance", 2_000_000), ("powersave", 3_000_000))):
        write(tmp_path, f"{cpu}/cpu{number}/cpufreq/scaling_governor", rule)
        write(tmp_path, f"{cpu}/cpu{number}/cpufreq/scaling_cur_freq", now)
        write(tmp_path, f"{cpu}/cpu{number}/thermal_throttle/core_throttle_count", number + 3)
    write(tmp_path, f"{cpu}/intel_pstate/no_turbo", 1)
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", 41_500)
    assert processor.isa(tmp_path) == ["sse4_2", "avx2"]
    assert processor.governor(tmp_path) == "performance, powersave"
    clock = processor.clock(tmp_path)
    assert clock["now_mhz"] == [2000, 3000] and clock["turbo"] is False
    assert clock["most_mhz"].startswith("not told: ")
    assert processor.heat(tmp_path) == {"celsius": 41.5, "throttled": 7}
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50000")
    assert processor.throttle_count(tmp_path) == 7 + 0x50000


def test_what_a_system_does_not_tell(tmp_path) -> None:
    found = {
        "governor": processor.governor(tmp_path),
        **processor.clock(tmp_path),
        **processor.heat(tmp_path),
    }
    assert all(value.startswith("not told: ") for value in found.values()), found
    write(tmp_path, "proc/cpuinfo", "cpu MHz : 1000.5\ncpu MHz : 2000.4")
    assert processor.clock(tmp_path)["now_mhz"] == [1000, 2000]


def test_how_busy_the_machine_is(tmp_path, monkeypatch) -> None:
    assert busy(0, tmp_path).startswith("not told: ")
    stat = write(tmp_path, "proc/stat", "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1")
    assert busy(0, tmp_path).startswith("not told: ")  # no tick has passed
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("time.sleep", lambda _: stat.write_text("cpu  110 0 60 870 50 0 0 10 0 0\n"))
    assert busy(0, tmp_path) == pytest.approx(4 * 0.3)


def test_siblings_come_last(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    for number in range(4):
        write(
            tmp_path,
            f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list",
            f"{number // 2 * 2}-9",
        )
    assert processor.cores(tmp_path) == [0, 2, 1, 3]


def test_the_environment_is_plain_and_whole() -> None:
    found = environment(["peer:onnxruntime", "peer:nonesuch"])
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["peer:nonesuch"].startswith("not told: ") and found["versions"]["numpy"]
    assert found["plugins"]["numpy"]["status"] == "ready" and found["processor"] and found["revision"]
    assert engines(["onnxruntime"]).keys() == {"onnxruntime"}


def test_what_disturbs() -> None:
    calm = {
        "heat": {"throttled": 3},
        "governor": "performance",
        "busy_processors": 0.1,
    }
    assert disturbances(calm, calm) == []
    assert "throttled" in disturbances(calm, {**calm, "heat": {"throttled": 4}})[0]
    assert "powersave" in disturbances(calm, {**calm, "governor": "powersave"})[0]
    assert "1.5 processors were at work" in disturbances({**calm, "busy_processors": 1.5}, calm)[0]
    unknown = {"heat": {"throttled": "not told: no counter"}}
    assert disturbances(unknown, unknown) == []


RAPL = "sys/class/powercap"


def test_joules_are_counted_and_wrap(tmp_path) -> None:
    package = write(tmp_path, f"{RAPL}/intel-rapl:0/energy_uj", 5_000_000)
    write(tmp_path, f"{RAPL}/intel-rapl:0/name", "package-0")
    write(tmp_path, f"{RAPL}/intel-rapl:0/max_energy_range_uj", 10_000_000)
    other = write(tmp_path, f"{RAPL}/intel-rapl:1/energy_uj", 9_000_000)
    write(tmp_path, f"{RAPL}/intel-rapl:1/max_energy_range_uj", 10_000_000)
    write(tmp_path, f"{RAPL}/intel-rapl:0:0/energy_uj", 1)  # the cores, which the package's counter holds
    with (meter := open_rapl(tmp_path)):
        package.write_text("5500000")
        other.write_text("250000")
    assert meter.joules == {"package-0 (intel-rapl:0)": 0.5, "intel-rapl:1 (intel-rapl:1)": 1.25}
    with meter:
        package.write_text("5600000")
    assert meter.joules["package-0 (intel-rapl:0)"] == pytest.approx(0.1)


def test_rails_of_a_board(tmp_path) -> None:
    rail = write(tmp_path, "sys/class/hwmon/hwmon2/energy1_input", 1_000_000)
    write(tmp_path, "sys/class/hwmon/hwmon2/energy1_label", "VDD_CPU")
    write(tmp_path, "sys/class/hwmon/hwmon2/name", "ina238")
    with (meter := open_hwmon(tmp_path)):
        rail.write_text("4000000")
    assert meter.joules == {"ina238 VDD_CPU": 3.0}


def test_no_counter_has_a_reason(tmp_path, monkeypatch) -> None:
    with pytest.raises(BackendError, match="no powercap counters"):
        open_rapl(tmp_path)
    with pytest.raises(BackendError, match="no energy counters"):
        open_hwmon(tmp_path)
    path = write(tmp_path, f"{RAPL}/intel-rapl:0/energy_uj", "words")
    with pytest.raises(BackendError, match="cannot be read"):
        open_rapl(tmp_path)

    def denied(self: Path, *_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(BackendError, match=f"may not be read.*{path}"):
        open_rapl(tmp_path)


class FakeNvml(ModuleType):
    """Two GPUs, of which the second is too old to count; a reading costs the first 250 mJ."""

    class NVMLError(Exception):
        pass

    def __init__(self, count: int = 2, driver: bool = True) -> None:
        super().__init__("pynvml")
        self.count, self.driver, self.millijoules = count, driver, 1000

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return (b"Old", "New")[handle == 0]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if handle:
            raise self.NVMLError("Not Supported")
        self.millijoules += 250
        return self.millijoules


@pytest.mark.parametrize(
    ("library", "part"),
    [
        (None, r"nvidia-ml-py is not installed.*orpheus-experiments\[nvml\]"),
        (FakeNvml(driver=False), "NVML: Driver Not Loaded"),
        (FakeNvml(count=0), "no GPU of NVIDIA's"),
    ],
)
def test_a_gpu_s_energy_has_a_reason_where_there_is_none(monkeypatch, library, part) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)
    with pytest.raises(BackendError, match=part):
        open_nvml()


def test_a_gpu_s_energy(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    with (meter := open_nvml()):
        pass
    assert meter.joules == {"New (GPU 0)": 0.25}
    library = FakeNvml()
    library.nvmlDeviceGetHandleByIndex = lambda index: 1
    monkeypatch.setitem(sys.modules, "pynvml", library)
    with pytest.raises(BackendError, match="GPU 0 does not count its energy: Not Supported"):
        open_nvml()


def test_memory_on_gpus_is_that_of_this_process(monkeypatch) -> None:
    def listed(handle: int) -> list[SimpleNamespace]:
        if handle == 2:
            raise library.NVMLError("Not Supported")
        pids = (os.getpid(), 1) if handle == 0 else (os.getpid(),)
        return [SimpleNamespace(pid=p, usedGpuMemory=1000 + handle if p != 1 else 77) for p in pids]

    library = FakeNvml(count=3)
    library.nvmlDeviceGetComputeRunningProcesses = listed
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert held() == 2001
    library.nvmlDeviceGetComputeRunningProcesses = lambda handle: [SimpleNamespace(pid=1, usedGpuMemory=5)]
    assert held() is None  # of others
    own = SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)
    library.nvmlDeviceGetComputeRunningProcesses = lambda handle: [own]
    assert held() is None  # the driver does not tell
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert held() is None


def test_all_meters_together(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    write(tmp_path, f"{RAPL}/intel-rapl:0/energy_uj", 0)
    monkeypatch.setattr(open_rapl, "__defaults__", (tmp_path,))
    monkeypatch.setattr(open_hwmon, "__defaults__", (tmp_path,))
    meters = Meters()
    assert meters.reason == ""
    for energy in (2_000_000, 3_000_000):
        before = int((tmp_path / RAPL / "intel-rapl:0/energy_uj").read_text())
        with meters:
            write(tmp_path, f"{RAPL}/intel-rapl:0/energy_uj", energy)
        assert meters.joules == {"rapl: intel-rapl:0 (intel-rapl:0)": (energy - before) / 1e6}
    (tmp_path / RAPL / "intel-rapl:0/energy_uj").unlink()
    assert "rapl: " in Meters().reason and "hwmon: " in Meters().reason


def test_a_file_is_dropped_from_the_page_cache(tmp_path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 2**22)
    if resident(path) is None:
        pytest.skip("the system does not tell what its page cache holds")
    assert resident(path) == 1
    try:
        drop([path])
    except BackendError as error:
        assert "page cache" in str(error)  # a file system that lives in memory
    else:
        assert resident(path) <= 0.1
    with pytest.raises(BackendError, match="absent"):
        drop([tmp_path / "absent"])
