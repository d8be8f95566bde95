"""What rules and layouts do to the layers that are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from orpheus_conformance.case import Case, Operand
from orpheus_conformance.engine import cases, versions
from orpheus_conformance.instance import instantiate
from orpheus_conformance.space import find_space
from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers import TIERS
from orpheus_conformance.values import value_of

from orpheus_core.plugin import Backend, Format, Kernel, Rule

BLOCK = 8
BLOCKED = f"NCHW{BLOCK}c"


def drawn(op: str, examples: int = 100, tier: str = "bounded", domain: str = "", **kernel) -> list[Case]:
    """Layers for a kernel of an operator."""
    made = Kernel(op=op, domain=domain, name="k", run="m:f", dtypes={"T": ("float32",)}, **kernel)
    subject = Subject(Backend(name="toy", api=1, kernels=(made,)), made)
    space = find_space(domain, op)
    found: list[Case] = []

    @seed(0)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases(subject, space, TIERS[tier], versions(subject, space)))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def shapes(case: Case) -> list[tuple[int, ...]]:
    return [operand.shape for operand in case.inputs if isinstance(operand, Operand)]


OPERATORS = (
    "Add",
    "Concat",
    "Conv",
    "Gather",
    "GatherElements",
    "Gemm",
    "GlobalMaxPool",
    "MatMul",
    "Relu",
    "TopK",
)


@pytest.mark.parametrize("op", OPERATORS)
def test_a_kernel_that_takes_no_empty_tensors_is_offered_none(op: str) -> None:
    assert any(0 in map(math.prod, shapes(case)) for case in drawn(op)) or op == "TopK"
    full = (Rule("*.size", ">=", 1),)
    for case in drawn(op, where=full):
        problem = instantiate(case).problem
        sizes = [t.size for t in (*problem.inputs, *problem.outputs) if t is not None]
        assert 0 not in sizes, case.line()  # None: of a size that only the run shows


def test_a_rule_on_one_operand_leaves_the_others_free() -> None:
    found = [shapes(case) for case in drawn("Gather", where=(Rule("data.size", ">=", 1),))]
    assert all(0 not in data for data, _ in found)
    assert any(0 in indices for _, indices in found)


def test_a_demand_that_an_attribute_be_left_out_leaves_it_out() -> None:
    found = drawn("LSTM", where=(Rule("clip", "==", None),))
    assert all("clip" not in case.attributes for case in found)


@pytest.mark.parametrize("op", ["Relu", "MaxPool", "GlobalAveragePool", "ReduceSum", "BatchNormalization"])
def test_channels_of_a_blocked_kernel_fill_blocks_and_go_beyond_them(op: str) -> None:
    formats = (Format((BLOCKED,), (BLOCKED,)),)
    channels = {shapes(case)[0][1] for case in drawn(op, formats=formats)}
    assert {BLOCK, BLOCK + 1, 2 * BLOCK} <= channels and min(channels) < BLOCK
    assert max(shapes(case)[0][1] for case in drawn(op) if len(shapes(case)[0]) > 1) < BLOCK


@pytest.mark.parametrize("op", ["Conv", "FusedConv"])
def test_convolutions_of_blocked_kernels_have_groups_of_whole_blocks_and_many_of_one_channel(op: str) -> None:
    domain = "ai.orpheus" if op == "FusedConv" else ""
    formats = (Format((BLOCKED, "plain", "plain", BLOCKED), (BLOCKED,)),)
    groups = set()
    for case in drawn(op, 200, domain=domain, formats=formats):
        weights = shapes(case)[1]
        groups.add((case.attributes.get("group", 1), weights[1]))
    assert {(2, BLOCK), (3, BLOCK), (1, BLOCK + 1), (BLOCK + 1, 1)} <= groups


def test_convolutions_of_blocked_kernels_have_filters_of_many_blocks_and_rows_longer_than_one() -> None:
    formats = (Format((BLOCKED, "plain", "plain", BLOCKED), (BLOCKED,)),)
    found = [shapes(case)[:2] for case in drawn("Conv", 1000, formats=formats)]
    assert {BLOCK, BLOCK + 1, 2 * BLOCK, 4 * BLOCK + 1} <= {w[0] for _, w in found}
    assert sum(x[3] > 4 * BLOCK for x, _ in found) > len(found) / 20
    assert any(x[3] > 4 * BLOCK and w[0] > BLOCK for x, w in found)
    assert max(n for case in drawn("Conv", 300) for x in shapes(case) for n in x) < 2 * BLOCK
    many = (Rule("W.shape[0]", ">=", 2 * BLOCK + 1),)
    filters = [shapes(case)[1][0] for case in drawn("Conv", where=many, formats=formats)]
    assert {2 * BLOCK + 1, 4 * BLOCK + 1} <= set(filters)


def test_transposed_convolutions_have_the_channels_that_blocks_and_rules_want() -> None:
    formats = (Format((BLOCKED,), (BLOCKED,)),)
    both = [shapes(case)[:2] for case in drawn("ConvTranspose", 800, formats=formats)]
    assert {BLOCK, BLOCK + 1} <= {x[1] for x, _ in both} and {BLOCK, BLOCK + 1} <= {w[1] for _, w in both}
    many = [shapes(case)[0][1] for case in drawn("ConvTranspose", where=(Rule("X.shape[1]", ">=", BLOCK),))]
    assert sum(n >= BLOCK for n in many) > len(many) / 2  # three groups do not divide eight channels


def test_rules_on_operands_of_lower_case_steer_quantized_convolutions() -> None:
    square = (Rule("w.shape[2]", "==", 1), Rule("w.shape[3]", "==", 1))
    found = drawn("QLinearConv", where=(*square, Rule("x.shape[1]", ">=", 8), Rule("x.rank", "==", 4)))
    images, weights = ([shapes(case)[i] for case in found] for i in (0, 3))
    assert all(w[2:] == (1, 1) for w in weights)
    assert sum(x[1] >= 8 for x in images) > len(images) / 2  # three groups do not divide eight channels


def test_most_weights_are_quantized_symmetrically_and_a_third_of_all_layers_is() -> None:
    for op in ("QLinearConv", "QLinearMatMul"):
        found = [[not np.any(np.asarray(case.inputs[i].data)) for i in (2, 5, 7)] for case in drawn(op, 300)]
        whole, weights = np.mean([all(three) for three in found]), np.mean([three[1] for three in found])
        assert 0.1 < whole < weights - 0.1 and weights < 0.98


def test_operands_of_blocked_kernels_often_have_a_value_a_channel() -> None:
    found = [shapes(case) for case in drawn("Mul", 300, formats=(Format((BLOCKED, BLOCKED), (BLOCKED,)),))]
    small = [pair for pair in found if any(s[2:] == (1, 1) and s[1] > 1 for s in pair) and pair[0] != pair[1]]
    assert len(small) > len(found) / 8


def test_the_operand_whose_layout_is_fixed_is_the_whole_one() -> None:
    for formats, index in (
        (Format((BLOCKED, "plain"), (BLOCKED,)), 0),
        (Format(("plain", BLOCKED), (BLOCKED,)), 1),
    ):
        for case in drawn("Sub", formats=(formats,)):
            assert len(shapes(case)[index]) == 4
            assert np.broadcast_shapes(*shapes(case)) == shapes(case)[index]


def test_blocked_kernels_mostly_pad_and_reduce_rows_and_columns() -> None:
    formats = (Format((BLOCKED,), (BLOCKED,)),)
    given = (Rule("axes.present", "==", True),)
    axes = [instantiate(case).arrays[1] for case in drawn("ReduceMax", where=given, formats=formats)]
    inner = [bool(np.all(found % 4 > 1)) for found in axes if found.size]
    assert sum(inner) > len(inner) / 2 and not all(inner)


@pytest.mark.parametrize("op", ["ReduceProd", "CumProd"])
def test_special_factors_have_the_same_product_in_any_order(op: str) -> None:
    seen = set()
    for case in drawn(op, tier="special"):
        x = value_of(case.inputs[0], case.seed).ravel()
        with np.errstate(invalid="ignore"):
            products = [
                np.prod(x[order])
                for order in (np.arange(x.size), np.arange(x.size)[::-1], np.argsort(abs(x)))
            ]
        np.testing.assert_array_equal(products, products[:1] * 3, case.line())
        seen.update(np.abs(x[~np.isnan(x)]).tolist(), ["NaN"] * bool(np.isnan(x).any()))
    assert seen == {0.0, 1.0, math.inf, "NaN"}
