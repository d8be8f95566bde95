"""``orpheus layer`` and ``orpheus layers`` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes import small_network

QUICK = ("--threads", 1, "--rounds", 2, "--seconds", 0.01)
#: The names that a program may rely on; a change of these is a change of the schema's number.
STUDY = {
    "model", "machine", "schema", "node", "op", "types", "attributes", "macs", "nbytes", "is_memory_bound", "peak",
    "bandwidth", "chosen", "why", "reference", "note", "cold_bytes", "kernels", "refused",
}  # fmt: skip
KERNEL = {
    "kernel", "backend", "status", "reason", "is_chosen", "excluded", "layouts", "median", "low", "high", "runs",
    "ratio", "ratio_low", "ratio_high", "conversions", "in_place", "flops", "share_of_peak", "bandwidth",
    "share_of_bandwidth", "workspace", "packed_bytes", "weight_bytes", "prepare", "error", "mean_error", "relative",
    "limit",
}  # fmt: skip
LAYER = {
    "node", "op", "alike", "chosen", "status", "seconds", "low", "high", "conversions", "share_of_peak", "alternative",
    "alternative_seconds", "ratio", "lost", "is_sure", "excluded", "macs", "nbytes", "bad", "reason", "note",
}  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(small_network(), path)
    return path


def study(orpheus, *arguments: object) -> tuple[int, dict, dict]:
    """The exit code, the whole study, and its rows by the kernel's own name."""
    done = orpheus("layer", *arguments, *QUICK, "--json")
    assert done.out, done.err
    data = json.loads(done.out)
    return done.code, data, {k["kernel"].rpartition("/")[2]: k for k in data["kernels"]}


def test_every_implementation_with_its_time_error_and_memory(orpheus, small: Path) -> None:
    code, data, rows = study(orpheus, small, "--node", "conv", "-b", "numpy")
    assert code == 0 and data.keys() == STUDY and data["schema"] == 1
    assert len(rows) >= 2 and all(row.keys() == KERNEL for row in rows.values())
    assert data["op"] == "ai.orpheus:FusedConv" and data["macs"] == 4 * 64 * 27
    assert sum(row["is_chosen"] for row in rows.values()) == 1
    for row in rows.values():
        assert row["status"] == "ok" and row["runs"] >= 4
        assert 0 < row["low"] <= row["median"] <= row["high"]
        assert row["in_place"] == pytest.approx(row["median"] + sum(c["seconds"] for c in row["conversions"]))
        assert bool(row["conversions"]) is (row["layouts"] != "plain"), "all around it is plain"
        assert row["error"] <= row["limit"]
        assert row["limit"] < 1e-3 or row["backend"] != "numpy", "another backend may declare larger errors"
        assert row["flops"] == pytest.approx(2 * data["macs"] / row["median"])
        assert row["share_of_peak"] == pytest.approx(row["flops"] / data["peak"]["flops"])
        assert row["weight_bytes"] >= row["packed_bytes"] >= 0
    chosen = next(row for row in rows.values() if row["is_chosen"])
    assert chosen["ratio"] == 1 and chosen["kernel"] == data["chosen"]


def test_the_text_has_rows_reasons_and_where_the_figures_come_from(orpheus, small: Path) -> None:
    done = orpheus("layer", small, "--node", "conv", "-b", "all", *QUICK)
    assert done.code == 0, done.err
    for part in ("numpy:ai.orpheus:FusedConv/", "95 % interval", "chosen", "GFLOP/s", "MACs", "memory"):
        assert part in done.out


