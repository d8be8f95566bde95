"""Selection with toy backends that differ in layout, cost and device: choices, conversions, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import toys
from onnx import parser

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.ops import find_spec
from orpheus_core.plugin import Accuracy, Backend, Format, Kernel, Problem, Rule
from orpheus_core.selection.candidates import candidates
from orpheus_core.types import DType, TensorType

SHAPE = (1, 24, 8, 8)  # 24 channels: the last block of 16 is half padding
CHAIN = [("Relu", ["x"], "a"), ("Relu", ["a"], "b"), ("Relu", ["b"], "c"), ("Relu", ["c"], "d")]


def session(ops: Sequence[Any], backends: Sequence[Backend], outputs: Sequence[str], **more: Any) -> Any:
    more.setdefault("enable_passes", [])
    with discovery.override(*backends):
        model = toys.model(ops, more.pop("shape", SHAPE), outputs)
        names = more.pop("providers", [b.name for b in backends])
        return orpheus.InferenceSession(model, providers=names, **more)


def kernels(s: Any) -> list[str]:
    return [row.kernel_id for row in s.kernel_plan()]


def draw(shape: Sequence[int] = SHAPE, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_chain_moves_to_the_blocked_layout_once_and_back() -> None:
    toys.CALLS.clear()
    s = session(CHAIN, [toys.plain(), toys.blocked()], ["d"], policy="cost")
    assert kernels(s) == ["core:Reorder", *["blocked:Relu/b"] * 4, "core:Reorder"]
    x = draw()
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], np.maximum(x, 0))
    assert toys.CALLS[0] == "sealed 4"
    assert s.explain().optimal


def test_conversions_are_counted_so_one_cheap_kernel_is_not_worth_two() -> None:
    s = session(
        CHAIN[:1], [toys.plain(relu="toys:cost_1"), toys.blocked("toys:cost_1")], ["a"], policy="cost"
    )
    assert kernels(s) == ["plain:Relu/p"]
    decision = s.explain().decisions[0]
    assert decision.candidates[0].kernel == "blocked:Relu/b[NCHW16c]"


def test_two_readers_share_one_conversion() -> None:
    ops = [("Neg", ["x"], "n"), ("Relu", ["n"], "a"), ("Relu", ["n"], "b"), ("Add", ["a", "b"], "c")]
    s = session(ops, [toys.plain(), toys.blocked()], ["c"], policy="cost")
    assert kernels(s).count("core:Reorder") == 2
    x = draw()
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], 2 * np.maximum(-x, 0))


def test_order_policy_prefers_the_first_backend_whatever_it_costs() -> None:
    s = session(CHAIN, [toys.plain(relu="toys:cost_1000"), toys.blocked()], ["d"])
    assert kernels(s) == ["plain:Relu/p"] * 4
    codes = {r.code.value for r in s.explain().decisions[0].rejected}
    assert codes == {"policy"}


def test_a_device_is_used_when_the_work_pays_for_the_way() -> None:
    near = session(CHAIN, [toys.plain(relu="toys:cost_1"), toys.device()], ["d"], policy="cost")
    assert set(kernels(near)) == {"plain:Relu/p"}
    far = session(CHAIN, [toys.plain(relu="toys:cost_1000"), toys.device()], ["d"], policy="cost")
    assert kernels(far) == ["core:Move", *["device:Relu/d"] * 4, "core:Move"]
    toys.DeviceRuntime.transfers.clear()
    x = draw()
    np.testing.assert_array_equal(far.run(None, {"x": x})[0], np.maximum(x, 0))
    assert toys.DeviceRuntime.transfers == ["up", "down", "sync"]


def test_layout_and_device_change_together() -> None:
    s = session(
        [("Relu", ["x"], "a"), ("Add", ["a", "x"], "b")],
        [toys.device("toys:cost_1"), toys.blocked()],
        ["b"],
        pin={"Relu": "device", "Add": "blocked"},
    )
    x = draw()
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], np.maximum(x, 0) + x)


def test_pins_win_and_an_impossible_pin_lists_every_reason() -> None:
    s = session(CHAIN, [toys.plain(), toys.blocked()], ["d"], pin={"b": "blocked:Relu/b"})
    assert kernels(s).count("blocked:Relu/b") == 1
    assert {d.node: d.why for d in s.explain().decisions}["b"] == "pinned by 'b'"
    with pytest.raises(orpheus.SelectionError, match=r"needs X\.rank == 4, has 2"):
        session(CHAIN, [toys.plain(), toys.blocked()], ["d"], pin={"b": "blocked:Relu/b"}, shape=(3, 4))
    with pytest.raises(orpheus.UsageError, match="there is no kernel or backend 'blocked:Relu/nope'"):
        session(CHAIN, [toys.plain(), toys.blocked()], ["d"], pin={"b": "blocked:Relu/nope"})
    with pytest.raises(orpheus.UsageError, match="matches no node"):
        session(CHAIN, [toys.plain(), toys.blocked()], ["d"], pin={"nowhere": "plain"})


def test_fallback_is_never_silent(caplog: pytest.LogCaptureFixture) -> None:
    ops = [("Relu", ["x"], "a"), ("Neg", ["a"], "b")]
    backends = [toys.blocked(), toys.plain()]
    with caplog.at_level("INFO", logger="orpheus"):
        s = session(ops, backends, ["b"], providers=["blocked"])
    record = caplog.records[-1]
    assert record.levelname == "WARNING"
    assert "plain 1" in record.message
    assert kernels(s)[-1] == "plain:Neg/p"
    with pytest.raises(orpheus.UnsupportedModelError, match="Neg"):
        session(ops, backends, ["b"], providers=["blocked"], fallback="error")
    caplog.clear()
    session(ops, backends, ["b"], providers=["blocked"], fallback="allow")
    assert all(r.levelname != "WARNING" for r in caplog.records)


def test_fallback_at_a_later_shape_or_inside_a_subgraph_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    rule = Rule("X.shape[0]", "<=", 2)
    small = Kernel(op="Relu", name="small", run="toys:relu", where=(rule,))
    branch = Kernel(op="If", name="plain", run="toys:branch")
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    agraph (float[n] x, bool c) => (float[n] z) {
        y = Relu(x)
        z = If(c) <then_branch = yes () => (float[n] a) { a = Neg(y) },
                   else_branch = no () => (float[n] b) { b = Relu(y) }>
    }""")
    with discovery.override(Backend(name="small", api=1, kernels=(small, branch)), toys.plain()):
        s = orpheus.InferenceSession(model, providers=["small"])

    def told(size: int, condition: bool) -> list[str]:
        caplog.clear()
        s.run(None, {"x": np.zeros(size, np.float32), "c": np.array(condition)})
        return [r.message for r in caplog.records if r.levelname == "WARNING"]

    assert told(2, False) == []
    (inside,) = told(2, True)
    assert "plain 1" in inside and "Neg" in inside
    later = told(3, False)
    assert any("Relu" in line and "needs X.shape[0] <= 2, has 3" in line for line in later)
    assert told(3, False) == []


