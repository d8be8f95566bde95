"""Weights are read while their graph is built, and are there when it is."""

from __future__ import annotations

import os
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from orpheus_core.errors import ModelError, ParseError, UsageError
from orpheus_core.graph import Graph
from orpheus_core.importer import load
from orpheus_core.importer import reading as module
from orpheus_core.importer import stored as stored_module
from orpheus_core.importer.reading import ShortFileError, read_at
from orpheus_core.types import Array

load_module = import_module("orpheus_core.importer.load")  # its function has the same name
needs_preadv = pytest.mark.skipif(not hasattr(os, "preadv"), reason="the system has no preadv")


@pytest.fixture(params=["at once", "a thread", "two threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How files are read, of whatever size."""
    way: str = request.param
    if way != "at once" and not hasattr(os, "preadv"):
        pytest.skip("the system has no preadv")
    monkeypatch.setattr(module, "default_threads", lambda: 1 if way == "at once" else 2)
    monkeypatch.setattr(module, "_FEW", 1)
    monkeypatch.setattr(module, "_MANY", 1 if way == "two threads" else 1 << 40)
    return way


def _normal(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _model(nodes: list[onnx.NodeProto], weights: dict[str, Array], opset: int = 17) -> bytes:
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1024])]
    outputs = [helper.make_tensor_value_info(n.output[0], TensorProto.FLOAT, None) for n in nodes]
    tensors = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", infos, outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = made.SerializeToString()
    return (
        data + b"\x32\x80\x80\x08" + bytes(1 << 17)
    )  # a doc_string: a file that is large enough to be split


def _agree(graph: Graph, other: Graph) -> None:
    assert [(n.op, [v.type for v in n.results]) for n in graph.nodes] == [
        (n.op, [v.type for v in n.results]) for n in other.nodes
    ]
    for found, expected in zip(graph.constants, other.constants, strict=True):
        assert found.const is not None and expected.const is not None
        np.testing.assert_array_equal(found.const, expected.const)


@pytest.mark.parametrize("sizes", [(1, 1), (3000, 5), (5, 3000), (1000, 1000)])
def test_weights_are_there_when_the_graph_is(way: str, tmp_path: Path, sizes: tuple[int, int]) -> None:
    weights = {f"W{i}": _normal(1024, n) for i, n in enumerate(sizes)}
    data = _model([helper.make_node("MatMul", ["x", n], [f"y{n}"]) for n in weights], weights)
    (tmp_path / "m.onnx").write_bytes(data)
    _agree(load(tmp_path / "m.onnx").graph, load(data).graph)


