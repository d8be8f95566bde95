"""Large weights that are read past the protobuf library are those that a full parse gives."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from orpheus_core.errors import ModelError, ParseError
from orpheus_core.importer import load
from orpheus_core.importer.reading import reading
from orpheus_core.importer.stored import Stored, split


def _model(weight: TensorProto, *more: TensorProto) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 200)) for n in "xy"]
    nodes = [helper.make_node("MatMul", ["x", "W"], ["t"]), helper.make_node("Add", ["t", "b"], ["y"])]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [weight, *more])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def model() -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    arrays = {"W": (200, 200), "b": (200,), "unused": (1000, 3)}
    return _model(
        *(numpy_helper.from_array(generator.normal(size=s).astype(np.float32), n) for n, s in arrays.items())
    )


def test_weights_of_a_file_are_those_of_its_bytes(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    found = {v.name: v.const for v in load(path).graph.constants}
    for name, expected in {v.name: v.const for v in load(path.read_bytes()).graph.constants}.items():
        array = found[name]
        assert array is not None and array.flags.aligned and not array.flags.writeable
        np.testing.assert_array_equal(array, expected)


def test_what_is_parsed_is_small_and_the_rest_is_whole(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    file = io.BytesIO(data)
    parts = split(file, len(data))
    assert parts is not None
    skeleton, stored, pieces = parts
    with reading(file, pieces):
        pass
    assert len(skeleton) < 2000 and [a.size for a in stored.arrays] == [160_000, 12_000]
    parsed = onnx.ModelProto.FromString(skeleton)
    for tensor in parsed.graph.initializer:
        array = stored.find(tensor.raw_data)
        if array is not None:
            tensor.raw_data = array.tobytes()
    assert parsed == model


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused_as_bytes_are(
    model: onnx.ModelProto, kept: float, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    data = model.SerializeToString()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ParseError) as of_file:
        load(path)
    with pytest.raises(ParseError) as of_bytes:
        load(path.read_bytes())
    assert str(of_file.value) == str(of_bytes.value)


def test_weights_of_the_wrong_size_are_refused(tmp_path: Path) -> None:
    weight = TensorProto(name="W", dims=[200, 200], data_type=TensorProto.FLOAT, raw_data=bytes(159_996))
    path = tmp_path / "m.onnx"
    path.write_bytes(
        _model(weight, numpy_helper.from_array(np.zeros(200, np.float32), "b")).SerializeToString()
    )
    with pytest.raises(ModelError, match="159996 bytes of data"):
        load(path)


def test_a_token_is_of_one_load() -> None:
    first, second = Stored(), Stored()
    token = first.add(np.zeros(8, np.uint8))
    assert first.find(token) is first.arrays[0]
    assert second.find(token) is None
