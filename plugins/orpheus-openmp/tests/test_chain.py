"""Chains: the same bits as layer by layer, whatever the band; which ones are made; their memory; switched off."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from orpheus_numpy.nn.conv import conv as conv64
from orpheus_numpy.nn.pool import average_pool, max_pool

import orpheus_core as orpheus
from orpheus_core.errors import BackendError, KernelError
from orpheus_core.plugin import Joined
from orpheus_core.selection.reorder import from_layout, to_layout

isas = pytest.importorskip("orpheus_openmp.isa", reason="orpheus-openmp is not installed")
convolutions = pytest.importorskip("orpheus_openmp.conv", reason="orpheus-openmp is not installed")
pools = pytest.importorskip("orpheus_openmp.pool", reason="orpheus-openmp is not installed")
chain = pytest.importorskip("orpheus_openmp.chain", reason="orpheus-openmp is not installed")

DRAWN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


BEYOND = 1 << 14  # bytes that follow a workspace


def link(kind, filters=0, kernel=(1, 1), strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)):
    """One layer of a chain to be: what a node says of it."""
    return SimpleNamespace(
        kind=kind, filters=filters, kernel=kernel, strides=strides, pads=pads, dilations=dilations
    )


def build(layers, x, links, threads, plain=False, residual=False):
    """Bound native steps of these links over x, the arrays they write, their layers, and y in float64."""
    rng = np.random.default_rng(7)
    exact, magnitude = x.astype(np.float64), np.abs(x).astype(np.float64)
    depth, prepared, steps, beyond, arrays = 0, [], [], [], [to_layout(x, _layout(layers, plain))]
    for i, one in enumerate(links):
        last = i == len(links) - 1
        window = {"strides": one.strides, "pads": one.pads, "dilations": one.dilations}
        before = np.zeros(exact.shape, np.float32)
        inputs, place = [before], {"layouts": ("plain" if plain and i == 0 else layers.blocked,)}
        if one.kind in ("MaxPool", "AveragePool"):
            pool = max_pool if one.kind == "MaxPool" else average_pool
            del window["dilations"]
            exact = pool(exact, kernel_shape=one.kernel, **window)
            exact = exact[0] if isinstance(exact, tuple) else exact
            magnitude = pool(magnitude, kernel_shape=one.kernel, **window)
            magnitude = magnitude[0] if isinstance(magnitude, tuple) else magnitude
            op, domain, attributes = one.kind, "", {**window, "kernel_shape": one.kernel}
            cls = getattr(pools, one.kind)
        else:
            channels = exact.shape[1]
            depthwise = one.kind == "Depthwise"
            group, filters = (channels, channels) if depthwise else (1, one.filters)
            shape = (filters, channels // group, *one.kernel)
            w = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
            b = rng.standard_normal(filters).astype(np.float32)
            exact = conv64(exact, w.astype(np.float64), b.astype(np.float64), group=group, **window)
            magnitude = conv64(
                magnitude, abs(w).astype(np.float64), abs(b).astype(np.float64), group=group, **window
            )
            inputs += [w, b]
            depth += np.prod(shape[1:]) + 1
            if residual and last:
                r = rng.standard_normal(exact.shape).astype(np.float32)
                inputs.append(r)
                exact, magnitude = exact + r, magnitude + abs(r)
                place["layouts"] = (*place["layouts"], "plain", "plain", layers.blocked)
            exact = np.clip(exact, 0, 6)
            op, domain = "FusedConv", "ai.orpheus"
            attributes = {"group": group, **window, "activation": "Clip", "activation_params": (0.0, 6.0)}
            cls = getattr(convolutions, one.kind)
        problem = layers.problem(
            op, inputs, [exact.shape], attributes, out=(layers.blocked,), constants=(1, 2), domain=domain,
            threads=threads, **place,
        )  # fmt: skip
        layer = cls(problem, layers.isa)
        target = np.full(problem.outputs[0].layout.physical_shape(exact.shape), np.nan, np.float32)
        given = [arrays[-1], *(None for _ in inputs[1:3])]
        given += [to_layout(v, problem.inputs[3].layout) for v in inputs[3:]]
        room = np.full(layer.workspace + BEYOND, 171, np.uint8)
        beyond.append(room[layer.workspace :])
        steps.append(layer.bind(given, [target], room[: layer.workspace] if layer.workspace else None))
        arrays.append(target)
        prepared.append(layer)
    return SimpleNamespace(
        steps=steps, arrays=arrays, layers=prepared, exact=exact, magnitude=magnitude, depth=depth, beyond=beyond,
        layout=problem.outputs[0].layout,
    )  # fmt: skip


def _layout(layers, plain):
    from orpheus_core.types import Layout

    return Layout("plain" if plain else layers.blocked)


def judge(layers, x, links, band, threads, **more):
    """The chain's bits are those of its layers one by one, twice, and near float64."""
    it = build(layers, x, links, threads, **more)
    for step in it.steps:
        step()
    whole = it.arrays[-1].copy()
    plain = from_layout(whole, it.layout, it.exact.shape)
    room = (2 + it.depth**0.5) * len(links) * np.finfo(np.float32).eps * (it.magnitude.max() + 1)
    assert np.abs(plain - it.exact).max() <= room
    try:
        joined = isas.native().Chain(it.steps, band, threads)
    except ValueError as error:
        assert "windows of" in str(error)  # nothing else can be wrong here
        return False
    for _ in range(2):
        for array in it.arrays[1:]:
            array[...] = np.nan
        joined()
        np.testing.assert_array_equal(it.arrays[-1], whole)
        assert all((bytes_ == 171).all() for bytes_ in it.beyond), "a layer leaves its workspace"
    return True


