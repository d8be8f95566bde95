"""The devices that a session computes on, and tensors of other libraries that lie there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

from orpheus_core import dlpack
from orpheus_core.device_array import DeviceArray
from orpheus_core.errors import InputError, UsageError
from orpheus_core.plugin import Backend
from orpheus_core.selection.invoke import runtime_of
from orpheus_core.types import CPU, Device


class Devices:
    """Of the backends of a session, those whose memory other libraries may share."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = backends

    def _runtimes(self) -> dict[Device, Any]:
        found = {b.device: runtime_of(b) for b in self._backends if b.device != CPU and b.runtime is not None}
        return {device: r for device, r in found.items() if hasattr(r, "dlpack")}

    def borrow(self, name: str, value: Any) -> DeviceArray:
        """The memory of an object with ``__dlpack__`` on one of them; InputError says where it is, or what it lacks."""
        place = dlpack.device_of(value)
        runtimes = self._runtimes()
        by_place = {tuple(r.dlpack): (device, r) for device, r in runtimes.items()}
        if place not in by_place:
            here = ", ".join(dlpack.device_name(p) for p in by_place)
            raise InputError(
                f"{name!r} lies on {dlpack.device_name(place)}; this session shares memory with"
                f" {f'the host and {here}' if here else 'the host only'}. Copy it there, or open the session with a"
                " backend on its device: providers=[(name, {'device': index})]"
            )
        device, runtime = by_place[place]
        if isinstance(value, DeviceArray):
            return value
        try:
            shared = dlpack.read(value, runtime.dlpack_stream)
        except BufferError as error:
            raise InputError(
                f"{name!r}: this {type(value).__name__} cannot be read through DLPack: {error}"
            ) from error
        if not shared.is_contiguous:
            raise InputError(
                f"{name!r} of shape {list(shared.shape)} has strides {list(shared.strides)}; on a device a tensor must"
                " be contiguous: give a contiguous copy"
            )
        nbytes = shared.dtype.itemsize
        for size in shared.shape:
            nbytes *= size
        block = runtime.foreign(shared.pointer, nbytes, shared.owner)
        return DeviceArray(shared.shape, shared.dtype, device, block, runtime, value, shared.read_only)

    def named(self, wanted: Union[str, Device]) -> Device:
        """The device of that name; UsageError says which there are."""
        known = {CPU: None, **self._runtimes()}
        for device in known:
            if wanted in (device, str(device), f"{device.kind}:{device.index}"):
                return device
        raise UsageError(
            f"results cannot be left on {str(wanted)!r}; this session has {', '.join(map(str, known))}"
        )