def test_a_bad_kernel_costs_its_row_only(orpheus, relus: Path) -> None:
    bad = ("wrong", "crash", "leave", "hang", "fails", "late")
    orpheus.toys("toy", "good", "slow", *bad, "rough")
    code, data, rows = study(orpheus, relus, "--node", "first", "-b", "toy,numpy", "--timeout", 3)
    assert code == 4
    assert {name: rows[name]["status"] for name in ("good", "slow", *bad)} == {
        "good": "ok", "slow": "ok", "wrong": "wrong", "crash": "crashed", "leave": "crashed", "hang": "timed out",
        "fails": "failed", "late": "crashed",
    }  # fmt: skip
    assert "SIGSEGV" in rows["crash"]["reason"] and "first run of toy:Relu/crash" in rows["crash"]["reason"]
    assert "code 0" in rows["leave"]["reason"] and "timing toy:Relu/late" in rows["late"]["reason"]
    assert "no answer in 3 s" in rows["hang"]["reason"] and "on purpose" in rows["fails"]["reason"]
    assert (
        rows["wrong"]["error"] == pytest.approx(0.01, rel=0.1)
        and "rounding explains" in rows["wrong"]["reason"]
    )
    assert data["chosen"] == "toy:Relu/good" and rows["good"]["ratio"] == 1
    assert rows["slow"]["median"] > 0.003 and rows["slow"]["ratio"] > 1
    assert rows["rough"]["status"] == "ok", "a rounding more is no error"
    numpys = [r for r in data["kernels"] if r["backend"] == "numpy"]
    assert numpys[0]["status"] == "ok" and "toy comes first" in numpys[0]["excluded"]


def test_a_kernel_that_dies_of_being_planned_costs_its_row_only(orpheus, relus: Path) -> None:
    """The two that the plan would take first cannot be prepared: one kills its process, one raises."""
    orpheus.toys(
        "toy", "dies", "refuses", "good", dies="prepare='fake_toy:Dies'", refuses="prepare='fake_toy:Refuses'"
    )
    done = orpheus("layer", relus, "--node", "first", "-b", "toy", *QUICK, "--json")
    assert done.code == 4 and done.out, done.err
    data = json.loads(done.out)
    rows = {k["kernel"].rpartition("/")[2]: k for k in data["kernels"] if k["backend"] == "toy"}
    assert {name: row["status"] for name, row in rows.items()} == {
        "dies": "crashed", "refuses": "failed", "good": "ok"
    }  # fmt: skip
    assert "SIGSEGV" in rows["dies"]["reason"] and "not today" in rows["refuses"]["reason"]
    assert data["chosen"] == "toy:Relu/good"
    assert "toy:Relu/dies is left out of the plan: crashed while it was prepared" in done.err
    assert "toy:Relu/refuses is left out of the plan" in done.err
    shown = orpheus("layers", relus, "-b", "toy", *QUICK)
    assert shown.code == 4 and "toy:Relu/good" in shown.out, shown.err


def test_isolation_gives_each_kernel_a_process(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "good", "crash")
    code, _, rows = study(orpheus, relus, "--node", "first", "-b", "toy", "--isolate")
    assert code == 4 and rows["crash"]["status"] == "crashed" and rows["good"]["status"] == "ok"


def test_a_wrong_kernel_alone_ends_with_1(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "good", "wrong")
    code, _, rows = study(
        orpheus, relus, "--node", "first", "-b", "toy", "--kernel", "good", "--kernel", "wrong"
    )
    assert code == 1 and rows.keys() == {"good", "wrong"}


def test_the_inputs_are_what_flows_through_the_network(orpheus, relus: Path, tmp_path: Path) -> None:
    """A kernel that is wrong for negative values only is right behind a Relu, and wrong before it."""
    orpheus.install(
        "toy",
        "import numpy as np\n"
        "from orpheus_core.plugin import Backend, Kernel, hookimpl\n"
        "def same(X):\n    return X.copy()\n"
        "@hookimpl\ndef orpheus_backend():\n"
        "    return Backend(name='toy', api=1, kernels=(Kernel(op='Relu', name='same', run='fake_toy:same'),))\n",
    )
    np.save(tmp_path / "x.npy", np.abs(np.random.default_rng(0).standard_normal((2, 3))).astype(np.float32))
    given = ("-i", f"x={tmp_path / 'x.npy'}")
    assert study(orpheus, relus, "--node", "first", "-b", "toy,numpy", *given)[2]["same"]["status"] == "ok"
    assert study(orpheus, relus, "--node", "first", "-b", "toy,numpy")[2]["same"]["status"] == "wrong"


