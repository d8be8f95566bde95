"""Every error Orpheus raises on purpose. All derive from :class:`OrpheusError`.

A message names what was asked, what is there, and what to do. The subclass tells a
program which of the three parties is at fault: the model, the caller, or a plugin.
"""

from __future__ import annotations


class OrpheusError(Exception):
    """Base of all typed errors; catching it catches everything Orpheus refuses."""


class ModelError(OrpheusError):
    """The model itself is at fault: malformed, inconsistent, or against the ONNX specification."""


class ParseError(ModelError):
    """The bytes are not an ONNX model, or end too early."""


class LimitError(ModelError):
    """The model asks for more nodes, nesting, elements or bytes than the limits allow."""


class ExternalDataError(ModelError):
    """An external tensor names a file that may not or cannot be read."""


class UnsupportedModelError(ModelError):
    """The model is valid, but uses an operator, type or version that nothing here implements."""


class InputError(OrpheusError):
    """A feed has the wrong name, type, rank or shape, or is missing."""


class UsageError(OrpheusError):
    """A call or a command line asks for something that does not exist or contradicts itself."""


class BackendError(OrpheusError):
    """A backend that was asked for by name is absent, broken, incompatible or unusable."""


class SelectionError(OrpheusError):
    """No assignment of kernels satisfies the pins, the policy and the fallback setting."""


class KernelError(OrpheusError):
    """A kernel failed while it was prepared or run; names the node and the kernel."""


class DeviceError(KernelError):
    """A device was lost, was reset, or refused work for want of resources; names the device."""