def test_a_broken_rule_or_cost_harms_no_other_kernel() -> None:
    broken = Backend(
        name="broken",
        api=1,
        kernels=(
            Kernel(op="Relu", name="rule", run="toys:relu", supports="toys:no_such_function"),
            Kernel(op="Relu", name="cost", run="toys:relu", cost="toys:no_such_function"),
        ),
    )
    s = session(CHAIN[:1], [broken], ["a"])
    assert kernels(s) == ["broken:Relu/cost"]
    assert s.explain().decisions[0].rejected[0].code.value == "broken"


@pytest.mark.parametrize("cost", ["toys:cost_nan", "toys:cost_infinite", "toys:cost_negative"])
def test_a_cost_that_is_no_time_counts_as_none(cost: str) -> None:
    odd = Kernel(op="Relu", name="odd", run="toys:relu", cost=cost, rank=200)
    plain = Kernel(op="Relu", name="plain", run="toys:relu", rank=100)
    s = session(CHAIN[:1], [Backend(name="toy", api=1, kernels=(odd, plain))], ["a"])
    assert kernels(s) == ["toy:Relu/plain"]
    assert s.explain().decisions[0].candidates[0].source == "rank"


def test_refusals_speak_of_rule_dtype_and_opset() -> None:
    picky = Backend(
        name="picky",
        api=1,
        kernels=(
            Kernel(op="Relu", name="dtype", run="toys:relu", dtypes={"T": ("float16",)}),
            Kernel(op="Relu", name="opset", run="toys:relu", opset=(1, 6)),
            Kernel(op="Relu", name="rule", run="toys:relu", where=(Rule("X.shape[1]", "in", (1, 2)),)),
            Kernel(op="Relu", name="good", run="toys:relu"),
        ),
    )
    s = session(CHAIN[:1], [picky], ["a"])
    texts = {r.kernel.rsplit("/", 1)[1]: r.text for r in s.explain().decisions[0].rejected}
    assert texts["dtype"] == "needs T in float16, has float32"
    assert texts["opset"] == "implements opset 1 to 6, the node is version 14"
    assert texts["rule"] == "needs X.shape[1] in (1, 2), has 24"