_LATE: dict[str, tuple[list[onnx.NodeProto], dict[str, Array], int]] = {
    "the flags of a Where": (
        [helper.make_node("Where", ["c", "x", "b"], ["y"])],
        {"c": np.arange(8192).reshape(8, 1024) % 3 == 0, "b": _normal(8, 1024)}, 17,
    ),
    "the indices of a Gather": (
        [helper.make_node("Gather", ["x", "i"], ["y"], axis=1)],
        {"i": np.arange(4096, dtype=np.int64) % 1024}, 17,
    ),
    "the sizes of a Split": (
        [helper.make_node("Split", ["x", "s"], [f"y{i}" for i in range(1024)], axis=1)],
        {"s": np.ones(1024, np.int64)}, 17,
    ),
    "the sizes of a Split in floats": (
        [helper.make_node("Split", ["x", "s"], [f"y{i}" for i in range(1024)], axis=1)],
        {"s": np.ones(1024, np.float32)}, 1,
    ),
    "weights of two layers": (
        [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Add", ["t", "b"], ["y"])],
        {"w": _normal(1024, 2048), "b": _normal(1, 2048)}, 17,
    ),
}  # fmt: skip


@needs_preadv
@pytest.mark.parametrize("name", _LATE)
def test_nothing_is_looked_at_before_it_is_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read before somebody waits for it; float weights nobody waits for until the graph is built."""
    nodes, weights, opset = _LATE[name]
    data = _model(nodes, weights, opset)
    expected = load(data).graph
    awaited, events = threading.Event(), []
    read, wait, build = module.read_at, module._Reading.wait, load_module._build

    def late(*given: Any) -> None:
        assert awaited.wait(60)
        read(*given)

    def noted(self: Any) -> None:
        events.append("waited for")
        awaited.set()
        wait(self)

    def built(*given: Any) -> Any:
        try:
            return build(*given)
        finally:
            events.append("built")

    monkeypatch.setattr(module, "default_threads", lambda: 2)
    monkeypatch.setattr(module, "_FEW", 1)
    monkeypatch.setattr(module, "read_at", late)
    monkeypatch.setattr(module._Reading, "wait", noted)
    monkeypatch.setattr(load_module, "_build", built)
    (tmp_path / "m.onnx").write_bytes(data)
    graph = load(tmp_path / "m.onnx").graph
    assert events[-1] == "waited for" and "built" in events
    assert events == ["built", "waited for"] or "weights" not in name
    _agree(graph, expected)


def test_a_wrong_model_is_told_of_in_the_words_for_its_bytes(way: str, tmp_path: Path) -> None:
    data = _model([helper.make_node("Range", ["a", "b", "c"], ["y"])], {n: _normal(2048) for n in "abc"})
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(ModelError) as of_file:
        load(tmp_path / "m.onnx")
    with pytest.raises(ModelError) as of_bytes:
        load(data)
    assert str(of_file.value) == str(of_bytes.value)


def test_a_file_that_shrinks_while_it_is_read_is_told_of(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"
    weights = {f"W{i}": np.ones((1024, 256), np.float32) for i in range(4)}
    path.write_bytes(_model([helper.make_node("MatMul", ["x", n], [f"y{n}"]) for n in weights], weights))
    whole = stored_module._Model.whole

    def shrink(model: stored_module._Model, length: int) -> bytes:
        found = whole(model, length)
        os.truncate(path, 2 << 20)
        return found

    monkeypatch.setattr(stored_module._Model, "whole", shrink)
    with pytest.raises(ParseError):
        load(path)
    assert path.stat().st_size == 2 << 20


@needs_preadv
@pytest.mark.parametrize("way", ["a thread", "two threads"], indirect=True)
def test_a_file_that_cannot_be_read_is_told_of(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(5, "Input/output error")

    weights = {"W": _normal(1024, 256)}
    (tmp_path / "m.onnx").write_bytes(_model([helper.make_node("MatMul", ["x", "W"], ["y"])], weights))
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(UsageError, match=r"cannot read the model .*m\.onnx': Input/output error"):
        load(tmp_path / "m.onnx")


def test_where_no_thread_can_be_had_weights_are_read_at_once(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    test_weights_are_there_when_the_graph_is(way, tmp_path, (3000, 5))


@needs_preadv
@given(data=st.data(), most=st.integers(1, 40))
def test_pieces_are_read_wherever_they_lie(data: st.DataObject, most: int) -> None:
    """Whatever lies between them, and however little a call gives."""
    plan = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=12))
    content = bytes(range(256)) * 2
    position, pieces = 0, []
    for gap, size in plan:
        pieces.append((position + gap, memoryview(bytearray(size))))
        position += gap + size
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        whole = os.preadv

        def little(fd: int, buffers: list[memoryview], offset: int) -> int:
            assert len(buffers) <= module._BUFFERS + 2
            cut, left = [], most
            for buffer in buffers:
                cut.append(buffer[:left])
                left -= len(cut[-1])
            return whole(fd, [c for c in cut if len(c)], offset)

        patch.setattr(os, "preadv", little)
        patch.setattr(module, "_GAP", 5)
        patch.setattr(module, "_BUFFERS", 3)
        read_at(file.fileno(), pieces)
        for start, found in pieces:
            assert bytes(found) == content[start : start + len(found)]
        past = [*pieces, (len(content) - 1, memoryview(bytearray(2)))]
        with pytest.raises(ShortFileError):
            read_at(file.fileno(), past)
