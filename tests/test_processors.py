"""The default number of threads under a cgroup's CPU quota, of version 2 and version 1."""

from __future__ import annotations

import os

import pytest

from orpheus_core import processors


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "300000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
        # The group that the process is in, or one above it, as a service manager makes them.
        ({"/proc/self/cgroup": "0::/a/b\n", "a/b/cpu.max": "200000 100000\n"}, 2),
        ({"/proc/self/cgroup": "0::/a/b\n", "a/cpu.max": "100000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1),
        ({"/proc/self/cgroup": "0::/c\n", "a/cpu.max": "100000 100000\n"}, 8),
        ({"/proc/self/cgroup": "0::/../c\n", "cpu.max": "300000 100000\n"}, 3),
        ({"/proc/self/cgroup": "9:pids:/p\n4:cpu,cpuacct:/a:b\n0::/\n",
          "cpu/a:b/cpu.cfs_quota_us": "350000\n", "cpu/a:b/cpu.cfs_period_us": "100000\n"}, 3),
        # A container that sees its own group as the root, under the name that the host gives it.
        ({"/proc/self/cgroup": "4:cpu:/docker/0123\n",
          "cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"/proc/self/cgroup": "nonsense", "cpu.max": "200000 100000\n"}, 2),
    ],
)  # fmt: skip
def test_default_threads(tmp_path, monkeypatch, files, expected):
    for name, text in files.items():
        file = tmp_path / (name.lstrip("/") if name.startswith("/") else f"sys/fs/cgroup/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(processors, "Path", lambda path: tmp_path / path.lstrip("/"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert processors.default_threads() == expected