def test_refusals_are_listed(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "good", "slow", slow="where=(Rule('X.rank', '==', 7),)")
    _, data, rows = study(orpheus, relus, "--node", "first", "-b", "toy")
    assert "slow" not in rows
    refused = {r["kernel"]: (r["code"], r["text"]) for r in data["refused"]}
    assert refused["toy:Relu/slow"] == ("rule", "needs X.rank == 7, has 2")


def test_a_written_layer(orpheus) -> None:
    code, data, rows = study(orpheus, "Conv[1x8x9x9,k3]+Relu", "-b", "numpy")
    assert code == 0 and data["model"] == "Conv[1x8x9x9,k3]+Relu" and data["cold_bytes"] == 0
    assert data["macs"] == 8 * 81 * 72 and rows


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("--node", "secnd"), 2, "close to it:"),
        ((), 2, "--node NAME is needed: one of first"),
        (
            ("--node", "first", "--kernel", "nonesuch"),
            2,
            "no kernel 'nonesuch' accepts this layer; those that do",
        ),
        (("--node", "first", "-b", "nonesuch"), 2, "nonesuch"),
        (("--node", "first", "--rounds", "0"), 2, "above zero"),
        (("--node", "first", "-i", "z=1.npy"), 2, "no input 'z'"),
    ],
)
def test_bad_requests_are_told(
    orpheus, relus: Path, arguments: tuple[str, ...], code: int, part: str
) -> None:
    done = orpheus("layer", relus, *arguments)
    assert done.code == code and part in done.err


def test_a_network_of_the_zoo_by_its_name(orpheus) -> None:
    code, data, rows = study(orpheus, "wrn-40-2", "--node", "conv1", "-b", "numpy", "--kernel", "im2col")
    assert code == 0 and data["model"] == "wrn-40-2" and len(rows) >= 1
    assert list((orpheus.site / "zoo").glob("wrn-40-2-*.onnx")), "it is kept where the measurements are"


