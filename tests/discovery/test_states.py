"""Each way a plugin can be unusable is a row with its reason, harms no other, and is an error by name only."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import pytest

from orpheus_core import BackendError, discovery
from orpheus_core.plugin import Kernel


@dataclass(frozen=True)
class Case:
    """A plugin's source, the state it must end in, a part of the reason, and the chained exception's type."""

    name: str
    source: str
    status: str
    reason: str
    cause: type[BaseException] | None = None


def manifest(arguments: str, before: str = "") -> str:
    """A manifest whose hook returns ``Backend(arguments)``."""
    return f"""
from orpheus_core.plugin import Backend, Kernel, Ready, Rule, Unavailable, hookimpl
{before}
@hookimpl
def orpheus_backend():
    return Backend({arguments})
"""


def probing(body: str) -> str:
    """A manifest with a probe that does ``body``."""
    return manifest('name="bad", api=1, kernels=(), probe="fake_bad:probe"', f"def probe():\n    {body}\n")


CASES = (
    Case("import error", "import no_such_library_at_all", "broken", "no_such_library_at_all", ImportError),
    Case("native library", "raise OSError('libfoo.so.3: cannot open')", "broken", "libfoo.so.3", OSError),
    Case("system exit", "raise SystemExit(3)", "broken", "SystemExit", SystemExit),
    Case("syntax error", "def broken(:", "broken", "SyntaxError", SyntaxError),
    Case(
        "own base exception",
        "class Odd(BaseException): pass\nraise Odd('x')",
        "broken",
        "Odd: x",
        BaseException,
    ),
    Case("no hooks", "answer = 42", "broken", "no hook"),
    Case(
        "misspelt hook",
        "from orpheus_core.plugin import hookimpl\n@hookimpl\ndef orpheus_bakend():\n    return None\n",
        "broken",
        "orpheus_bakend",
    ),
    Case(
        "wrong hook argument",
        "from orpheus_core.plugin import hookimpl\n@hookimpl\ndef orpheus_backend(device):\n    return None\n",
        "broken",
        "device",
    ),
    Case(
        "raising hook",
        manifest('name="bad", api=1, kernels=(1/0,)'),
        "broken",
        "ZeroDivisionError",
        ZeroDivisionError,
    ),
    Case("hook exits", manifest("name=exit(1), api=1, kernels=()"), "broken", "SystemExit", SystemExit),
    Case(
        "unknown field",
        manifest('name="bad", api=1, kernels=(), colour="red"'),
        "broken",
        "colour",
        TypeError,
    ),
    Case("not a backend", manifest("").replace("Backend()", "dict(name='bad')"), "broken", "returned dict"),
    Case("newer api", manifest('name="bad", api=99, kernels=()'), "incompatible", "API 99"),
    Case("older api", manifest('name="bad", api=-1, kernels=()'), "incompatible", "API -1"),
    Case("api is text", manifest('name="bad", api="1", kernels=()'), "broken", "must be an integer"),
    Case("name mismatch", manifest('name="worse", api=1, kernels=()'), "broken", "calls itself 'worse'"),
    Case(
        "duplicate kernel",
        manifest('name="bad", api=1, kernels=(Kernel(op="Relu", name="k", run="m:f"),) * 2'),
        "broken",
        "two kernels are called Relu/k",
    ),
    Case(
        "not a kernel",
        manifest('name="bad", api=1, kernels=("Relu",)'),
        "broken",
        "'Relu', which is not a Kernel",
    ),
    Case(
        "bad reference",
        manifest('name="bad", api=1, kernels=(Kernel(op="Relu", name="k", run="m.f"),)'),
        "broken",
        "package.module:attribute",
    ),
    Case(
        "bad dtype",
        manifest(
            'name="bad", api=1, kernels=(Kernel(op="Relu", name="k", run="m:f", dtypes={"T": ("float",)}),)'
        ),
        "broken",
        "'float'",
    ),
    Case(
        "bad rule",
        manifest(
            'name="bad", api=1, kernels=(Kernel(op="Conv", name="k", run="m:f", where=(Rule("group", "=", 1),)),)'
        ),
        "broken",
        "'='",
        ValueError,
    ),
    Case(
        "no device",
        probing('return Unavailable("no such device", "plug it in")'),
        "unavailable",
        "no such device",
    ),
    Case(
        "probe import",
        probing("import no_such_library_at_all"),
        "unavailable",
        "no_such_library",
        ImportError,
    ),
    Case("probe native", probing("raise OSError('libcuda.so.1')"), "unavailable", "libcuda.so.1", OSError),
    Case(
        "probe raises",
        probing("raise RuntimeError('driver 3')"),
        "broken",
        "RuntimeError: driver 3",
        RuntimeError,
    ),
    Case("probe exits", probing("raise SystemExit"), "broken", "its probe raised SystemExit", SystemExit),
    Case("probe says yes", probing("return True"), "broken", "returned True"),
    Case(
        "probe is nowhere",
        manifest('name="bad", api=1, kernels=(), probe="fake_bad:nothing"'),
        "broken",
        "nothing",
        AttributeError,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_bad_plugin_is_a_row_and_harms_no_other(install, case: Case) -> None:
    install("good")
    install("bad", case.source)
    bad, good = discovery.row("bad"), discovery.row("good")
    assert bad.status == case.status
    assert case.reason in bad.reason
    assert (bad.distribution, bad.version) == ("fake-bad", "1.5")
    assert good.ready
    assert {"bad", "good"} <= {row.name for row in discovery.backends()}
    order = [backend.name for backend in discovery.default_order()]
    assert "good" in order and "bad" not in order


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_bad_plugin_is_an_error_by_name_with_its_cause(install, case: Case) -> None:
    install("good")
    install("bad", case.source)
    with pytest.raises(BackendError, match=f"'bad' .fake-bad 1.5. is {case.status}: ") as caught:
        discovery.get("bad")
    assert case.reason in str(caught.value)
    assert "good" in str(caught.value), "the message must say what is usable instead"
    if case.cause is not None:
        assert isinstance(caught.value.__cause__, case.cause)


def completing(body: str, state: str = "Ready()") -> str:
    """A manifest without kernels, whose probe answers ``state`` and whose completion does ``body``."""
    code = f"""
