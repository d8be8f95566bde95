"""``orpheus zoo`` and the manifest that offers it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import onnx
import orpheus_experiments
import pluggy
import pytest
from orpheus_experiments.zoo import NETWORKS, build

from orpheus_core.errors import UsageError
from orpheus_core.plugin import PROJECT, Hooks, resolve


@pytest.fixture
def verb():
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(orpheus_experiments)
    manager.check_pending()
    command = next(c for c in manager.hook.orpheus_commands() if c.name == "zoo")

    def call(*words):
        parser = argparse.ArgumentParser()
        resolve(command.configure)(parser)
        return resolve(command.run)(parser.parse_args(words))

    assert command.name == "zoo"
    assert manager.hook.orpheus_backend() is None
    return call


def test_the_manifest_loads_no_model_code():
    code = "import sys, orpheus_experiments as e; e.orpheus_commands(); print('orpheus_experiments.zoo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_writes_the_model_that_was_asked_for(verb, tmp_path, capsys):
    path = tmp_path / "wrn.onnx"
    assert verb("wrn-40-2", "-o", str(path), "--raw", "--seed", "7", "--batch", "2", "--opset", "21") == 0
    assert onnx.load(path) == build("wrn-40-2", raw=True, seed=7, batch=2, opset=21)
    assert "wrn-40-2" in capsys.readouterr().out


def test_lists_every_network(verb, capsys):
    assert verb("--list") == 0
    table = capsys.readouterr().out
    assert all(name in table for name in NETWORKS)
    assert "25.56 M" in table
    assert verb("--list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(NETWORKS)
    assert rows["inception-v3"]["input"] == [1, 3, 299, 299]
    assert rows["resnet-50"]["parameters"] == 25_557_032


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give a network"),
        (("resnet-18",), "give a network and -o"),
        (("resnet-18", "--json", "-o", "x"), "--json goes with --list"),
        (("alexnet", "-o", "x"), "no network 'alexnet'"),
    ],
)
def test_contradictions_are_refused(verb, words, message):
    with pytest.raises(UsageError, match=message):
        verb(*words)


def test_an_unwritable_place_is_named(verb, tmp_path):
    with pytest.raises(UsageError, match=r"cannot write .*missing"):
        verb("wrn-40-2", "-o", str(tmp_path / "missing" / "wrn.onnx"))
