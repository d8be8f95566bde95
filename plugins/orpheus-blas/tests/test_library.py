"""The gate to a BLAS: right products of whatever it lets through, errors for all that a library would not notice."""

from __future__ import annotations

import copy
import ctypes
import ctypes.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from orpheus_core.errors import BackendError, KernelError
from orpheus_core.plugin import Ready, Unavailable

find = pytest.importorskip("orpheus_blas.find", reason="orpheus-blas is not installed")
from orpheus_blas import layers  # noqa: E402
from orpheus_blas.library import Library  # noqa: E402


def views(rng, rows, columns, dtype):
    """Matrices that CBLAS can read: whole, transposed, and parts of larger ones."""
    yield rng.standard_normal((rows, columns)).astype(dtype)
    yield rng.standard_normal((columns, rows)).astype(dtype).T
    yield rng.standard_normal((rows + 2, columns + 3)).astype(dtype)[1:-1, 2:-1]
    yield rng.standard_normal((columns + 3, rows + 2)).astype(dtype)[2:-1, 1:-1].T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (1, 7, 5), (6, 1, 9), (4, 3, 1), (33, 65, 40)])
def test_products_are_right_whatever_way_the_matrices_lie(library, dtype, m, n, k):
    rng = np.random.default_rng(m * n * k)
    for a in views(rng, m, k, dtype):
        for b in views(rng, k, n, dtype):
            for alpha, beta in ((1.0, 0.0), (1.0, 1.0), (-0.5, 2.0)):
                whole = rng.standard_normal((m + 2, n + 3)).astype(dtype)
                before, c = whole.copy(), whole[1:-1, 2:-1]
                exact = alpha * (a.astype(np.float64) @ b.astype(np.float64)) + beta * c.astype(np.float64)
                size = abs(alpha) * (abs(a).astype(np.float64) @ abs(b)) + abs(beta * c.astype(np.float64))
                library.product(a, b, c, alpha, beta)()
                assert (abs(c - exact) <= (k + 4) * np.finfo(dtype).eps * size).all()
                c[...] = before[1:-1, 2:-1]
                np.testing.assert_array_equal(
                    whole, before, err_msg="something beside the result was written"
                )


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


SHARED = zeros(4, 4)
FROZEN = zeros(2, 2)
FROZEN.flags.writeable = False
BAD = {
    "factors that do not fit": (zeros(2, 3), zeros(2, 2), zeros(2, 2)),
    "a result that does not fit": (zeros(2, 3), zeros(3, 2), zeros(2, 3)),
    "mixed types": (zeros(2, 3), zeros(3, 2, dtype=np.float64), zeros(2, 2)),
    "a type that BLAS lacks": tuple(zeros(2, 2, dtype=np.float16) for _ in range(3)),
    "whole numbers": tuple(zeros(2, 2, dtype=np.int32) for _ in range(3)),
    "nothing": (zeros(2, 0), zeros(0, 2), zeros(2, 2)),
    "every other element": (zeros(4, 6)[::2, ::2], zeros(3, 2), zeros(2, 2)),
    "rows backwards": (zeros(2, 3)[::-1], zeros(3, 2), zeros(2, 2)),
    "rows that lie on each other": (np.broadcast_to(zeros(3), (2, 3)), zeros(3, 2), zeros(2, 2)),
    "rows that overlap": (
        np.lib.stride_tricks.as_strided(zeros(9), (3, 3), (4, 4)),
        zeros(3, 2),
        zeros(3, 2),
    ),
    "a result by columns": (zeros(2, 3), zeros(3, 2), zeros(2, 2).T),
    "a result with gaps": (zeros(2, 3), zeros(3, 2), zeros(2, 4)[:, ::2]),
    "a result over its factor": (SHARED, SHARED.T, SHARED),
    "a result that overlaps its factor": (SHARED[:2, :2], zeros(2, 2), SHARED[1:3, :2]),
    "a result that may not be written": (zeros(2, 2), zeros(2, 2), FROZEN),
}


@pytest.mark.parametrize("what", BAD)
def test_what_a_library_would_not_notice_is_refused(library, what):
    with pytest.raises(KernelError, match="product"):
        library.product(*BAD[what])


def test_sizes_beyond_the_librarys_integers_are_refused(library):
    narrow = copy.copy(library)
    narrow._integer = ctypes.c_int8
    library.product(zeros(2, 128), zeros(128, 2), zeros(2, 2))
    narrow.product(zeros(2, 127), zeros(127, 2), zeros(2, 2))
    for matrices in (
        (zeros(2, 128), zeros(128, 2), zeros(2, 2)),
        (zeros(2, 2), zeros(2, 2), zeros(2, 128)[:, :2]),
    ):
        with pytest.raises(KernelError, match="sizes below 128"):
            narrow.product(*matrices)


