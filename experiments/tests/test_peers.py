"""The peer engines: each that is installed computes what float64 does, on the threads that it was told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from orpheus_experiments.accuracy.exact import error, evaluate
from orpheus_experiments.noise.processor import cores
from orpheus_experiments.peers import ENGINES
from orpheus_experiments.zoo import build

from orpheus_core.errors import BackendError, ModelError
from orpheus_core.peers import Peer, absence, source

#: Small enough to be quick, and between them with every operator that our converters know of the zoo.
NETWORKS = {"mobilenet-v2": 64, "inception-v3": 75, "resnet-50-v2": 64, "wrn-40-2": 32}


@pytest.fixture(scope="module", params=ENGINES, ids=lambda spec: spec.name)
def engine(request):
    """An engine that is installed."""
    reason = absence(request.param)
    if reason is not None:
        pytest.skip(reason)
    return request.param


@pytest.mark.zoo
@pytest.mark.parametrize("network", NETWORKS)
def test_it_is_right(engine, network, tmp_path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build(network, resolution=NETWORKS[network]), path)
    made = source(engine, path, tmp_path)
    loaded = Peer(engine, made, 1)
    (given,) = made.inputs
    feeds = {given.name: np.random.default_rng(3).standard_normal(given.shape).astype(np.float32)}
    run = loaded.bind(feeds)
    first = [np.array(x) for x in run()]
    assert [x.dtype for x in first] == [np.float32]
    # float32 networks of this depth stay within 1e-5 of their range; ncnn's Winograd F(6,3) needs ten times that.
    assert error(first, evaluate(path, feeds, tmp_path)) < 1e-4
    again = run()
    assert np.array_equal(first[0], again[0]) or error(again, first) < 1e-6
    assert "float32" in loaded.summary or "f32" in loaded.summary


def test_what_it_was_given_stays_alive(engine, tmp_path) -> None:
    """The caller keeps no array: an engine that reads them in place holds them itself."""
    path = tmp_path / "model.onnx"
    onnx.save(build("mobilenet-v1", resolution=128), path)
    made = source(engine, path, tmp_path)
    loaded = Peer(engine, made, 1)
    (given,) = made.inputs
    run = loaded.bind({given.name: np.ones(given.shape, np.float32)})
    first = [np.array(x) for x in run()]
    others = [
        np.full(given.shape, 1e3 + i, np.float32) for i in range(8)
    ]  # where the freed one would have been
    assert error(run(), first) < 1e-6, others


@pytest.mark.parametrize("threads", [1, 2])
def test_it_says_which_threads_it_got(engine, threads, tmp_path) -> None:
    if engine.name == "onnx-reference" and threads > len(cores()):
        pytest.skip("OpenBLAS may take no more threads than there are processors, and the engine says so")
    path = tmp_path / "model.onnx"
    onnx.save(_pooled(), path)
    made = source(engine, path, tmp_path)
    if engine.name == "tvm":  # it has a pool for each thread that calls it, which does not grow
        with ThreadPoolExecutor(1) as other:
            loaded = other.submit(Peer, engine, made, threads).result()
    else:
        loaded = Peer(engine, made, threads)  # OpenBLAS listens to the main thread alone
    got = 1 if engine.name == "tensorrt" else threads  # the caller's, which asks the GPU
    assert str(loaded.engine.settings["threads"]).startswith(str(got))


def test_padding_of_pools_and_what_follows_them(engine, tmp_path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(_pooled(), path)
    made = source(engine, path, tmp_path)
    # All negative, so that a maximum over zeros of a padding would be seen.
    feeds = {"x": -np.random.default_rng(1).uniform(1, 2, (1, 4, 9, 7)).astype(np.float32)}
    outputs = Peer(engine, made, 1).bind(feeds)()
    assert error(outputs, evaluate(path, feeds, tmp_path)) < 1e-5


def test_the_layers_that_it_tells_are_those_of_the_model(engine, tmp_path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(_pooled(), path)
    made = source(engine, path, tmp_path)
    told = Peer(engine, made, 1).engine.layers([np.ones((1, 4, 9, 7), np.float32)], 3)
    if engine.name not in ("onnxruntime", "openvino", "openvino-unpinned"):
        assert told == []
        return
    assert all(name and op and seconds >= 0 for name, op, _, seconds in told)
    assert len({name for name, *_ in told}) == len(told)
    assert sum("conv" in op.lower() for _, op, _, _ in told) == 3 and sum(t[-1] for t in told) > 0


def test_an_operator_it_does_not_know_is_named(engine, tmp_path) -> None:
    if engine.name not in ("litert", "pytorch", "pytorch-channels-last"):
        pytest.skip("it reads ONNX by itself")
    path = tmp_path / "model.onnx"
    onnx.save(_single("Erf"), path)
    with pytest.raises(ModelError, match="Erf"):
        source(engine, path, tmp_path)


def test_an_engine_that_is_absent_says_how_to_get_it(tmp_path) -> None:
    from dataclasses import replace

    spec = replace(ENGINES[0], modules=("no_such_module",))
    with pytest.raises(BackendError, match=r"no_such_module.*orpheus-experiments\[onnxruntime\]"):
        source(spec, tmp_path / "model.onnx", tmp_path)


def _single(op: str) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4)) for n in "xy"]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "single", infos[:1], infos[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _pooled() -> onnx.ModelProto:
    """Pools with every padding, a strided convolution, a grouped one, and a Flatten of an image."""
    random = np.random.default_rng(0)
    arrays = {
        "W": random.standard_normal((6, 4, 3, 3)) / 6,
        "b": random.standard_normal(6),
        "G": random.standard_normal((8, 3, 3, 3)) / 5,
        "D": random.standard_normal((8, 1, 5, 5)) / 5,
        "F": random.standard_normal((3, 8 * 2 * 1)),
        "B": random.standard_normal(3),
    }
    pool = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], strides=[1, 1], **pool),
        helper.make_node("AveragePool", ["p"], ["q"], strides=[1, 1], count_include_pad=1, **pool),
        helper.make_node("Conv", ["q", "W", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["r", "c"], ["s"]),
        helper.make_node("Conv", ["s", "G"], ["g"], pads=[1, 1, 1, 1], group=2),
        helper.make_node("Conv", ["g", "D"], ["d"], pads=[2, 2, 2, 2], group=8),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["m"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 0, 0]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "F", "B"], ["y"], transB=1),
    ]
    infos = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 9, 7)),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3)),
    ]
    weights = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    graph = helper.make_graph(nodes, "pooled", infos[:1], infos[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