@pytest.mark.parametrize("strides, refusal", [
    (None, None), ((1, 1), None), ((1, 2), "needs strides each in (1,), has (1, 2)"),
])  # fmt: skip
def test_each_holds_where_the_list_is_left_out(strides: tuple[int, ...] | None, refusal: str | None) -> None:
    attributes = {} if strides is None else {"strides": strides}
    problem = Problem(op="Conv", domain="", version=11, attributes=attributes, inputs=(), outputs=())
    assert Rule("strides", "each", (1,)).refusal(problem) == refusal


@pytest.mark.parametrize("shapes, least", [
    (((2, 3), (3,)), (3, 1)), (((2, 3), (0,)), (0, 1)), (((), (2, 3, 4)), (1, 0)), (((2, 3), None), (None, None)),
])  # fmt: skip
def test_a_star_is_the_least_of_all_tensors(shapes: Any, least: tuple[int | None, int | None]) -> None:
    types = tuple(TensorType(DType.FLOAT32, shape) for shape in shapes)
    problem = Problem(
        op="Add", domain="", version=14, attributes={}, inputs=(types[0], None), outputs=types[1:],
        input_names=("A", "B"), output_names=("C",),
    )  # fmt: skip
    assert (problem.field("*.size"), problem.field("*.rank")) == least
    refusal = Rule("*.size", ">=", 1).refusal(problem)
    assert (refusal is None) == (least[0] is not None and least[0] > 0)
    with pytest.raises(ValueError, match="no operand"):
        problem.field("*.dtype")


def test_rank_orders_kernels_of_unknown_cost() -> None:
    ranked = Backend(
        name="ranked",
        api=1,
        kernels=(
            Kernel(op="Relu", name="slow", run="toys:relu", rank=200),
            Kernel(op="Relu", name="fast", run="toys:relu", rank=50),
        ),
    )
    s = session(CHAIN[:1], [ranked], ["a"])
    assert kernels(s) == ["ranked:Relu/fast"]
    assert s.explain().decisions[0].why == "rank 50 against 200 of ranked:Relu/slow"


def test_fusion_does_not_hide_the_kernels_of_an_earlier_backend() -> None:
    pytest.importorskip("orpheus_numpy")
    from fakes import small_network

    mine = Backend(
        name="mine", api=1, kernels=(Kernel(op="Relu", name="k", run="toys:relu", writes_out=True),)
    )
    x = draw((2, 3, 8, 8))
    with discovery.override(mine, keep_installed=True):
        s = orpheus.InferenceSession(
            small_network(), providers=["mine", "numpy"], shapes={"x": [2, 3, 8, 8]}, fallback="error"
        )
        assert "mine:Relu/k" in kernels(s)
        alone = orpheus.InferenceSession(small_network(), providers=["numpy"], shapes={"x": [2, 3, 8, 8]})
        assert not any(k.endswith("Relu/reference") for k in kernels(alone)), (
            "fused where nobody asks for parts"
        )
        np.testing.assert_allclose(
            s.run(None, {"x": x})[0], alone.run(None, {"x": x})[0], rtol=1e-5, atol=1e-6
        )


