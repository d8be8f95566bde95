"""Children: they answer, rest, die with their parent, and whatever becomes of them is told in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orpheus_core.errors import UsageError
from orpheus_core.process import Child, ChildError

WORKS = """
import os, sys, time
from orpheus_core.errors import ModelError, OrpheusError
from orpheus_core.process import ChildError

def stamp(state):
    state["n"] = state.get("n", 0) + 1
    return state["n"]
def say(state, text):
    print(text, flush=True)
    return text
def wait(state, seconds):
    time.sleep(seconds)
def closed(state):
    return lambda: 1
def leave(state, code):
    os._exit(code)
def typed(state):
    raise ModelError("a bad model")
def told(state):
    raise ChildError("wrong shape", "it has no corners", "looking")
class Own(OrpheusError):
    def __init__(self, what, why):
        super().__init__(f"{what}: {why}")
def own(state):
    raise Own("this", "cannot cross as it is")
def full(state):
    try:
        raise MemoryError
    except MemoryError as error:
        raise RuntimeError("no room") from error
def big(state, size):
    return b"x" * size

class Noting:
    def __init__(self, note, *given):
        if given == ("bad",):
            raise ModelError("not with this")
        self.note = note
    def die(self, at):
        self.note("first")
        self.note(at)
        os.kill(os.getpid(), 11)
    def hang(self, at):
        self.note(at)
        time.sleep(600)
"""


@pytest.fixture
def works(tmp_path, monkeypatch) -> str:
    (tmp_path / "works_of_test.py").write_text(WORKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "works_of_test"


@pytest.fixture
def child(works):
    with Child(works, rests=True, quiet=True) as made:
        yield made


def test_it_keeps_its_state_and_its_prints_apart(child) -> None:
    assert [child.call("stamp", limit=60), child.call("stamp", limit=60)] == [1, 2]
    assert child.call("say", limit=60, text="ok 5\n" * 3) == "ok 5\n" * 3
    assert child.call("stamp", limit=60) == 3
    assert len(child.call("big", 3_000_000, limit=60)) == 3_000_000


@pytest.mark.parametrize(
    ("work", "kind", "part"),
    [
        ("closed", "failed", "cannot cross"),
        ("nonesuch", "failed", "AttributeError"),
        ("own", "failed", "this: cannot cross as it is"),
        ("full", "out of memory", "RuntimeError: no room"),
        ("told", "wrong shape", "it has no corners (looking)"),
    ],
)
def test_what_goes_wrong_has_a_kind_and_costs_an_answer(child, work, kind, part) -> None:
    with pytest.raises(ChildError) as found:
        child.call(work, limit=60)
    assert found.value.kind == kind and part in str(found.value)
    assert child.call("stamp", limit=60) == 1, "it lives on"


def test_typed_errors_cross_as_themselves(child, works) -> None:
    from orpheus_core.errors import ModelError

    with pytest.raises(ModelError, match="a bad model"):
        child.call("typed", limit=60)
    with pytest.raises(ModelError, match="not with this"):
        Child(f"{works}:Noting", "bad", timeout=60)
    if hasattr(os, "sched_setaffinity"):
        with Child(works, cpus=[4095]) as confined, pytest.raises(UsageError, match="4095"):
            confined.call("stamp", limit=60)


def test_the_way_it_died_is_told(works) -> None:
    with Child(works, quiet=True) as child:
        child.call("say", "the last words", limit=60)
        with pytest.raises(ChildError, match="code 7; it said last: the last words") as found:
            child.call("leave", 7, limit=60)
    assert found.value.kind == "crashed"
    with Child(works) as child, pytest.raises(ChildError, match="code 0, without an answer"):
        child.call("leave", 0, limit=60)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="sends a signal of POSIX")
def test_what_it_was_at_is_told(works) -> None:
    with Child(f"{works}:Noting", timeout=60) as child:
        with pytest.raises(ChildError, match=r"SIGSEGV.*\(node 3\)") as found:
            child.call("die", "node 3")
        assert (found.value.kind, found.value.note) == ("crashed", "node 3")
    with Child(f"{works}:Noting", timeout=60) as child, pytest.raises(ChildError, match=r"0\.2 s") as found:
        child.call("hang", "node 4", limit=0.2)
    assert (found.value.kind, found.value.note) == ("timed out", "node 4")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads process states from /proc")
def test_it_is_stopped_while_nobody_asks(child) -> None:
    child.call("stamp", limit=60)
    for _ in range(200):
        if _state(child.pid) == "T":
            break
        time.sleep(0.01)
    assert _state(child.pid) == "T" and child.call("stamp", limit=60) == 2


def test_one_that_takes_too_long_is_gone(child) -> None:
    child.call("stamp", limit=60)
    with pytest.raises(ChildError) as found:
        child.call("wait", limit=0.2, seconds=600)
    assert found.value.kind == "timed out"
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    with pytest.raises(ChildError):
        child.call("stamp", limit=60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the system to end orphans")
def test_children_die_with_their_parent(works, tmp_path) -> None:
    code = (
        "import time; from orpheus_core.process import Child\n"
        "c = Child('works_of_test', rests=True); c.call('stamp', limit=60)\n"
        "print(c.pid, flush=True); time.sleep(600)"
    )
    path = os.pathsep.join(filter(None, (str(tmp_path), *sys.path)))
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(500):
        if not _alive(pid):
            break
        time.sleep(0.01)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return _state(pid) not in "ZX"
    except OSError:
        return False


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
