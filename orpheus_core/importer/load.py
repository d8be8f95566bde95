"""Reading a model: the one way in."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import onnx
from google.protobuf.message import DecodeError

from orpheus_core.errors import LimitError, ParseError, UnsupportedModelError, UsageError
from orpheus_core.graph import Graph
from orpheus_core.importer.build import Builder
from orpheus_core.importer.external import ExternalData
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.reading import ShortFileError, reading
from orpheus_core.importer.stored import Stored, split
from orpheus_core.importer.survey import Survey
from orpheus_core.importer.tensors import TensorReader
from orpheus_core.importer.wire import count_messages

_DEFAULT = Limits()
_LARGE_FILE = 1 << 16


@dataclass(frozen=True, eq=False)
class Model:
    """A graph and what its file said about itself.

    ``nbytes`` is the size of the protobuf, without external data. ``functions`` counts the model-local functions that
    were inlined. ``nodes`` counts nodes as written, functions expanded, before old forms were brought up to date.
    """

    graph: Graph
    opset_imports: Mapping[str, int]
    ir_version: int
    producer: str
    nbytes: int
    functions: int
    nodes: int
    metadata: Mapping[str, str]
    doc: str = ""


def load(
    source: Union[str, os.PathLike[str], bytes, onnx.ModelProto],
    *,
    limits: Limits = _DEFAULT,
    external_data_dir: Union[str, os.PathLike[str], None] = None,
) -> Model:
    """Read a model from a path, from bytes, or from a ModelProto.

    External data is looked for in the model file's folder, or in ``external_data_dir``. Raises ParseError for
    bytes that are not a model, LimitError, ExternalDataError, UnsupportedModelError, or ModelError, each naming the
    place; UsageError when the file cannot be read at all.
    """
    folder = None if external_data_dir is None else Path(external_data_dir)
    try:
        if isinstance(source, onnx.ModelProto):
            return _build(source, source.ByteSize(), folder, limits, Stored())
        if isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
            proto, nbytes = _parse(data, limits), len(data)
            del data
            return _build(proto, nbytes, folder, limits, Stored())
        path = Path(source)
        return _from_file(path, path.parent if folder is None else folder, limits)
    except RecursionError:
        raise LimitError("the model nests deeper than this interpreter can follow") from None
    except MemoryError:
        raise LimitError("the model needs more memory than there is") from None


def _from_file(path: Path, folder: Path, limits: Limits) -> Model:
    """Of a file with large weights these are read apart, while the graph is built."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"cannot read the model {str(path)!r}: it is not a regular file")
        size = facts.st_size
        if size > limits.file_bytes:
            raise LimitError(f"{path.name}: {size} bytes is over the limit of {limits.file_bytes}")
        with path.open("rb") as file:
            found = split(file, size) if size >= _LARGE_FILE else None
            file.seek(size)
            if found is not None and not file.read(1):
                skeleton, stored, pieces = found
                # What is wrong with a file, and where, the whole of it says better.
                with contextlib.suppress(ParseError, ShortFileError), reading(file, pieces):
                    return _build(_parse(skeleton, limits), size, folder, limits, stored)
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read the model {str(path)!r}: {error.strerror or error}") from None
    proto, nbytes = _parse(data, limits), len(data)
    del data
    return _build(proto, nbytes, folder, limits, Stored())


def _parse(data: bytes, limits: Limits) -> onnx.ModelProto:
    if not data:
        raise ParseError("the model is empty (0 bytes)")
    if len(data) > limits.file_bytes:
        raise LimitError(f"the model has {len(data)} bytes, the limit is {limits.file_bytes}")
    count_messages(data, limits)
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        if "alloc" in str(error):  # protobuf has no other way to say it
            raise LimitError("the model needs more memory than there is") from None
        raise ParseError(f"not an ONNX model, damaged, cut short or nested too deeply: {error}") from None
    return proto


def _build(proto: onnx.ModelProto, nbytes: int, folder: Path | None, limits: Limits, stored: Stored) -> Model:
    if proto.ir_version < 1:
        raise ParseError("not an ONNX model: it has no ir_version")
    if proto.ir_version > onnx.IR_VERSION:
        raise UnsupportedModelError(
            f"the model's graph is of IR version {proto.ir_version}; the newest known here is {onnx.IR_VERSION} "
            f"(onnx {onnx.__version__}). Install a newer onnx"
        )
    if not proto.HasField("graph"):
        raise ParseError("not an ONNX model, or cut short: it has no graph")
    survey = Survey(proto, limits)
    tensors = TensorReader(ExternalData(folder, limits), limits, stored)
    graph = Builder(survey, tensors, proto.ir_version, limits).main(proto.graph)
    return Model(
        graph=graph,
        opset_imports=survey.opsets,
        ir_version=proto.ir_version,
        producer=f"{_shown(proto.producer_name)} {_shown(proto.producer_version)}".strip(),
        nbytes=nbytes,
        functions=len(survey.functions),
        nodes=survey.nodes,
        metadata={_shown(p.key): _shown(p.value) for p in proto.metadata_props},
        doc=_shown(proto.doc_string),
    )


def _shown(text: str | bytes) -> str:
    # Text that means nothing to inference may be damaged without harm.
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
