"""Finding the library: every way to be without one is a row with its reason and what fixes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("orpheus_onednn", reason="orpheus-onednn is not installed")


def probe(**environment):
    """The row in a process of its own, as (status, text, fix, kernels)."""
    source = (
        "import json; from orpheus_core import discovery; r = discovery.row('onednn');"
        "print(json.dumps([r.status, r.reason, r.fix, len(r.backend.kernels)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


def compiled(tmp_path, name, source, *needs):
    """A shared library of this C source, which needs these; skips where there is no compiler."""
    import shutil

    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        pytest.skip("no C compiler")
    path = tmp_path / name
    code = tmp_path / "source.c"
    code.write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, code, *needs], check=True)
    return str(path)


VERSION = (
    "typedef struct {{ int major, minor, patch; const char *hash; unsigned cpu, gpu; }} v;"
    "static v x = {{ {major}, {minor}, 0, 0, {cpu}, 0 }}; const v *dnnl_version(void) {{ return &x; }}"
)


def test_a_missing_file(tmp_path):
    kind, reason, fix, count = probe(ORPHEUS_ONEDNN=str(tmp_path / "libdnnl.so.3"))
    assert kind == "unavailable"
    assert "does not load" in reason
    assert "pip install" in fix
    assert count == 0


def test_what_is_no_library_of_this_machine(tmp_path):
    path = tmp_path / "libdnnl.so.3"
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xf3\x00" + bytes(200))
    kind, reason, fix, _ = probe(ORPHEUS_ONEDNN=str(path))
    assert kind == "unavailable"
    assert "is built for RISC-V" in reason if sys.platform.startswith("linux") else "does not load" in reason
    assert fix.startswith("unset ORPHEUS_ONEDNN and pip install ")


def test_another_library(tmp_path):
    path = compiled(tmp_path, "libother.so", "int nothing;")
    kind, reason, _, _ = probe(ORPHEUS_ONEDNN=path)
    assert (kind, "is not oneDNN" in reason) == ("unavailable", True)


@pytest.mark.parametrize(
    ("major", "minor", "cpu", "words"),
    [(2, 6, 2, "oneDNN 2.6.0; version 3 is needed"), (3, 13, 512, "SYCL"), (3, 7, 4, "TBB")],
)
def test_a_version_or_runtime_that_cannot_be_used(tmp_path, major, minor, cpu, words):
    path = compiled(tmp_path, "libdnnl.so.3", VERSION.format(major=major, minor=minor, cpu=cpu))
    kind, reason, fix, _ = probe(ORPHEUS_ONEDNN=path)
    assert kind == "unavailable"
    assert words in reason
    assert "ORPHEUS_ONEDNN" in fix


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and preloads")
def test_a_second_copy_of_intels_or_llvms_runtime_is_refused_beforehand(tmp_path):
    both = [
        compiled(tmp_path, name, "void __kmpc_fork_call(void) {}") for name in ("libomp.so.5", "libiomp5.so")
    ]
    path = compiled(
        tmp_path, "libdnnl.so.3", VERSION.format(major=3, minor=7, cpu=2), "-Wl,--no-as-needed", both[0]
    )
    kind, reason, _, _ = probe(ORPHEUS_ONEDNN=path, LD_PRELOAD=both[1])
    assert (kind, "libiomp5.so and libomp.so.5" in reason) == ("unavailable", True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and preloads")
def test_two_copies_are_nothing_to_one_that_is_built_with_gnus(onednn, tmp_path):
    if not any("gomp" in name for name in onednn.runtimes):
        pytest.skip("this oneDNN is not built with GNU's runtime")
    both = [compiled(tmp_path, name, "int nothing;") for name in ("libomp.so.5", "libiomp5.so")]
    kind, detail, _, _ = probe(LD_PRELOAD=" ".join(both))
    assert kind == "ready"
    assert "gomp" in detail and "iomp5" not in detail


def test_ready_says_what_was_found(onednn):
    kind, detail, _, count = probe()
    assert kind == "ready"
    assert detail.startswith(f"oneDNN {onednn.version}")
    assert count > 50


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_session_that_does_not_name_it_loads_no_library(onednn):
    source = (
        "import orpheus_core as orpheus; from orpheus_core import discovery;"
        "print([b.name for b in discovery.volunteers()], 'libdnnl' in open('/proc/self/maps').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=120
    )
    assert "onednn" not in done.stdout
    assert done.stdout.strip().endswith("False")


def test_arm_compute_library_is_a_row_with_the_reason(onednn):
    from orpheus_core import discovery

    row = discovery.row("onednn:acl")
    if row.ready:
        assert all("acl" in kernel.name for kernel in row.backend.kernels)
    else:
        assert "without Arm Compute Library" in row.reason
        assert row.fix == "on AArch64 build oneDNN with it, as orpheus-onednn's README tells"


def test_the_backend_of_arm_compute_library_has_its_implementations_only(onednn, monkeypatch):
    from orpheus_onednn import acl, manifest
    from orpheus_onednn import onednn as whole

    from orpheus_core.plugin import Kernel, Ready

    names = ("indirect_gemm:acl", "brgconv:sve_256", "wino:acl@NHWC")
    table = tuple(Kernel(op="Conv", name=name, prepare="nowhere:nothing") for name in names)
    monkeypatch.setattr(manifest, "kernels", lambda: table)
    assert isinstance(manifest.probe_acl(), Ready)
    assert [k.name for k in manifest.complete(acl).kernels] == [names[0], names[2]]
    assert [k.name for k in manifest.complete(whole).kernels] == [*names]
