"""What kernels refuse, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import helper
from orpheus_cuda import cublaslt

import orpheus_core as orpheus


def refusals(op: str, *shapes: tuple[int, ...], **attributes: Any) -> str:
    """What the plugin's kernels say of a layer that is left to the reference."""
    names = ["x", *(f"c{i}" for i in range(len(shapes) - 1))]
    infos = [helper.make_tensor_value_info(n, 1, s) for n, s in zip(names, shapes)]
    node = helper.make_node(op, names, ["y"], "layer", **attributes)
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", 1, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    session: Any = orpheus.InferenceSession(model, providers=["cuda", "numpy"])
    (row,) = [r for r in session.kernel_plan() if not r.kernel_id.startswith("core:")]
    assert row.kernel_id.startswith("numpy:")
    rng = np.random.default_rng(0)
    feeds = {n: rng.standard_normal(s).astype(np.float32) for n, s in zip(names, shapes)}
    wanted = orpheus.InferenceSession(model, providers=["numpy"]).run(None, feeds)
    np.testing.assert_array_equal(session.run(None, feeds)[0], wanted[0])
    return str(session.explain())


@pytest.mark.parametrize("op", ["LayerNormalization", "RMSNormalization"])
def test_a_scale_that_broadcasts_along_rows_is_left_to_others(op: str) -> None:
    # As many elements as the axis that is normalised, and another meaning.
    assert "needs scale and bias of [4], has [4, 1]" in refusals(op, (3, 4, 4), (4, 1))
    assert "needs scale and bias of [4], has [1]" in refusals(op, (3, 4, 4), (1,))
    assert "needs scale and bias of [3, 4], has [4]" in refusals(op, (2, 3, 4), (4,), axis=1)


@pytest.fixture
def _unread() -> Iterator[None]:
    cublaslt._looked_for.cache_clear()
    yield
    cublaslt._looked_for.cache_clear()


@pytest.mark.usefixtures("_unread")
def test_a_cublaslt_that_does_not_load_says_why(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "cu13" / "lib" / "libcublasLt.so.13"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"\x7fELF" + bytes([2, 1]) + bytes(12) + (4711).to_bytes(2, "little"))
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(cublaslt, "find_spec", lambda name: spec)
    monkeypatch.setattr(cublaslt, "_NAMES", ("libcublasLt.so.13",))
    found, why = cublaslt._looked_for()
    assert found is None
    assert f"{place} is built for machine 4711 of the ELF standard" in why


@pytest.mark.usefixtures("_unread")
def test_a_cublaslt_that_is_not_there_is_no_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cublaslt, "find_spec", lambda name: None)
    monkeypatch.setattr(cublaslt, "_NAMES", ("libNoSuchThing.so.13",))
    assert cublaslt._looked_for() == (None, "")
