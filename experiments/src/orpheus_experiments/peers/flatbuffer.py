"""A LiteRT model under construction: tensors, constants and operators, written as a flatbuffer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.types import Array

__all__ = ["ModelWriter"]

_VERSION = 3


class ModelWriter:
    """Collects one subgraph; the schema's own classes come with ai-edge-litert."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self._model = schema.ModelT()
        self._model.version = _VERSION
        self._model.description = "converted from ONNX by orpheus-experiments"
        self._model.buffers = [schema.BufferT()]  # number 0 is the empty one, by convention
        self._model.operatorCodes = []
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._codes: dict[int, int] = {}

    def tensor(self, name: str, shape: Sequence[int]) -> int:
        """A float32 tensor that an operator or the caller fills; gives its number."""
        return self._add(name, shape, self.schema.TensorType.FLOAT32, 0)

    def constant(self, name: str, array: Array) -> int:
        """A float32 or int32 constant; gives its number."""
        types = {"float32": self.schema.TensorType.FLOAT32, "int32": self.schema.TensorType.INT32}
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._add(name, array.shape, types[array.dtype.name], len(self._model.buffers) - 1)

    def _add(self, name: str, shape: Sequence[int], type_: int, buffer: int) -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name, type_, buffer
        tensor.shape = np.asarray(shape, np.int32)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(
        self, op: str, inputs: Sequence[int], output: int, options: str = "", **fields: object
    ) -> Any:
        """Add ``op`` (a name of ``BuiltinOperator``) with the options table ``options``; gives the operator."""
        code = getattr(self.schema.BuiltinOperator, op)
        if code not in self._codes:
            entry = self.schema.OperatorCodeT()
            entry.builtinCode, entry.version = code, 1
            entry.deprecatedBuiltinCode = min(code, 127)  # where readers before 2020 look
            self._codes[code] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(entry)
        made = self.schema.OperatorT()
        made.opcodeIndex = self._codes[code]
        made.inputs, made.outputs = np.asarray(inputs, np.int32), np.asarray([output], np.int32)
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in fields.items():
                if not hasattr(made.builtinOptions, name):
                    raise AttributeError(f"{options} has no field {name!r}")
                setattr(made.builtinOptions, name, value)
        self._graph.operators.append(made)
        return made

    def write(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """The finished model as a file."""
        import flatbuffers

        self._graph.inputs, self._graph.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        self._model.subgraphs = [self._graph]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