def test_bad_models_and_layers_are_told(orpheus, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    assert orpheus("layer", broken, "--node", "x").code == 3
    assert orpheus("layer", tmp_path / "absent.onnx", "--node", "x").code == 2
    assert orpheus("layers", broken).code == 3
    done = orpheus("layer", "Conf[1x8x9x9,k3]")
    assert done.code == 2 and "did you mean Conv?" in done.err
    assert orpheus("layer", "Relu[3]", "--node", "layer").code == 2


def test_the_network_s_choices(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "slow", "good", "wrong")
    done = orpheus("layers", relus, "-b", "toy,numpy", *QUICK, "--json")
    assert done.code == 1, done.err
    data = json.loads(done.out)
    assert data["schema"] == 1
    assert data.keys() == {
        "model", "machine", "schema", "summary", "distinct", "peak", "bandwidth", "totals", "layers"
    }  # fmt: skip
    layers = {x["node"]: x for x in data["layers"]}
    assert all(x.keys() == LAYER for x in layers.values())
    first = layers["first"]
    assert first["chosen"] == "toy:Relu/slow" and first["alternative"] != "toy:Relu/wrong"
    assert first["lost"] == pytest.approx(first["seconds"] - first["alternative_seconds"], rel=1e-6)
    assert first["lost"] > 0.002 and first["ratio"] < 1 and first["is_sure"]
    assert any("toy:Relu/wrong: wrong" in text for text in first["bad"])
    totals = data["totals"]
    assert totals["seconds"] == pytest.approx(sum(x["seconds"] for x in layers.values()))
    assert totals["lost"] == pytest.approx(sum(x["lost"] for x in layers.values()))
    assert first["lost"] <= totals["lost_surely"] <= totals["lost"]


def test_layers_that_are_alike_are_measured_once(orpheus, tmp_path: Path) -> None:
    orpheus.install(
        "toy",
        "import os, numpy as np\n"
        "from orpheus_core.plugin import Backend, Kernel, hookimpl\n"
        "class Relu:\n"
        "    def __init__(self, problem):\n"
        "        open(os.environ['ORPHEUS_CACHE'] + '/prepared', 'a').write(f'{os.getpid()}\\n')\n"
        "    def bind(self, inputs, outputs, workspace):\n"
        "        return lambda: np.maximum(inputs[0], 0, out=outputs[0])\n"
        "@hookimpl\ndef orpheus_backend():\n"
        "    return Backend(name='toy', api=1, kernels=(Kernel(op='Relu', name='r', prepare='fake_toy:Relu'),))\n",
    )
    from toys import model

    chain = model(
        [("Relu", ["x"], "a"), ("Neg", ["a"], "b"), ("Relu", ["b"], "c"), ("Neg", ["c"], "d")], [2, 3], ["d"]
    )
    path = tmp_path / "chain.onnx"
    onnx.save(chain, path)
    done = orpheus("layers", path, "-b", "toy,numpy", *QUICK, "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    numbers = {x["node"]: x["alike"] for x in data["layers"]}
    assert numbers["a"] == numbers["c"] != numbers["b"] == numbers["d"] and data["distinct"] == 2
    assert len({x["seconds"] for x in data["layers"] if x["node"] in "ac"}) == 1
    # Twice to rehearse the plan, twice here to make it; once in the worker to run, once more to count its memory.
    prepared = (orpheus.site / "prepared").read_text().split()
    assert sorted(prepared.count(p) for p in set(prepared)) == [2, 2, 2]
    shown = orpheus("layers", path, "-b", "toy,numpy", *QUICK, "--group")
    assert shown.code == 0 and "2 x a" in shown.out and "would save" in shown.out


def test_conversions_count_in_place(orpheus, tmp_path: Path) -> None:
    """A kernel of a blocked layout pays on both sides for standing between plain ones."""
    orpheus.install(
        "toy",
        "import numpy as np\n"
        "from orpheus_core.plugin import Backend, Format, Kernel, hookimpl\n"
        "class Relu:\n"
        "    def __init__(self, problem):\n        self.workspace = 256\n"
        "        self.held = np.zeros(5000, np.float32)\n"
        "    def bind(self, inputs, outputs, workspace):\n"
        "        assert workspace.nbytes >= 256 and inputs[0].ndim == 5\n"
        "        return lambda: np.maximum(inputs[0], 0, out=outputs[0])\n"
        "@hookimpl\ndef orpheus_backend():\n"
        "    return Backend(name='toy', api=1, kernels=(Kernel(op='Relu', name='blocked', prepare='fake_toy:Relu',"
        " formats=(Format(('NCHW16c',), ('NCHW16c',)),)),))\n",
    )
    from toys import model

    path = tmp_path / "blocked.onnx"
    onnx.save(
        model([("Neg", ["x"], "a"), ("Relu", ["a"], "b"), ("Neg", ["b"], "c")], [1, 20, 6, 6], ["c"]), path
    )
    code, _, rows = study(orpheus, path, "--node", "b", "-b", "numpy,toy")
    assert code == 0
    row = rows["blocked[NCHW16c]"]
    assert row["status"] == "ok" and row["error"] == 0
    assert [(c["source"], c["target"]) for c in row["conversions"]] == [
        ("plain", "NCHW16c"),
        ("NCHW16c", "plain"),
    ]
    assert row["in_place"] == pytest.approx(row["median"] + sum(c["seconds"] for c in row["conversions"]))
    assert row["workspace"] == 256 and 20_000 <= row["packed_bytes"] < 24_000
