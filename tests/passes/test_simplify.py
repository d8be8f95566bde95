"""The pipeline: names, switches, order, observer."""

from __future__ import annotations

import itertools

import pytest
from passes.building import Builder, ops

from orpheus_core.errors import UsageError
from orpheus_core.passes import PIPELINE, describe, order, simplify
from orpheus_core.plugin import PassSpec


def small():
    b = Builder()
    return b.graph(b.op("Relu", b.op("Identity", b.input(2))))


EXTRA = PassSpec(name="mark", run="passes.building:name_seen", after="remove_identity")


def test_a_plugins_pass_is_told_where_it_runs():
    names = list(order([EXTRA]))
    assert names.index("mark") == names.index("remove_identity") + 1
    assert [name for name in names if name != "mark"] == list(PIPELINE)


def test_disabled_pass_does_not_run():
    assert ops(simplify(small())) == ["Relu"]
    assert ops(simplify(small(), disable=["remove_identity"])) == ["Identity", "Relu"]


def test_only_enabled_passes_run():
    seen = []
    graph = simplify(small(), enable=["eliminate_dead"], observer=lambda name, *_: seen.append(name))
    assert set(seen) == {"eliminate_dead"} and ops(graph) == ["Identity", "Relu"]


@pytest.mark.parametrize("switch", ["enable", "disable"])
def test_unknown_name_is_refused_with_the_known_ones(switch):
    with pytest.raises(UsageError, match=r"there is no pass 'fold_everything'; there are .*fold_constants"):
        simplify(small(), **{switch: ["fold_everything"]})


def test_observer_sees_each_pass_with_the_graph_before_and_after():
    calls = []
    graph = small()
    result = simplify(graph, observer=lambda *call: calls.append(call))
    assert calls[0][1] is graph and calls[-1][2] is result
    assert all(a[2] is b[1] for a, b in itertools.pairwise(calls))
    assert [name for name, before, after in calls if after is not before] == ["remove_identity"]


def test_pass_of_a_plugin_runs_in_its_place():
    seen = []
    graph = simplify(small(), extra=[EXTRA], observer=lambda name, *_: seen.append(name))
    assert graph.name == "seen"
    assert seen.index("mark") == seen.index("remove_identity") + 1
    assert simplify(small(), extra=[EXTRA], disable=["mark"]).name == "test"


def test_pass_of_a_plugin_needs_a_free_name_and_a_known_place():
    with pytest.raises(UsageError, match="already"):
        simplify(small(), extra=[PassSpec(name="fold_pad", run="a:b")])
    with pytest.raises(UsageError, match="no pass 'nowhere'"):
        simplify(small(), extra=[PassSpec(name="mark", run="a:b", after="nowhere")])


@pytest.mark.parametrize("name", PIPELINE)
def test_every_pass_says_what_it_does(name):
    assert describe(name).endswith(".")
