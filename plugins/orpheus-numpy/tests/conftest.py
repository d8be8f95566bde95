"""Shared by the tests of ai.onnx.ml: a kernel's result, ONNX Runtime's, and whether they agree."""

from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper
from orpheus_numpy.manifest.ml import KERNELS

from orpheus_core.ops import find_spec, latest_version
from orpheus_core.plugin import resolve

RUNS = {k.op: k.run for k in KERNELS if k.domain == "ai.onnx.ml"}


@pytest.fixture(scope="session")
def ml():
    """``ml.ours``, ``ml.peer`` and ``ml.agree``, each called as ``(op, *inputs, **attributes)``."""
    return SimpleNamespace(ours=ours, peer=peer, agree=agree)


def ours(op, *inputs, **attributes):
    spec = find_spec("ai.onnx.ml", op, latest_version("ai.onnx.ml"))
    given_values = {k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items()}
    found = resolve(RUNS[op])(*inputs, **{**spec.defaults, **given_values})
    return found if isinstance(found, tuple) else (found,)


def peer(op, *inputs, outputs=1, version=3, **attributes):
    """What ONNX Runtime computes; maps are given as dictionaries."""
    ort = pytest.importorskip("onnxruntime")
    names, results = [f"x{i}" for i in range(len(inputs))], [f"y{i}" for i in range(outputs)]
    infos = []
    for name, x in zip(names, inputs):
        if isinstance(x, dict):
            key = TensorProto.INT64 if isinstance(next(iter(x)), int) else TensorProto.STRING
            value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
            infos.append(helper.make_value_info(name, helper.make_map_type_proto(key, value)))
        else:
            kind = TensorProto.STRING if x.dtype == object else helper.np_dtype_to_tensor_dtype(x.dtype)
            infos.append(helper.make_tensor_value_info(name, kind, [None] * x.ndim))
    node = helper.make_node(op, names, results, domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph([node], "g", infos, [helper.make_empty_tensor_value_info(r) for r in results])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs)))


def agree(op, *inputs, outputs=1, rtol=1e-4, atol=1e-5, **attributes):
    found = ours(op, *inputs, **attributes)
    for mine, other in zip(found, peer(op, *inputs, outputs=outputs, **attributes), strict=True):
        if isinstance(mine, list):
            assert mine == other
            continue
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        if mine.dtype == object:
            assert mine.tolist() == other.tolist()
        else:
            np.testing.assert_allclose(mine, other, rtol=rtol, atol=atol)
