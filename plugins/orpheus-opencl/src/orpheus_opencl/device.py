"""The OpenCL devices of this machine: found, listed, chosen by index or name, opened once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orpheus_core.errors import BackendError, UsageError
from orpheus_core.plugin import Backend, Ready, Unavailable
from orpheus_core.types import Device

if TYPE_CHECKING:
    import pyopencl as cl

_FIX = (
    "install your device's OpenCL driver, or PoCL for the CPU (Debian, Ubuntu: apt install pocl-opencl-icd)"
)
_OPTIONS = ("device", "platform", "queues")
_QUEUES = range(1, 9)


@dataclass(frozen=True)
class Found:
    """A device and its platform's name; ``kind`` is gpu, accelerator or cpu."""

    device: cl.Device
    platform: str
    kind: str

    @property
    def name(self) -> str:
        """As the driver calls it."""
        return str(self.device.name).strip()

    @property
    def is_cpu(self) -> bool:
        """Whether work items are loops of a processor's thread, for which large register tiles pay."""
        return self.kind == "cpu"

    @property
    def identity(self) -> str:
        """Device, driver and platform: under it compiled programs and measured times are kept."""
        return f"{self.platform}|{self.name}|{self.device.version}|{self.device.driver_version}"

    def __str__(self) -> str:
        memory = self.device.global_mem_size / 2**30
        units = self.device.max_compute_units
        return f"{self.name} ({self.kind}, {units} compute units, {memory:.1f} GiB; {self.platform})"


def find() -> tuple[list[Found], list[str]]:
    """Every usable device, GPUs first, and what went wrong with the others; ImportError without pyopencl."""
    import pyopencl as cl

    try:
        platforms = cl.get_platforms()
    except cl.Error as error:  # what the loader says when no driver is registered
        return [], [str(error)]
    found, faults = [], []
    for platform in platforms:
        name = "a platform"
        try:
            name = platform.name.strip()
            devices = platform.get_devices()
        except cl.Error as error:  # one bad driver must not hide the others
            faults.append(f"{name}: {error}")
            continue
        for device in devices:
            try:
                found.append(Found(device, name, _kind(device)))
                _ = str(found[-1])
            except cl.Error as error:
                found.pop()
                faults.append(f"a device of {name}: {error}")
    order = ("gpu", "accelerator", "cpu")
    return sorted(found, key=lambda f: order.index(f.kind)), faults


def _kind(device: cl.Device) -> str:
    import pyopencl as cl

    if device.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if device.type & cl.device_type.CPU else "accelerator"


def probe() -> Ready | Unavailable:
    """Ready with the devices, or why there is none."""
    try:
        found, faults = find()
    except ImportError as error:
        return Unavailable(f"pyopencl cannot be imported: {error}", "pip install pyopencl")
    told = f" ({'; '.join(faults)})" if faults else ""
    if not found:
        return Unavailable(f"no OpenCL device{told}", _FIX)
    return Ready(
        f"{found[0].name}{f' and {len(found) - 1} more' if found[1:] else ''}{told}",
        tuple(f"{i}: {f}" for i, f in enumerate(found)),
    )


def configure(backend: Backend, options: Mapping[str, Any]) -> Backend:
    """The backend on the device that ``device`` (an index, or a part of its name) and ``platform`` (a part) name.

    Launches that do not wait for each other are put on as many queues as ``queues`` says.
    """
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise UsageError(f"backend 'opencl' has no option {unknown[0]!r}; it has {', '.join(_OPTIONS)}")
    found = find()[0]
    wanted, platform = options.get("device", ""), str(options.get("platform", "")).lower()
    fits = [i for i, f in enumerate(found) if platform in f.platform.lower()]
    if isinstance(wanted, int):
        fits = [i for i in fits if i == wanted]
    else:
        fits = [i for i in fits if str(wanted).lower() in found[i].name.lower()]
    if not fits:
        there = "; ".join(f"{i}: {f}" for i, f in enumerate(found)) or "none"
        raise UsageError(f"there is no OpenCL device {dict(options)!r}; there are {there}")
    queues = options.get("queues", usual_queues(found[fits[0]]))
    if type(queues) is not int or queues not in _QUEUES:
        raise UsageError(
            f"backend 'opencl': option queues is a number from 1 to {_QUEUES[-1]}, not {queues!r}"
        )
    from orpheus_opencl.manifest import on_device

    backend = on_device(backend, fits[0]) if fits[0] != backend.device.index else backend
    return with_queues(
        replace(backend, device=Device("opencl", fits[0]), peak=f"orpheus_opencl.peak:device{fits[0]}"),
        queues,
    )


def usual_queues(found: Found) -> int:
    """Three on a processor (benchmarks/opencl_queues.py), one where nothing was measured."""
    return 3 if found.is_cpu else 1


def with_queues(backend: Backend, count: int) -> Backend:
    """The backend with launches on so many queues."""
    seal = f"orpheus_opencl.queues:seal{count}" if count > 1 else "orpheus_opencl.launch:seal"
    return replace(backend, seal=seal, concurrent=count > 1)


class Opened:
    """A device with its context, shared by all sessions of the process."""

    def __init__(self, index: int, found: Found) -> None:
        import pyopencl as cl

        self.index, self.found = index, found
        self.device = found.device
        self.context = cl.Context([found.device])
        self.lock = threading.Lock()

    def queue(self, *, profiled: bool = False) -> cl.CommandQueue:
        """A new queue, in order."""
        import pyopencl as cl

        properties = cl.command_queue_properties.PROFILING_ENABLE if profiled else 0
        return cl.CommandQueue(self.context, self.device, properties=properties)

    @cached_property
    def loading(self) -> cl.CommandQueue:
        """The queue that weights are uploaded through."""
        return self.queue()

    @cached_property
    def is_cpu(self) -> bool:
        """As :class:`Found` says."""
        return self.found.is_cpu


_opened: dict[int, Opened] = {}
_opening = threading.Lock()


def opened(index: int) -> Opened:
    """The device of that index; BackendError when it has gone, or refuses a context."""
    import pyopencl as cl

    with _opening:
        if index not in _opened:
            found = find()[0]
            if index >= len(found):
                raise BackendError(f"there is no OpenCL device {index} (any more); there are {len(found)}")
            try:
                _opened[index] = Opened(index, found[index])
            except cl.Error as error:
                raise BackendError(f"OpenCL device {found[index]} gives no context: {error}") from error
        return _opened[index]
