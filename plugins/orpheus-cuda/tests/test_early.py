"""Launches that overlap the kernel before: what the driver is told, and what kernels must do to be launched so."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import emulation
import numpy as np
import pytest
from orpheus_cuda import driver as driver_module
from orpheus_cuda import early, programs

from orpheus_core.errors import KernelError

KERNELS = sorted(p.name for p in (Path(programs.__file__).parent / "cu").glob("*.cu"))
#: Kernels that wait for nobody: what follows a NonMaxSuppression runs one by one.
ALONE = {"suppress.cu", "topk.cu"}

# The structures as cuda.h declares them, and a driver that writes down what it was told.
DRIVER = """
#include <cstdint>
#include <cstring>
union Value { char pad[64]; int serialization; void *pointer; };
struct Attribute { int id; char pad[8 - sizeof(int)]; Value value; };
struct Config {
    unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    void *hStream;
    Attribute *attrs;
    unsigned numAttrs;
};
extern "C" int64_t told[16] = {};
extern "C" int sizes[2] = {sizeof(Attribute), sizeof(Config)};
extern "C" int cuLaunchKernelEx(const Config *c, void *function, void **parameters, void **extra) {
    float second;
    std::memcpy(&second, parameters[1], 4);
    const int64_t all[] = {c->gridDimX, c->gridDimY, c->gridDimZ, c->blockDimX, c->blockDimY, c->blockDimZ,
                           c->sharedMemBytes, (int64_t)c->hStream, c->numAttrs, c->attrs->id,
                           c->attrs->value.serialization, (int64_t)function, *(int64_t *)parameters[0],
                           (int64_t)(second * 4), *(int *)parameters[2], extra != nullptr};
    std::memcpy(told, all, sizeof all);
    return *(int *)parameters[2];
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("driver") / "libdriver.so"
    command = [str(emulation.COMPILER), "-x", "c++", "-shared", "-fPIC", "-", "-o", str(path)]
    subprocess.run(command, input=DRIVER, text=True, check=True)
    return ctypes.CDLL(str(path))


def test_the_driver_is_told_what_was_asked(driver: Any) -> None:
    assert list((ctypes.c_int * 2).in_dll(driver, "sizes")) == [
        ctypes.sizeof(early.Attribute),
        ctypes.sizeof(early.Config),
    ]
    launch = early.Early(driver)
    arguments = (np.uint64(2**40 + 7), np.float32(1.25), np.int32(0))
    assert launch(0x5000, (3, 2), (64,), arguments, 1 << 17, 0x7000) == 0
    told = list((ctypes.c_int64 * 16).in_dll(driver, "told"))
    assert told == [3, 2, 1, 64, 1, 1, 1 << 17, 0x7000, 1, 6, 1, 0x5000, 2**40 + 7, 5, 0, 0]
    assert launch(0x5000, (1,), (64,), (np.uint64(1), np.float32(1), np.int32(700)), 0, 0) == 700


def test_who_may_be_launched_early(monkeypatch: pytest.MonkeyPatch, driver: Any) -> None:
    monkeypatch.setattr(early.ctypes, "CDLL", lambda name: driver)
    assert early.find((9, 0), "13.0") is not None
    assert early.find((8, 9), "13.0") is None
    assert early.find((9, 0), "12.2") is None
    monkeypatch.setenv("ORPHEUS_CUDA_EARLY", "0")
    assert early.find((9, 0), "13.0") is None


def test_a_driver_that_is_not_there_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    monkeypatch.setattr(early.ctypes, "CDLL", missing)
    assert early.find((9, 0), "13.0") is None


def test_a_graph_that_cannot_be_made_of_such_launches_is_made_of_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library: Any = object.__new__(driver_module.Library)
    library._early = object()

    def captured(self: Any, work: Any, stream: Any) -> Any:
        if self._early is not None:
            raise KernelError("no programmatic edges")
        return work

    monkeypatch.setattr(driver_module.Library, "_captured", captured)
    with caplog.at_level("WARNING", "orpheus"):
        assert library.capture(print, None) is print
    assert "no programmatic edges" in caplog.text
    assert library._early is None


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_waits_before_all_else_or_is_not_launched_early(name: str) -> None:
    source = programs.read(name)
    bodies = re.findall(r"__global__ void[^{]*\{\s*([^;]*;)", source)
    assert bodies
    waits = [body == "after_others();" for body in bodies]
    if name == "product.cu":  # which fetches weights before
        assert source.count("after_others();") == 2
    else:
        assert not any(waits) if name in ALONE else all(waits)