def x_of(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


SAME = (1, 1, 1, 1)
CHAINS = {
    "depthwise-pointwise": [link("Depthwise", kernel=(3, 3), pads=SAME), link("Pointwise", 37)],
    "strided-depthwise": [
        link("Pointwise", 40), link("Depthwise", kernel=(3, 3), strides=(2, 2), pads=(0, 0, 1, 1)),
        link("Pointwise", 9),
    ],
    "expand-depthwise-project": [
        link("Pointwise", 50), link("Depthwise", kernel=(5, 5), pads=(2, 2, 2, 2)), link("Pointwise", 19),
    ],
    "two-windows": [
        link("Direct", 20, (3, 3), pads=SAME), link("Depthwise", kernel=(3, 3), dilations=(2, 1), pads=(2, 1, 2, 1)),
        link("AveragePool", kernel=(2, 3), strides=(2, 1), pads=(1, 1, 0, 1)),
    ],
    "gaps": [link("Pointwise", 16), link("Direct", 33, strides=(3, 2)), link("Depthwise", kernel=(1, 3))],
    "pools": [link("Pointwise", 16), link("MaxPool", kernel=(3, 3), strides=(2, 2), pads=SAME)],
}  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("band", [1, 2, 5])
@pytest.mark.parametrize("name", list(CHAINS))
def test_every_kind_of_chain(layers, name, band, threads):
    assert judge(layers, x_of(2, 23, 67, 13), CHAINS[name], band, threads)


@st.composite
def sizes(draw):
    """Layers of a chain as far as its band asks: rows, bytes of a row, windows."""
    links, threads = [], draw(st.integers(1, 3))
    for _ in range(draw(st.integers(2, 4))):
        values = {
            "n": draw(st.integers(1, 2)),
            "out_h": draw(st.integers(1, 60)),
            "out_w": draw(st.integers(1, 99)),
        }
        values |= {"groups": 1, "out_blocks": draw(st.integers(1, 20)), "sh": draw(st.integers(1, 3))}
        values |= {"kh": draw(st.integers(1, 5)), "dh": draw(st.integers(1, 2))}
        links.append(SimpleNamespace(values=values, threads=threads, block=16))
    return links


@given(links=sizes())
@settings(max_examples=200, deadline=None)
def test_no_band_that_is_larger_fits(links):
    last, threads, found = links[-1].values, links[0].threads, chain.band_rows(links)

    def fits(rows):
        windows = (*chain.window_rows(links, rows), rows)
        room = sum(w * chain.row_bytes(x) for w, x in zip(windows, links)) <= chain.ROOM * chain.l2_bytes()
        return room and all(
            threads * w <= x.values["n"] * x.values["out_h"] for w, x in zip(windows[:-1], links)
        )

    most = min(last["n"] * last["out_h"] // threads, last["out_h"])
    fitting = [rows for rows in range(chain.MIN_ROWS, most + 1) if fits(rows)]
    if found:
        assert found == fitting[-1]
    elif threads == 1:  # with more, rows that are computed twice may forbid every band
        assert not fitting


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_stem_and_pool(layers, threads):
    stem = link("Direct", 24, (7, 7), strides=(2, 2), pads=(3, 3, 3, 3))
    pool = link("MaxPool", kernel=(3, 3), strides=(2, 2), pads=SAME)
    assert judge(layers, x_of(2, 3, 111, 30), [stem, pool], 4, threads, plain=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_flat_image_and_a_tall_kernel(layers, threads):
    """Alone, the convolution copies its input with the pads; in a chain each thread copies taller windows."""
    links = [link("Direct", 16, (5, 3), pads=(2, 1, 2, 1)), link("Pointwise", 9)]
    assert judge(layers, x_of(3, 16, 2, 5), links, 1, threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_last_layer_may_add_a_residual(layers, threads):
    assert judge(layers, x_of(1, 19, 41, 9), CHAINS["expand-depthwise-project"], 4, threads, residual=True)


@st.composite
def drawn_chains(draw):
    """Two to four layers over an image whose height stays above zero."""
    links, height, width = [], draw(st.integers(9, 48)), draw(st.integers(1, 20))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 36)), height, width)
    for _ in range(draw(st.integers(2, 4))):
        kind = draw(st.sampled_from(["Pointwise", "Depthwise", "Direct", "MaxPool", "AveragePool"]))
        kernel = (
            (1, 1) if kind == "Pointwise" else (draw(st.integers(1, 5)), draw(st.integers(1, min(3, width))))
        )
        strides = (1, 1) if kind == "Pointwise" else (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
        dilated = kind in ("Depthwise", "Direct")
        dilations = (draw(st.integers(1, 2)) if dilated else 1, 1)
        pads = (
            [0, 0, 0, 0]
            if kind == "Pointwise"
            else [draw(st.integers(0, (k - 1) // 2)) for k in (*kernel, *kernel)]
        )
        reach = (kernel[0] - 1) * dilations[0] + 1
        pads[2] += max(0, reach - height - pads[0] - pads[2])
        if kind.endswith("Pool"):
            pads[2] = min(pads[2], kernel[0] - 1)
        height = (height + pads[0] + pads[2] - reach) // strides[0] + 1
        width = (width + pads[1] + pads[3] - kernel[1]) // strides[1] + 1
        links.append(link(kind, draw(st.integers(1, 40)), kernel, strides, tuple(pads), dilations))
    return shape, links


@DRAWN
@given(drawn=drawn_chains(), band=st.integers(1, 12), threads=st.integers(1, 3))
def test_drawn_chains(layers, drawn, band, threads):
    shape, links = drawn
    judge(layers, x_of(*shape), links, band, threads)


def test_what_cannot_be_a_chain_is_refused(layers):
    native = isas.native()
    it = build(layers, x_of(1, 16, 12, 12), CHAINS["two-windows"], 1)
    other = build(layers, x_of(1, 16, 12, 12), CHAINS["two-windows"], 1)
    with pytest.raises(ValueError, match="does not read what the first writes"):
        native.Chain([it.steps[0], other.steps[1]], 2, 1)
    with pytest.raises(ValueError, match=r"40 windows of .* do not fit"):
        native.Chain(it.steps, 2, 40)
    with pytest.raises(ValueError, match="two layers or more"):
        native.Chain(it.steps[:1], 2, 1)
    with pytest.raises(ValueError, match="two layers or more"):
        native.Chain(it.steps, 0, 1)
    dual = build(layers, x_of(1, 16, 12, 12), CHAINS["depthwise-pointwise"], 1, residual=True)
    with pytest.raises(ValueError, match="residual or a second output"):
        native.Chain([dual.steps[1], dual.steps[1]], 2, 1)
    values = {"n": 1, "channels": 1, "plane": 1, "to_blocked": 1}
    with pytest.raises(ValueError, match="'reorder' does not compute rows"):
        native.Chain([native.Step(layers.isa, "reorder", 1, values)] * 2, 2, 1)


def test_windows_are_as_the_rule_counts_them(layers):
    for links in CHAINS.values():
        it = build(layers, x_of(1, 23, 67, 13), links, 1)
        for band in (1, 3, 6):
            joined = isas.native().Chain(it.steps, band, 1)
            assert list(joined.capacities) == chain.window_rows(it.layers, band)


def caches(monkeypatch, l2, l3=0, wide=False):
    """Caches of so many bytes beside a core that computes whole vectors of AVX-512, or one that does not."""
    monkeypatch.setattr(chain, "cache_bytes", lambda level: {2: l2, 3: l3}[level])
    monkeypatch.setattr(chain, "is_wide", lambda isa: wide)


@pytest.fixture
def small_cache(monkeypatch):
    """A second-level cache so small that a test's network leaves it, and none behind it."""
    caches(monkeypatch, l2=320_000)
    monkeypatch.delenv(chain.VARIABLE, raising=False)


def network(channels=24, size=64):
    """Inverted residuals: expand, depthwise, project; the second adds its input."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"
    for i, (stride, inside) in enumerate(((1, 48), (1, 72), (2, 72))):
        shapes = ((inside, channels, 1, 1), (inside, 1, 3, 3), (channels, inside, 1, 1))
        names = [f"{part}{i}" for part in ("expand", "depthwise", "project")]
        for part, (name, shape) in enumerate(zip(names, shapes)):
            values = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
            weights.append(
                helper.make_tensor(f"w_{name}", TensorProto.FLOAT, shape, values.tobytes(), raw=True)
            )
            middle = {"group": inside, "pads": [1, 1, 1, 1], "strides": [stride, stride]} if part == 1 else {}
            source = x if part == 0 else names[part - 1]
            nodes.append(helper.make_node("Conv", [source, f"w_{name}"], [name], name=name, **middle))
        if i == 1:
            nodes.append(helper.make_node("Add", [names[2], x], ["added"]))
        x = "added" if i == 1 else names[2]
    nodes.append(helper.make_node("Relu", [x], ["y"]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, size // 2, size // 2])], weights,
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


def session(threads=1):
    return orpheus.InferenceSession(network(), providers=["openmp", "numpy"], threads=threads)


def chained(opened):
    (plan,) = opened.executable.plans
    return [op for op in plan.program.operations if op.chain is not None]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_network_in_bands_gives_the_same_bits(small_cache, monkeypatch, threads):
    x = x_of(1, 24, 64, 64)
    banded = session(threads)
    got = [banded.run(None, {"x": x})[0] for _ in range(3)]
    assert len(chained(banded)) >= 4
    monkeypatch.setenv(chain.VARIABLE, "0")
    whole = session(threads)
    (expected,) = whole.run(None, {"x": x})
    assert not chained(whole)
    for y in got:
        np.testing.assert_array_equal(y, expected)


def test_chains_are_shown_and_profiles_run_layer_by_layer(small_cache):
    opened = session()
    x = x_of(1, 24, 64, 64)
    (before,) = opened.run(None, {"x": x})
    members = chained(opened)
    rows = {row.node: row.why for row in opened.kernel_plan()}
    for operation in members:
        others = [o.node.name for o in operation.chain.operations if o is not operation]
        assert "in bands of " in rows[operation.node.name]
        assert all(name in rows[operation.node.name] for name in others)
    profile = opened.profile({"x": x})
    found = profile[0] if isinstance(profile, tuple) else profile
    assert len(found.rows) == len(opened.executable.plans[0].program.operations)
    np.testing.assert_array_equal(opened.run(None, {"x": x})[0], before)


def test_a_session_with_chains_is_freed_with_its_last_name(small_cache):
    gc.collect()
    gc.disable()
    try:
        opened = session()
        opened.run(None, {"x": x_of(1, 24, 64, 64)})
        alive = [weakref.ref(operation) for operation in chained(opened)]
        assert alive
        del opened
        assert all(reference() is None for reference in alive)
    finally:
        gc.enable()


def test_memory_of_a_chain_lies_apart(small_cache):
    opened = session()
    opened.run(None, {"x": x_of(1, 24, 64, 64)})
    (plan,) = opened.executable.plans
    assert chained(opened)
    for found in {op.chain for op in chained(opened)}:
        owners = {}
        for operation in found.operations:
            for operand in (*operation.reads, *operation.writes):
                owner = operand.root()[0]
                if owner in plan.offsets:
                    owners[owner] = (plan.offsets[owner], plan.offsets[owner] + owner.nbytes)
        spans = sorted(owners.values())
        assert len(spans) > len(found.operations)  # one between each two, and what comes in and goes out
        assert all(a[1] <= b[0] for a, b in pairwise(spans))


# The largest result has 72 * 64 * 64 * 4 = 1.2 MB, 3.7 times the 320,000 bytes that suffice where there is no L3.
@pytest.mark.parametrize(
    ("l2", "l3", "wide"), [(1 << 20, 0, False), (320_000, 32 << 20, False), (2 << 20, 32 << 20, True)]
)
def test_results_that_stay_in_the_cache_are_not_chained(monkeypatch, l2, l3, wide):
    caches(monkeypatch, l2, l3, wide)
    opened = session()
    opened.run(None, {"x": x_of(1, 24, 64, 64)})
    assert not chained(opened)


@pytest.mark.parametrize("l2", [320_000, 1 << 20])
def test_wide_cores_go_less_far_to_their_l3(monkeypatch, l2):
    caches(monkeypatch, l2, 32 << 20, wide=True)
    opened = session()
    opened.run(None, {"x": x_of(1, 24, 64, 64)})
    assert chained(opened)


def test_a_wrong_setting_is_refused(monkeypatch):
    monkeypatch.setenv(chain.VARIABLE, "maybe")
    with pytest.raises(BackendError, match=r"ORPHEUS_CHAIN=maybe must be 0 .* or 1"):
        chain.enabled()


def test_a_backend_that_joins_what_it_was_not_offered_is_refused(small_cache, monkeypatch):
    answer = [Joined(0, 9, lambda steps: steps[0], "all")]
    monkeypatch.setattr(chain, "chains", lambda layers: answer)
    with pytest.raises(KernelError, match=r"backend openmp: chain .* joins layers 0 to 9"):
        session().run(None, {"x": x_of(1, 24, 64, 64)})
