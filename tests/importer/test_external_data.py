"""External data: read where it may be, refused everywhere else, at every place a model can hold a tensor."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from importer.making import BOOL, constant, evaluate, model_of, tensor_info, through
from onnx import helper

from orpheus_core.errors import ExternalDataError, LimitError, OrpheusError
from orpheus_core.importer import Limits, load, to_onnx

DATA = np.arange(4, dtype=np.float32)


def external(
    location: str, *, dims: Any = (4,), dtype: int = 1, name: str = "t", **keys: Any
) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=dtype, dims=dims)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def at_initializer(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return model_of([helper.make_node("Relu", ["t"], ["y"])], [], [tensor_info("y")], initializers=[tensor])


def _sparse(values: onnx.TensorProto, indices: onnx.TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[4])


def at_sparse_values(tensor: onnx.TensorProto) -> onnx.ModelProto:
    sparse = _sparse(tensor, constant("i", np.arange(4)))
    return model_of([helper.make_node("Relu", ["t"], ["y"])], [], [tensor_info("y")], sparse=[sparse])


def at_sparse_indices(tensor: onnx.TensorProto) -> onnx.ModelProto:
    tensor = onnx.TensorProto.FromString(tensor.SerializeToString())
    tensor.data_type, tensor.name = 7, "i"
    sparse = _sparse(constant("t", DATA), tensor)
    return model_of([helper.make_node("Relu", ["t"], ["y"])], [], [tensor_info("y")], sparse=[sparse])


def at_constant(tensor: onnx.TensorProto) -> onnx.ModelProto:
    nodes = [helper.make_node("Constant", [], ["t"], value=tensor), helper.make_node("Relu", ["t"], ["y"])]
    return model_of(nodes, [], [tensor_info("y")])


def at_sparse_constant(tensor: onnx.TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["t"])
    attribute = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.CopyFrom(_sparse(tensor, constant("i", np.arange(4))))
    return model_of([node, helper.make_node("Relu", ["t"], ["y"])], [], [tensor_info("y")])


def at_tensor_attribute(tensor: onnx.TensorProto) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Constant", [], ["s"], value_ints=[2]),
        helper.make_node("ConstantOfShape", ["s"], ["y"], value=tensor),
    ]
    return model_of(nodes, [], [tensor_info("y")])


def at_subgraph(tensor: onnx.TensorProto) -> onnx.ModelProto:
    then = helper.make_graph(
        [helper.make_node("Relu", ["t"], ["a"])], "then", [], [tensor_info("a")], [tensor]
    )
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "else", [], [tensor_info("b")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    return model_of([node], [tensor_info("c", [], BOOL), tensor_info("x", [4])], [tensor_info("y")])


def in_function(nodes: Any) -> onnx.ModelProto:
    function = helper.make_function("mine", "F", [], ["y"], nodes, [helper.make_opsetid("", 20)])
    call = helper.make_node("F", [], ["y"], domain="mine")
    return model_of([call], [], [tensor_info("y")], functions=[function], domains={"mine": 1})


def at_function(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return in_function(at_constant(tensor).graph.node)


def at_function_subgraph(tensor: onnx.TensorProto) -> onnx.ModelProto:
    then = helper.make_graph(
        [helper.make_node("Relu", ["t"], ["a"])], "then", [], [tensor_info("a")], [tensor]
    )
    other = helper.make_graph([helper.make_node("Neg", ["k"], ["b"])], "else", [], [tensor_info("b")])
    return in_function(
        [
            helper.make_node("Constant", [], ["k"], value=constant("", DATA)),
            helper.make_node("Constant", [], ["c"], value=constant("", np.array(True))),
            helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
        ]
    )


SITES: dict[str, Callable[[onnx.TensorProto], onnx.ModelProto]] = {
    "initializer": at_initializer,
    "sparse-values": at_sparse_values,
    "sparse-indices": at_sparse_indices,
    "constant": at_constant,
    "sparse-constant": at_sparse_constant,
    "attribute": at_tensor_attribute,
    "subgraph": at_subgraph,
    "function": at_function,
    "function-subgraph": at_function_subgraph,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with good data in it and everything around it that must not be read."""
    inside = tmp_path / "model"
    (inside / "sub").mkdir(parents=True)
    secret = tmp_path / "secret.bin"
    content = DATA.tobytes() + np.arange(4).tobytes()
    secret.write_bytes(content)
    (inside / "good.bin").write_bytes(content)
    (inside / "sub" / "good.bin").write_bytes(content)
    (inside / "link.bin").symlink_to(secret)
    (inside / "inner.bin").symlink_to(inside / "good.bin")
    (inside / "up").symlink_to(tmp_path, target_is_directory=True)
    os.link(secret, inside / "hard.bin")
    os.mkfifo(inside / "fifo")
    return inside


def refused(
    model: onnx.ModelProto, folder: Path, kind: type[OrpheusError] = ExternalDataError, **given: Any
) -> str:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(kind) as caught:
        load(path, **given)
    assert "graph 'g'" in str(caught.value)
    return str(caught.value)