@pytest.mark.skipif(sys.maxsize < 1 << 32, reason="a machine of 32 bits has no libraries of 64")
@pytest.mark.parametrize("width", [ctypes.c_int32, ctypes.c_int64])
def test_the_width_of_integers_is_found_by_trying(width):
    def dot(count, *_):  # a library that reads so many bits of what it is given
        return float(max(0, width(count).value))

    library = Library.__new__(Library)
    library._function = lambda *_: dot
    assert library._width() is width


def test_a_name_with_64_in_it_takes_64_bits(library):
    if library._spelt.endswith("64_"):
        assert library._integer is ctypes.c_int64


def test_the_row_says_what_was_found(name):
    state = getattr(layers, name).probe()
    assert isinstance(state, Ready)
    assert "-bit integers" in state.detail and "/" in state.detail
    single = find.load(name).single
    assert f"1 thread ({single})" in state.detail if single else "1 thread" not in state.detail


@pytest.fixture
def afresh():
    find.load.cache_clear()
    yield
    find.load.cache_clear()


def test_an_absent_library_is_a_row_with_the_command_that_brings_it(afresh, monkeypatch, tmp_path):
    monkeypatch.setattr(find, "_folders", lambda name: [tmp_path])
    for name, (patterns, fix) in find.FILES.items():
        monkeypatch.delenv(f"ORPHEUS_BLAS_{name.upper()}", raising=False)
        state = getattr(layers, name).probe()
        assert isinstance(state, Unavailable)
        assert str(tmp_path) in state.reason and patterns.split()[0] in state.reason
        assert state.fix.startswith(fix) and f"ORPHEUS_BLAS_{name.upper()}" in state.fix


def test_files_that_are_no_library_are_named(afresh, monkeypatch, tmp_path):
    monkeypatch.setattr(find, "_folders", lambda name: [tmp_path])
    monkeypatch.delenv("ORPHEUS_BLAS_ATLAS", raising=False)
    (tmp_path / "libcblas.so.3").write_text("no library")
    with pytest.raises(BackendError, match=r"libcblas\.so\.3 does not load: .*; to fix: "):
        find.load("atlas")


def test_a_path_that_leads_nowhere_is_to_be_unset_before_anything_else_helps(afresh, monkeypatch, tmp_path):
    monkeypatch.setenv("ORPHEUS_BLAS_BLIS", str(tmp_path / "libblis.so"))
    state = layers.blis.probe()
    assert isinstance(state, Unavailable)
    assert state.reason.startswith(f"{tmp_path / 'libblis.so'} does not load: ")
    assert state.fix.startswith("unset ORPHEUS_BLAS_BLIS and apt install ")


def test_a_path_that_leads_to_another_library_is_refused(afresh, monkeypatch, name):
    path = find.load(name).about.rpartition(", ")[2]
    other = "blis" if name != "blis" else "openblas"
    monkeypatch.setenv(f"ORPHEUS_BLAS_{other.upper()}", path)
    if find.load(name)._control is None:
        pytest.skip(f"{name} does not say what it is")
    find.load.cache_clear()
    with pytest.raises(BackendError, match=f", not {other}"):
        find.load(other)


def test_a_library_without_cblas_is_refused(afresh, monkeypatch):
    monkeypatch.setenv("ORPHEUS_BLAS_BLIS", ctypes.util.find_library("c") or "")
    if sys.platform != "linux":
        pytest.skip("needs a C library by name")
    with pytest.raises(BackendError, match="no CBLAS library"):
        find.load("blis")


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ('puts("Cannot load\\nits core."); exit(2);', "Cannot load its core."),
        ("raise(SIGILL);", "signal 4"),
    ],
)
def test_a_library_that_ends_the_process_is_a_row(afresh, monkeypatch, tmp_path, end, why):
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None or sys.platform == "win32":
        pytest.skip("no C compiler")
    source, path = tmp_path / "mkl.c", tmp_path / "libmkl_rt.so.3"
    head = "".join(f"#include <{name}.h>\n" for name in ("signal", "stdio", "stdlib"))
    source.write_text(f"{head}void cblas_sgemm(void) {{}}\nfloat cblas_sdot(long n) {{ {end} return 0; }}\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, source], check=True)
    monkeypatch.setenv("ORPHEUS_BLAS_MKL", str(path))
    state = layers.mkl.probe()
    assert isinstance(state, Unavailable)
    assert state.reason == f"{path} ends the process that calls it: {why}"
    assert state.fix.startswith("unset ORPHEUS_BLAS_MKL and pip install mkl")


def test_loading_leaves_the_environment_as_it_was(afresh, monkeypatch, name):
    monkeypatch.delenv("KMP_BLOCKTIME", raising=False)
    monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "20")
    before = dict(os.environ)
    find.load(name)
    assert dict(os.environ) == before
