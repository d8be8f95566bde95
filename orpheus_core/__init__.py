"""Orpheus: deploy and evaluate neural-network inference, layer by layer.

``InferenceSession`` follows ONNX Runtime's conventions. Names are loaded when first used, so that
``import orpheus_core`` costs little and touches no plugin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orpheus_core.device_array import DeviceArray
    from orpheus_core.discovery import backends, override
    from orpheus_core.discovery import register as register_backend
    from orpheus_core.discovery import unregister as unregister_backend
    from orpheus_core.errors import (
        BackendError,
        DeviceError,
        ExternalDataError,
        InputError,
        KernelError,
        LimitError,
        ModelError,
        OrpheusError,
        ParseError,
        SelectionError,
        UnsupportedModelError,
        UsageError,
    )
    from orpheus_core.session import InferenceSession, SessionOptions, tune

__version__ = "0.1.0"

_ERRORS = (
    "BackendError", "DeviceError", "ExternalDataError", "InputError", "KernelError", "LimitError", "ModelError",
    "OrpheusError", "ParseError", "SelectionError", "UnsupportedModelError", "UsageError",
)  # fmt: skip
_WHERE = {
    "DeviceArray": ("orpheus_core.device_array", "DeviceArray"),
    "InferenceSession": ("orpheus_core.session", "InferenceSession"),
    "SessionOptions": ("orpheus_core.session", "SessionOptions"),
    "tune": ("orpheus_core.session", "tune"),
    "backends": ("orpheus_core.discovery", "backends"),
    "override": ("orpheus_core.discovery", "override"),
    "register_backend": ("orpheus_core.discovery", "register"),
    "unregister_backend": ("orpheus_core.discovery", "unregister"),
    **{name: ("orpheus_core.errors", name) for name in _ERRORS},
}

__all__ = [
    "BackendError", "DeviceArray", "DeviceError", "ExternalDataError", "InferenceSession", "InputError", "KernelError",
    "LimitError", "ModelError", "OrpheusError", "ParseError", "SelectionError", "SessionOptions",
    "UnsupportedModelError", "UsageError", "__version__", "backends", "override", "register_backend", "tune",
    "unregister_backend",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