ESCAPES = {
    "parent": "../secret.bin",
    "through-folder": "sub/../../secret.bin",
    "absolute": "/etc/passwd",
    "backslash": "..\\secret.bin",
    "drive": "C:\\secret.bin",
    "unc": "\\\\host\\share\\secret.bin",
    "symlink": "link.bin",
    "symlink-inside": "inner.bin",
    "symlinked-folder": "up/secret.bin",
    "hard-link": "hard.bin",
    "fifo": "fifo",
    "folder": "sub",
    "memory": "*/_ORT_MEM_ADDR_/*",
    "nul": "good.bin\0",
    "missing": "nowhere.bin",
    "empty": "",
    "dot": ".",
}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_outside_the_folder_is_read(site: str, escape: str, folder: Path) -> None:
    dims = (1,) if site == "attribute" else (4,)
    refused(SITES[site](external(ESCAPES[escape], dims=dims)), folder)


@pytest.mark.parametrize("site", SITES)
def test_plain_files_are_read_at_every_site(site: str, folder: Path) -> None:
    offset = 16 if site == "sparse-indices" else 0
    dims = (1,) if site == "attribute" else (4,)
    path = folder / "m.onnx"
    path.write_bytes(SITES[site](external("sub/good.bin", dims=dims, offset=offset)).SerializeToString())
    graph = load(path).graph
    found = [v.const for n in graph.walk() for v in n.inputs if v is not None and v.const is not None]
    found += [a for n in graph.walk() for a in n.attributes.values() if isinstance(a, np.ndarray)]
    assert any(np.array_equal(a, DATA[: a.size]) and a.dtype == np.float32 for a in found)


RANGES: dict[str, dict[str, Any]] = {
    "negative-offset": {"offset": -1},
    "huge-offset": {"offset": 2**62},
    "negative-length": {"length": -16},
    "huge-length": {"length": 2**55},
    "short-length": {"length": 12},
    "past-the-end": {"offset": 46},
    "not-a-number": {"offset": "0x10"},
    "unicode-digits": {"length": "١٦"},
    "many-digits": {"length": "9" * 5000},
    "unknown-key": {"__class__": "x"},
}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("case", RANGES)
def test_ranges_that_do_not_fit_are_refused(site: str, case: str, folder: Path) -> None:
    dims = (1,) if site == "attribute" else (4,)
    refused(SITES[site](external("good.bin", dims=dims, **RANGES[case])), folder)


def test_shapes_that_do_not_fit_are_refused(folder: Path) -> None:
    refused(at_initializer(external("good.bin", dims=(400,))), folder)
    refused(at_initializer(external("good.bin", dims=(2**40,))), folder, OrpheusError)
    refused(at_initializer(external("good.bin", dtype=8)), folder, OrpheusError)


def test_repeated_keys_are_refused(folder: Path) -> None:
    tensor = external("good.bin")
    tensor.external_data.add(key="location", value="../secret.bin")
    refused(at_initializer(tensor), folder)


def test_raw_data_beside_external_data_is_refused(folder: Path) -> None:
    tensor = external("good.bin")
    tensor.raw_data = DATA.tobytes()
    refused(at_initializer(tensor), folder)


def test_links_inside_a_root_are_read_when_allowed(folder: Path) -> None:
    path = folder / "m.onnx"
    path.write_bytes(at_initializer(external("inner.bin")).SerializeToString())
    assert load(path, limits=Limits(allow_links=True)).graph.nodes
    refused(at_initializer(external("link.bin")), folder, limits=Limits(allow_links=True))
    wider = Limits(allow_links=True, link_root=str(folder.parent))
    path.write_bytes(at_initializer(external("link.bin")).SerializeToString())
    assert load(path, limits=wider).graph.nodes


def test_bytes_need_a_folder(folder: Path) -> None:
    data = at_initializer(external("./good.bin")).SerializeToString()
    with pytest.raises(ExternalDataError, match="external_data_dir"):
        load(data)
    assert load(data, external_data_dir=folder).graph.nodes


def test_many_tensors_of_one_file_cannot_multiply_it(folder: Path) -> None:
    size = 2**20
    (folder / "big.bin").write_bytes(bytes(size))
    tensors = [external("big.bin", dims=(size - n,), dtype=2, name=f"t{n}", offset=n) for n in range(64)]
    nodes = [helper.make_node("Neg", [t.name], [f"y{n}"]) for n, t in enumerate(tensors)]
    refused(model_of(nodes, [], [], initializers=tensors), folder, LimitError)


def test_tensors_may_share_a_region(folder: Path) -> None:
    tensors = [external("good.bin", name=f"t{n}") for n in range(40)]
    nodes = [helper.make_node("Sum", [t.name for t in tensors], ["y"])]
    path = folder / "m.onnx"
    path.write_bytes(model_of(nodes, [], [tensor_info("y")], initializers=tensors).SerializeToString())
    graph = load(path).graph
    assert all(np.array_equal(v.const, DATA) for v in graph.nodes[0].inputs)


def test_external_and_inline_models_compute_the_same(folder: Path) -> None:
    inline = at_initializer(constant("t", DATA))
    path = folder / "m.onnx"
    path.write_bytes(at_initializer(external("good.bin")).SerializeToString())
    np.testing.assert_array_equal(evaluate(to_onnx(load(path).graph), {})[0], through(inline, {})[0])