from dataclasses import replace
calls = []
def probe():
    calls.append("probe")
    return {state}
def complete(backend):
    calls.append("complete")
    {body}
"""
    arguments = 'name="late", api=1, kernels=(), probe="fake_late:probe", complete="fake_late:complete"'
    return manifest(arguments, code)


KERNEL = 'return replace(backend, kernels=(Kernel(op="Relu", name="k", run="m:f"),), version="7")'


def test_kernels_that_only_the_library_tells_are_asked_for_once_it_is_ready(install) -> None:
    module = install("late", completing(KERNEL))
    row = discovery.row("late")
    assert row.kind == "backend" and row.backend is not None and row.backend.kernels == ()
    assert sys.modules[module].calls == []
    assert row.ready
    assert [k.name for k in row.backend.kernels] == ["k"]
    assert (discovery.get("late").version, row.ready) == ("7", True)
    assert sys.modules[module].calls == ["probe", "complete"]


def test_a_copy_of_a_completed_backend_keeps_the_kernels_it_was_given(install) -> None:
    module = install("late", completing(KERNEL))
    own = Kernel(op="Relu", name="own", run="m:f")
    copy = replace(discovery.get("late"), kernels=(own,))
    with discovery.override(copy):
        assert discovery.get("late").kernels == (own,)
    assert sys.modules[module].calls.count("complete") == 1


def test_nothing_is_completed_for_a_backend_that_is_not_usable(install) -> None:
    module = install("late", completing(KERNEL, 'Unavailable("no library")'))
    row = discovery.row("late")
    assert (row.status, row.backend.kernels) == ("unavailable", ())
    assert sys.modules[module].calls == ["probe"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise OSError('libx.so: cannot open')", "libx.so"),
        ("return None", "complete returned NoneType, not a Backend"),
        ("return replace(backend, kernels=('Relu',))", "'Relu', which is not a Kernel"),
        ("return replace(backend, name='other')", "calls itself 'other'"),
    ],
)
def test_a_completion_that_fails_breaks_its_backend_alone(install, body, reason) -> None:
    install("late", completing(body))
    install("good")
    row = discovery.row("late")
    assert (row.status, reason in row.reason) == ("broken", True)
    assert discovery.row("good").ready


def test_ready_plugin(install) -> None:
    install("good")
    row = discovery.row("good")
    assert (row.status, row.kind) == ("ready", "backend")
    assert discovery.get("good").kernels[0].op == "Relu"


def test_unready_probe_tells_the_fix(install) -> None:
    install("bad", next(c.source for c in CASES if c.name == "no device"))
    row = discovery.row("bad")
    assert (row.reason, row.fix) == ("no such device", "plug it in")
    with pytest.raises(BackendError, match="to fix: plug it in"):
        discovery.get("bad")


def test_broken_plugin_keeps_its_traceback(install) -> None:
    install("bad", "import no_such_library_at_all")
    state = discovery.row("bad").state
    assert isinstance(state, discovery.Broken)
    assert "fake_bad.py" in state.traceback


def test_keyboard_interrupt_is_not_swallowed(install) -> None:
    install("bad", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        _ = discovery.row("bad").state


def test_two_distributions_of_one_name_are_both_refused(install) -> None:
    one = install("twin", distribution="first-twin")
    two = install("twin", distribution="second-twin")
    install("good")
    rows = [row for row in discovery.backends() if row.name == "twin"]
    assert len(rows) == 2
    for row in rows:
        assert row.status == "broken"
        assert "first-twin 1.5 and second-twin 1.5" in row.reason
    with pytest.raises(BackendError, match="uninstall one of them"):
        discovery.get("twin")
    assert discovery.row("good").ready
    assert one not in sys.modules and two not in sys.modules


def test_absent_backend_says_what_is_there_and_how_to_get_it(install) -> None:
    install("good")
    with pytest.raises(
        BackendError, match=r"'nonesuch' is not installed; installed: .*good.*pip install"
    ) as caught:
        discovery.get("nonesuch")
    assert "orpheus-nonesuch" in str(caught.value)
    with pytest.raises(BackendError, match="did you mean 'good'"):
        discovery.get("goood")


def test_unknown_operator_is_a_warning_and_the_backend_stays_ready(install) -> None:
    install(
        "odd",
        """
        from orpheus_core.plugin import Backend, Format, Kernel, Rule, hookimpl

        @hookimpl
        def orpheus_backend():
            return Backend(name="odd", api=1, kernels=(
                Kernel(op="Relu", name="fine", run="m:f", dtypes={"T": ("float32",)}),
                Kernel(op="Rleu", name="k", run="m:f"),
                Kernel(op="Conv", name="k", run="m:f", where=(Rule("grops", "==", 1),)),
                Kernel(op="Conv", name="l", run="m:f", where=(Rule("Y.rank", "==", 4), Rule("Q.rank", "==", 4))),
                Kernel(op="Conv", name="m", run="m:f", dtypes={"V": ("float32",)}),
                Kernel(op="Conv", name="n", run="m:f", formats=(Format(("nhwc",)),)),
            ))
        """,
    )
    row = discovery.row("odd")
    assert row.ready
    text = "\n".join(row.warnings)
    assert len(row.warnings) == 5, text
    for part in (
        "no operator Rleu",
        "no attribute 'grops'",
        "no operand 'Q'",
        "no type constraint 'V'",
        "'nhwc'",
    ):
        assert part in text


def test_order_is_by_rank_then_name(install) -> None:
    for name, rank in (("alpha", 1000), ("beta", 100), ("delta", 100), ("gamma", 5)):
        source = f"""
            from orpheus_core.plugin import Backend, hookimpl
            @hookimpl
            def orpheus_backend():
                return Backend(name={name!r}, api=1, kernels=(), rank={rank})
            """
        install(name, source)
    names = [b.name for b in discovery.default_order() if b.name in ("alpha", "beta", "delta", "gamma")]
    assert names == ["gamma", "beta", "delta", "alpha"]
