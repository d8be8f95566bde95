"""The command itself: verbs, plugins' verbs, errors in one line, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import onnx
import pytest
from fakes import unary_network

from orpheus_core import __version__
from orpheus_core.cli import main

EXTENSION = """
from orpheus_core.plugin import Command, hookimpl

def configure(parser):
    parser.add_argument("who")

def run(args):
    print(f"hello {args.who}")
    return 5

@hookimpl
def orpheus_commands():
    return [Command(name="greet", help="say hello", configure="fake_extra:configure", run="fake_extra:run"),
            Command(name="run", help="not this one", configure="fake_extra:configure", run="fake_extra:run")]
"""


def test_help_names_every_verb(orpheus) -> None:
    done = orpheus("--help")
    assert done.code == 0
    for verb in ("backends", "inspect", "explain", "run", "compare"):
        assert f"\n    {verb} " in done.out
    assert "Exit codes: 0 ok" in done.out


@pytest.mark.parametrize("verb", ["backends", "inspect", "explain", "run", "compare"])
def test_each_verb_has_help(orpheus, verb: str) -> None:
    done = orpheus(verb, "--help")
    assert done.code == 0 and "--json" in done.out and f"usage: orpheus {verb}" in done.out


def test_version(orpheus) -> None:
    assert orpheus("--version").out.strip() == f"orpheus-core {__version__}"


@pytest.mark.parametrize(
    "arguments", [[], ["nonesuch"], ["run"], ["compare", "m.onnx", "--runs", "0"], ["backends", "x"],
     ["compare", "m.onnx", "--tolerance", "nan"]],
)  # fmt: skip
def test_wrong_usage_is_2(orpheus, arguments: list[str]) -> None:
    done = orpheus(*arguments)
    assert done.code == 2
    assert "error:" in done.err and "Traceback" not in done.err


def test_a_plugin_adds_a_verb_with_its_own_exit_code(orpheus) -> None:
    orpheus.install("extra", EXTENSION)
    done = orpheus("greet", "world")
    assert (done.code, done.out) == (5, "hello world\n")
    listing = orpheus("--help")
    assert "say hello" in listing.out and "not this one" not in listing.out
    assert "plugin extra offers the verb 'run'" in listing.err


def test_a_broken_plugin_warns_and_leaves_the_others_verbs(orpheus) -> None:
    orpheus.install("extra", EXTENSION)
    orpheus.install("bad", "raise SystemExit(7)")
    orpheus.install(
        "poor",
        "from orpheus_core.plugin import hookimpl\n@hookimpl\ndef orpheus_commands():\n    return 1/0\n",
    )
    done = orpheus("greet", "world")
    assert (done.code, done.out) == (5, "hello world\n")
    assert "fake-bad" not in done.err, "the verb was found, so it does not matter here"
    assert (
        "orpheus: warning: plugin poor (fake-poor): hook orpheus_commands failed: ZeroDivisionError"
        in done.err
    )


def test_an_unknown_verb_names_the_plugins_that_may_have_it(orpheus) -> None:
    orpheus.install("extra", EXTENSION)
    orpheus.install("bad", "raise SystemExit(7)")
    done = orpheus("grete", "world")
    assert done.code == 2 and "invalid choice: 'grete'" in done.err and "greet" in done.err
    assert "orpheus: warning: plugin bad (fake-bad) is broken" in done.err
    disabled = orpheus("greet", "world", ORPHEUS_BACKENDS="bad")
    assert disabled.code == 2 and "plugin extra (fake-extra) is disabled" in disabled.err


def test_own_verbs_do_not_ask_plugins(orpheus) -> None:
    orpheus.install("bad", "raise SystemExit(7)")
    done = orpheus("inspect", "--list-passes")
    assert (done.code, done.err) == (0, "")


def test_errors_are_one_line_unless_debugging(orpheus, tmp_path) -> None:
    absent = tmp_path / "absent.onnx"
    done = orpheus("inspect", absent)
    assert done.code == 2
    assert done.err.startswith("orpheus: error: ") and done.err.count("\n") == 1 and "absent.onnx" in done.err
    for again in (orpheus("inspect", absent, "--debug"), orpheus("inspect", absent, ORPHEUS_DEBUG="1")):
        assert again.code == 2 and "Traceback" in again.err
    assert "Traceback" not in orpheus("inspect", absent, ORPHEUS_DEBUG="0").err


@pytest.mark.parametrize("verb", ["inspect", "explain", "run", "compare"])
def test_a_refused_model_is_3(orpheus, tmp_path, verb: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"this is not a model")
    orpheus.install("toy", TOY)
    done = orpheus(verb, path)
    assert done.code == 3, done.err
    assert done.err.startswith("orpheus: error: ") and done.err.count("\n") == 1


TOY = """
from orpheus_core.plugin import Backend, hookimpl

@hookimpl
def orpheus_backend():
    return Backend(name="toy", api=1, kernels=())
"""


def test_an_unknown_allow_list_name_is_2(orpheus) -> None:
    done = orpheus("backends", ORPHEUS_BACKENDS="nonesuch")
    assert done.code == 2 and "nonesuch" in done.err


def test_a_reader_that_leaves_early_is_no_error(model) -> None:
    reader = f"{sys.executable} -m orpheus_core inspect {model} --nodes | {sys.executable} -c 'input()'"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", reader], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_names_that_the_terminal_cannot_show_are_escaped(orpheus, tmp_path) -> None:
    model = unary_network("Relu")
    model.graph.input[0].name = model.graph.node[0].input[0] = "größe"
    onnx.save(model, tmp_path / "m.onnx")
    done = orpheus("inspect", tmp_path / "m.onnx", PYTHONIOENCODING="ascii")
    assert done.code == 0, done.err
    assert "gr\\xf6\\xdfe" in done.out


def test_main_in_process(capsys) -> None:
    assert main(["backends", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)


def test_backends_lists_each_state(orpheus, toy) -> None:
    orpheus.install("good", toy("good"))
    orpheus.install("dead", toy("dead", probe="fake_dead:probe"))
    orpheus.install("bad", "import no_such_library_at_all")
    orpheus.install("future", toy("future").replace("api=1", "api=9"))
    orpheus.install("odd", toy("odd").replace("op='Relu'", "op='Rleu'"))
    orpheus.install("extra", EXTENSION)
    done = orpheus("backends")
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines() if ":" not in line.split()[0]}
    for name, status, about in (
        ("good", "ready", "fake-good 1.5"),
        ("dead", "unavailable", "no such device"),
        ("bad", "broken", "No module named 'no_such_library_at_all'"),
        ("future", "incompatible", "plugin API 9"),
        ("odd", "ready", "fake-odd"),
        ("extra", "ready", "extension"),
    ):
        assert status in lines[name] and about in lines[name]
    assert "dead: to fix: plug it in" in done.out
    assert "odd: warning: Rleu/k: no operator Rleu" in done.out
    rows = {row["name"]: row for row in json.loads(orpheus("backends", "--json").out)}
    assert rows["good"]["status"] == "ready" and rows["good"]["kernels"] == 1
    assert rows["bad"]["kind"] == "unknown" and "no_such_library_at_all" in rows["bad"]["traceback"]
    assert rows["dead"]["fix"] == "plug it in"
    disabled = orpheus("backends", ORPHEUS_BACKENDS="good")
    assert "disabled" in next(line for line in disabled.out.splitlines() if line.startswith("bad"))
