"""The ``onnx.backend.base`` interface: any tool that drives ONNX backends can drive Orpheus.

``onnx.backend.test.BackendTest(orpheus_core.onnx_backend, __name__)`` runs ONNX's own suite. A model that Orpheus
cannot run raises its typed error; nothing is declined quietly, since the suite would count that as passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import helper
from onnx.backend.base import Backend, BackendRep

from orpheus_core.errors import InputError, UnsupportedModelError
from orpheus_core.importer.protos import write_type
from orpheus_core.ops import latest_version
from orpheus_core.session import InferenceSession
from orpheus_core.types import SequenceType, UnknownType, ValueType, type_of_array

__all__ = [
    "OrpheusBackend",
    "OrpheusRep",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]


class OrpheusRep(BackendRep):
    """A prepared model."""

    def __init__(self, session: InferenceSession) -> None:
        super().__init__()
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Outputs for inputs: a mapping by name, a sequence in graph order, or one array alone."""
        del kwargs
        if not isinstance(inputs, Mapping):
            names = [i.name for i in self.session.get_inputs()]
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(given) > len(names):
                names += [i.name for i in self.session.get_overridable_initializers()]
            if len(given) > len(names):
                raise InputError(
                    f"{len(given)} inputs given, the model takes {len(names)}: {', '.join(names)}"
                )
            inputs = dict(zip(names, given))
        return tuple(self.session.run(None, inputs))


class OrpheusBackend(Backend):
    """Orpheus as an ONNX backend; keyword arguments are those of InferenceSession."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> OrpheusRep:
        """A model made ready to run."""
        if not cls.supports_device(device):
            raise UnsupportedModelError(f"device {device!r} is not offered here; CPU is")
        return OrpheusRep(InferenceSession(model, **kwargs))

    @classmethod
    def run_model(
        cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """Prepare and run once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node on its inputs, given in the order of the node's non-empty input names."""
        del outputs_info
        opset = kwargs.pop("opset_version", None)
        names = [n for n in node.input if n]
        given = inputs if isinstance(inputs, Mapping) else dict(zip(names, inputs))
        graph = helper.make_graph(
            [node],
            "node",
            [helper.make_value_info(n, write_type(_type_of(given[n]))) for n in names],
            [onnx.ValueInfoProto(name=n) for n in node.output if n],
        )
        imports = [helper.make_opsetid(node.domain, opset or latest_version(node.domain))]
        return cls.run_model(helper.make_model(graph, opset_imports=imports), dict(given), device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models can be placed there: the host only, for now."""
        return device.split(":", maxsplit=1)[0] == "CPU"


def _type_of(value: Any) -> ValueType:
    if isinstance(value, list):
        return SequenceType(_type_of(value[0]) if value else UnknownType())
    return type_of_array(value)


prepare = OrpheusBackend.prepare
run_model = OrpheusBackend.run_model
run_node = OrpheusBackend.run_node
supports_device = OrpheusBackend.supports_device
is_compatible = OrpheusBackend.is_compatible
