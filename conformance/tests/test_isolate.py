from __future__ import annotations

import os
import re
import sys

import pytest
from orpheus_conformance.case import Case
from orpheus_conformance.engine import Options, run
from orpheus_conformance.isolate import Isolation
from orpheus_conformance.isolate.worker import describe
from orpheus_conformance.subject import subjects

from orpheus_core.errors import UsageError

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and resource limits are POSIX")
TIERS = ("exact", "layouts")


def row_of(backend, **limits):
    with Isolation(**limits) as isolation:
        rows = list(run(backend, Options(20, tiers=TIERS, shrink_seconds=2), isolation))
    assert [r.tier for r in rows] == list(TIERS)  # the run went on
    return rows[0]


@POSIX
@pytest.mark.parametrize(
    ("function", "kind", "says"),
    [
        ("segfaults", "crash", "SIGSEGV"),
        ("aborts", "crash", "SIGABRT: the allocator says goodbye"),
        ("leaves", "crash", "ended with exit code 0"),
        ("hangs", "timeout", "no result within 0.5 s"),
        ("eats_memory", "raises:MemoryError", "MemoryError"),
        ("eats_memory_natively", "crash", "SIG"),
    ],
)
def test_the_end_of_a_kernel_is_a_row_with_its_case(toy, function, kind, says):
    row = row_of(toy("Relu", f"fatal_kernels:{function}"), time_limit=0.5, memory=128 << 20)
    assert (row.outcome, row.kind) == ("failed", kind)
    assert says in row.message
    assert row.case is not None
    assert row.case.inputs[0].shape
    if kind == "crash":  # quick enough to be shrunk all the way
        assert row.case.inputs[0].shape in ((1,), (0,))


def test_a_right_kernel_is_judged_as_it_is_without(toy):
    right = toy("Relu", "fatal_kernels:talks")
    alone = list(run(right, Options(10, tiers=("exact", "refusal"))))
    with Isolation() as isolation:
        apart = list(run(right, Options(10, tiers=("exact", "refusal")), isolation))
    assert [(r.outcome, r.executed, r.refused, r.dtypes) for r in apart] == [
        (r.outcome, r.executed, r.refused, r.dtypes) for r in alone
    ]


def test_nothing_runs_in_this_process(toy):
    backend = toy("Relu", "fatal_kernels:tells_its_process")
    case = Case.parse(
        '{"op":"Relu","version":14,"inputs":[{"$operand":{"dtype":"float32","shape":[2]}}],"tier":"exact","kernel":"toy:Relu/k"}'
    )
    with Isolation() as isolation:
        judge = isolation(subjects(backend)[0])
        first = judge(case).message
        assert judge(case).message == first
    (found,) = re.findall(r"in process (\d+)", first)
    assert int(found) != os.getpid()


def test_how_a_process_ended():
    assert describe(-11) == "ended by SIGSEGV"
    assert describe(3) == "ended with exit code 3"


def test_a_backend_that_is_no_data_cannot_go_to_another_process(toy):
    backend = toy("Relu", "wrong_kernels:relu", dtypes=Unsendable({"T": ("float32",)}))
    with (
        Isolation() as isolation,
        pytest.raises(UsageError, match="--isolate: backend 'toy' is not plain data"),
    ):
        isolation(subjects(backend)[0])(None)


class Unsendable(dict):
    def __reduce__(self):
        raise TypeError("stays here")


@POSIX
def test_a_crash_ends_the_command_with_4_and_the_run_goes_on(toy, conform, orpheus):
    toy("Relu", "fatal_kernels:segfaults")
    code, out, _ = conform("toy", "--isolate", tiers=("exact", "bounded", "layouts"))
    assert code == 4
    assert "FAILED  toy:Relu/k, exact (crash): the process ended by SIGSEGV" in out
    assert "2 failed, 1 inapplicable" in out
    (line, *_) = re.findall(r"orpheus conform replay '(.*)' --isolate", out)
    code, out, _ = orpheus("conform", "replay", line, "--isolate")
    assert code == 4
    assert "FAILED (crash): the process ended by SIGSEGV" in out
