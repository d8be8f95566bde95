"""Bad models: a typed error that names a place, in little time and memory, every time."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from importer import hostile
from importer.hostile_cases import CASES
from importer.making import loop_model, model_of, small_network, tensor_info
from onnx import helper

import orpheus_core.errors as errors
from orpheus_core.graph import Graph
from orpheus_core.importer import load

SECONDS = 2.0
MALFORMED = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "malformed"


def refusal(data: bytes) -> errors.OrpheusError:
    started = time.perf_counter()
    with pytest.raises(errors.ModelError) as caught:
        load(data)
    assert time.perf_counter() - started < SECONDS
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_case_is_refused(name: str) -> None:
    error = refusal(CASES[name]())
    text = str(error)
    assert len(text) < 3_000
    if not isinstance(error, (errors.ParseError, errors.UnsupportedModelError)) and name not in NO_PLACE:
        assert any(word in text for word in ("graph", "function")), text


NO_PLACE = (
    "two-versions-of-a-domain",
    "node-opset-zero",
    "many-empty-nodes",
    "many-empty-attributes",
    "many-tensors",
)

KINDS = {
    "empty": errors.ParseError,
    "text": errors.ParseError,
    "nesting-3000": errors.ParseError,
    "function-recursive": errors.ModelError,
    "functions-2-to-the-30": errors.LimitError,
    "functions-1-to-the-60": errors.LimitError,
    "node-unknown-operator": errors.UnsupportedModelError,
    "unknown-domain": errors.UnsupportedModelError,
    "node-opset-from-the-future": errors.UnsupportedModelError,
    "node-overflowing-dimensions": errors.LimitError,
    "many-empty-nodes": errors.LimitError,
    "tensor-giant": errors.LimitError,
    "sparse-giant": errors.LimitError,
}


@pytest.mark.parametrize("name", KINDS)
def test_refusal_has_the_right_type(name: str) -> None:
    assert isinstance(refusal(CASES[name]()), KINDS[name])


@pytest.mark.parametrize("sample", ["network", "loop", "functions", "nested"])
def test_damage_gives_a_graph_or_a_typed_error(sample: str) -> None:
    whole = hostile.samples()[sample]
    assert isinstance(load(whole).graph, Graph)
    for data in [*hostile.cut(whole), *hostile.flipped(whole, 400)]:
        started = time.perf_counter()
        try:
            assert isinstance(load(data).graph, Graph)
        except errors.ModelError as error:
            assert str(error)
        assert time.perf_counter() - started < SECONDS


@pytest.mark.parametrize("sample", ["network", "loop"])
def test_a_model_cut_short_is_refused(sample: str) -> None:
    whole = hostile.samples()[sample]
    # The graph comes before the opset imports, so that any cut loses something that is needed.
    for data in hostile.cut(whole):
        with pytest.raises(errors.ModelError):
            load(data)


SAMPLES = hostile.samples()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(SAMPLES)), st.integers(0, 400))
def test_any_bytes_give_a_graph_or_a_typed_error(noise: bytes, sample: str, position: int) -> None:
    whole = SAMPLES[sample]
    for data in (noise, whole[:position] + noise + whole[position + len(noise) :]):
        with contextlib.suppress(errors.ModelError):
            assert isinstance(load(data).graph, Graph)


def test_a_newer_ir_version_is_refused() -> None:
    model = small_network()
    model.ir_version = 999
    with pytest.raises(errors.UnsupportedModelError, match="IR version 999"):
        load(model)


def test_every_unknown_operator_is_named() -> None:
    nodes = [helper.make_node(op, ["x"], [op.lower()]) for op in ("Foo", "Bar", "Relu")]
    nodes.append(helper.make_node("Baz", ["x"], ["baz"], domain="some.where"))
    model = model_of(nodes, [tensor_info("x", [2])], [tensor_info("relu")], domains={"some.where": 3})
    with pytest.raises(errors.UnsupportedModelError) as caught:
        load(model)
    assert all(name in str(caught.value) for name in ("Foo", "Bar", "some.where:Baz"))
    assert "Relu" not in str(caught.value)


@pytest.mark.skipif(
    not MALFORMED.is_dir(), reason="the folder of malformed models is not beside the checkout"
)
def test_the_malformed_corpus_is_refused() -> None:
    files = sorted(MALFORMED.rglob("*.onnx"))
    assert files
    for path in files:
        started = time.perf_counter()
        with pytest.raises(errors.ModelError):
            load(path)
        assert time.perf_counter() - started < SECONDS


def test_samples_are_otherwise_good() -> None:
    assert load(small_network()).graph.nodes
    assert load(loop_model()).graph.nodes
    assert load(hostile.chain(3, 2)).nodes == 8
    assert load(hostile.nested(20)).graph.nodes


_MEASURE = """
import resource, sys
sys.path[:0] = {paths!r}
from importer import hostile
from importer.hostile_cases import CASES
from orpheus_core.errors import ModelError
from orpheus_core.importer import load
cases = [make() for make in CASES.values()]
cases += [d for data in hostile.samples().values() for d in hostile.cut(data)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in cases:
    try:
        load(data)
    except ModelError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_refusals_take_little_memory() -> None:
    paths = [str(Path(__file__).resolve().parents[1]), *sys.path]
    script = _MEASURE.format(paths=[p for p in paths if p])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) * 1024 <= 256 * 2**20
