"""A tensor that lies on a device: what a session takes and gives where nothing is to pass through the host."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from orpheus_core import dlpack
from orpheus_core.errors import InputError
from orpheus_core.types import Array, Device

__all__ = ["DeviceArray"]


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """A contiguous tensor on ``device``, for every library that speaks DLPack: ``torch.from_dlpack(y)``.

    ``block`` is memory of the device's ``runtime``. ``source`` is the object of another library whose memory it is.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: Device
    block: Any
    runtime: Any
    source: Any = None
    read_only: bool = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def pointer(self) -> int:
        """Where it begins."""
        return int(self.runtime.address(self.block))

    def numpy(self) -> Array:
        """A copy of it on the host."""
        target = np.empty(self.shape, self.dtype)
        self.runtime.download(self.view(self.runtime), target)
        return target

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"an array on {self.device} is not the host's without a copy")
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Its device as DLPack counts them."""
        kind, index = self.runtime.dlpack
        return int(kind), int(index)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Its memory, without a copy. What fills it has ended, so any stream may read it at once."""
        here = self.__dlpack_device__()
        if dl_device is not None and tuple(dl_device) != here:
            raise BufferError(f"it lies on {dlpack.device_name(here)}; numpy() copies it to the host")
        if copy:
            return self.copied(self.runtime).__dlpack__(max_version=max_version)
        strides = tuple(prod(self.shape[axis + 1 :]) for axis in range(self.ndim))
        tensor = dlpack.Tensor(
            self.pointer, self.shape, strides, self.dtype, here, self.read_only, (self.block, self.source)
        )
        return dlpack.lend(tensor, versioned=max_version is not None and max_version[0] >= 1)

    # For the core.

    def view(self, runtime: Any, shape: tuple[int, ...] | None = None) -> Any:
        """The array of a runtime of its device, in the shape of as many elements."""
        return runtime.view(self.block, 0, self.shape if shape is None else shape, self.dtype)

    def copied(self, runtime: Any) -> DeviceArray:
        """Another of the same values, once it is computed."""
        made = DeviceArray(self.shape, self.dtype, self.device, runtime.shared(self.nbytes), self.runtime)
        made.view(runtime)[...] = self.view(runtime)
        runtime.synchronize()
        return made

    def follow(self, runtime: Any) -> None:
        """Let what is begun through ``runtime`` from now on wait for what its library has begun on it.

        Raises InputError when it lies elsewhere by now.
        """
        if self.source is None:
            return
        try:
            now = dlpack.read(self.source, runtime.dlpack_stream)
        except BufferError as error:
            raise InputError(
                f"a bound {type(self.source).__name__} cannot be read any more: {error}"
            ) from None
        if (now.pointer, now.shape) != (self.pointer, self.shape):
            raise InputError(
                f"a bound {type(self.source).__name__} has moved or changed its shape; bind it anew"
            )

    def overlaps(self, other: Any) -> bool:
        """Whether another tensor shares memory with it."""
        if not isinstance(other, DeviceArray) or other.device != self.device:
            return False
        a, b = self.pointer, other.pointer
        return a < b + other.nbytes and b < a + self.nbytes