def test_views_need_no_kernel_of_any_backend() -> None:
    s = session([("Relu", ["x"], "a"), ("Identity", ["a"], "b")], [toys.plain()], ["b"])
    assert kernels(s) == ["plain:Relu/p", "core:Identity/view"]


def expanding() -> Backend:
    """The cheaper of two kernels packs its constants into more memory."""
    return Backend(
        name="packs",
        api=1,
        kernels=(
            Kernel(op="Relu", name="big", run="toys:relu", cost="toys:cost_1", expands=True),
            Kernel(op="Relu", name="small", run="toys:relu", cost="toys:cost_20"),
            Kernel(op="Neg", name="big", run="toys:neg", expands=True),
        ),
    )


def test_low_memory_leaves_out_kernels_that_expand_their_constants() -> None:
    assert kernels(session(CHAIN[:1], [expanding()], ["a"])) == ["packs:Relu/big"]
    s = session(CHAIN[:1], [expanding()], ["a"], memory="low")
    assert kernels(s) == ["packs:Relu/small"]
    refusal = s.explain().decisions[0].rejected[0]
    assert "packs:Relu/big" in str(refusal) and "memory='low'" in str(refusal)


def test_low_memory_yields_to_a_pin_and_to_necessity() -> None:
    pinned = session(CHAIN[:1], [expanding()], ["a"], memory="low", pin={"Relu": "packs:Relu/big"})
    assert kernels(pinned) == ["packs:Relu/big"]
    assert kernels(session([("Neg", ["x"], "n")], [expanding()], ["n"], memory="low")) == ["packs:Neg/big"]
    with pytest.raises(orpheus.UsageError, match="normal, low"):
        session(CHAIN[:1], [expanding()], ["a"], memory="tiny")


def test_kernels_of_a_large_declared_error_are_left_out_unless_asked_for() -> None:
    kernel = Kernel(
        op="Relu", name="rough", run="toys:relu", cost="toys:cost_1", accuracy=Accuracy(factor=20)
    )
    fine = Kernel(op="Relu", name="fine", run="toys:relu", cost="toys:cost_20", accuracy=Accuracy(factor=8))
    backend = Backend(name="two", api=1, kernels=(kernel, fine))
    s = session(CHAIN[:1], [backend], ["a"])
    assert kernels(s) == ["two:Relu/fine"]
    assert "20 times" in str(s.explain().decisions[0].rejected[0])
    assert kernels(session(CHAIN[:1], [backend], ["a"], error_factor=32)) == ["two:Relu/rough"]
    assert kernels(session(CHAIN[:1], [backend], ["a"], pin={"Relu": "two:Relu/rough"})) == ["two:Relu/rough"]
    # Where nothing is within the limit, something still runs.
    assert kernels(session(CHAIN[:1], [backend], ["a"], error_factor=1)) == ["two:Relu/rough"]
    with pytest.raises(orpheus.UsageError, match="error_factor"):
        session(CHAIN[:1], [backend], ["a"], error_factor=0.5)


@pytest.mark.parametrize("fallback", ["allow", "warn"])
def test_by_cost_a_backend_that_was_not_named_runs_only_what_no_named_one_can(fallback: str) -> None:
    named, unnamed = toys.blocked("toys:cost_1000"), toys.plain(relu="toys:cost_1")
    ops = [("Relu", ["x"], "a"), ("Neg", ["a"], "b"), ("Relu", ["b"], "c")]
    s = session(ops, [named, unnamed], ["c"], providers=["blocked"], policy="cost", fallback=fallback)
    computed = [k for k in kernels(s) if not k.startswith("core:")]
    assert computed == ["blocked:Relu/b", "plain:Neg/p", "blocked:Relu/b"]
    refused = [r for r in s.explain().decisions[0].rejected if r.kernel.startswith("plain")]
    assert "was not asked for" in str(refused[0])
    both = session(ops, [named, unnamed], ["c"], providers=["blocked", "plain"], policy="cost")
    assert kernels(both) == ["plain:Relu/p", "plain:Neg/p", "plain:Relu/p"]


@pytest.mark.parametrize("named", ["whole", "parts"])
def test_by_cost_a_fused_layer_is_taken_apart_only_among_those_that_were_named(named: str) -> None:
    costs = {"whole": ("toys:cost_1000", "toys:cost_1"), "parts": ("toys:cost_1", "toys:cost_1000")}[named]
    whole = Kernel(op="ScaleShift", domain="ai.orpheus", name="w", run="toys:relu", cost=costs[0])
    parts = [Kernel(op=op, name="p", run="toys:relu", cost=costs[1]) for op in ("Mul", "Add")]
    backends = [
        Backend(name="whole", api=1, kernels=(whole,)),
        Backend(name="parts", api=1, kernels=tuple(parts)),
    ]
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[1, 24, 8, 8] x) => (float[1, 24, 8, 8] y)'
        " <float[24, 1, 1] s = {"
        + ", ".join(["2"] * 24)
        + "}, float[24, 1, 1] b = {"
        + ", ".join(["1"] * 24)
        + "}>"
        " { m = Mul(x, s) y = Add(m, b) }"
    )
    with discovery.override(*backends):
        s = orpheus.InferenceSession(
            parser.parse_model(text), providers=[named], policy="cost", fallback="allow"
        )
        assert {k.split(":")[0] for k in kernels(s)} - {"core"} == {named}


@pytest.mark.parametrize(("cost", "expected"), [("toys:cost_1000", "plain"), ("toys:cost_1", "blocked")])
def test_a_conversion_costs_what_the_kernel_that_does_it_says(cost: str, expected: str) -> None:
    layouts = (Format(("plain",), ("NCHW16c",)), Format(("NCHW16c",), ("plain",)))
    blocked = toys.blocked("toys:cost_1")
    reorder = Kernel(op="Reorder", domain="ai.orpheus", name="r", run="toys:relu", formats=layouts, cost=cost)
    backends = [toys.plain(relu="toys:cost_20"), replace(blocked, kernels=(*blocked.kernels, reorder))]
    s = session(CHAIN[:1], backends, ["a"], policy="cost")
    assert [d.chosen.split(":")[0] for d in s.explain().decisions] == [expected]


@pytest.mark.parametrize(("op", "count"), [("Concat", 2), ("Concat", 3), ("Split", 2), ("Split", 3)])
def test_a_format_fits_no_more_tensors_of_a_list_than_it_names(op: str, count: int) -> None:
    """Further ones would be plain, and be read as what the others are."""
    part, whole = (TensorType(DType.FLOAT32, (1, 16 * n, 2, 2)) for n in (1, count))
    spec = find_spec("", op, 13)
    assert spec is not None
    problem = Problem(
        op=op, domain="", version=13, attributes={"axis": 1}, input_names=spec.input_names,
        inputs=(part,) * count if op == "Concat" else (whole,), output_names=spec.output_names,
        outputs=(whole,) if op == "Concat" else (part,) * count,
    )  # fmt: skip
    blocks = ("NCHW16c",)
    layouts = Format(blocks * 2, blocks) if op == "Concat" else Format(blocks, blocks * 2)
    kernel = Kernel(op=op, name="b", run="toys:relu", formats=(layouts,))
    found, refused = candidates(problem, [Backend(name="one", api=1, kernels=(kernel,))])
    assert [c.format for c in found] == [layouts] * (count == 2)
    assert ["or their number" in str(r) for r in refused] == [True] * (count == 3)
