"""What ``pytest --pyargs orpheus_conformance --orpheus-backend NAME`` collects: an item per kernel and tier."""

from __future__ import annotations

from pathlib import Path

import pytest

from orpheus_conformance import expect, regressions
from orpheus_conformance.conform.command import regressions_beside
from orpheus_conformance.engine import Job, JudgeFor, Options
from orpheus_conformance.isolate import Isolation
from orpheus_conformance.pytest_plugin import EXECUTED
from orpheus_conformance.runner import EXPECTATIONS, Run
from orpheus_conformance.verdict import Court
from orpheus_core import discovery
from orpheus_core.errors import OrpheusError, UsageError

_RUN = pytest.StashKey[Run]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every row to come of the backend of ``--orpheus-backend``."""
    if "job" not in metafunc.fixturenames:
        return
    config = metafunc.config
    try:
        judged = _run(config)
    except OrpheusError as error:
        raise pytest.Collector.CollectError(f"orpheus_conformance: {error}") from error
    metafunc.parametrize("job", judged.jobs, ids=_ids(judged.jobs))


def _run(config: pytest.Config) -> Run:
    if _RUN in config.stash:
        return config.stash[_RUN]
    name = config.getoption("--orpheus-backend")
    if not name:
        raise UsageError("name the backend to judge with --orpheus-backend NAME")
    backend = discovery.get(name)
    ops = config.getoption("--orpheus-op")
    if config.getoption("--orpheus-examples") < 1 or config.getoption("--orpheus-seed") < 0:
        raise UsageError("--orpheus-examples must be at least 1, and --orpheus-seed at least 0")
    options = Options(
        config.getoption("--orpheus-examples"),
        config.getoption("--orpheus-seed"),
        tuple(ops) if ops else None,
        aside=config.getoption("--orpheus-isolate"),
    )
    declared = expect.chosen(_path(config, "--orpheus-expectations"), name)
    kept = _path(config, "--orpheus-regressions") or regressions_beside(declared)
    judge_for: JudgeFor = Court
    if config.getoption("--orpheus-isolate"):
        judge_for = isolation = Isolation()
        config.add_cleanup(isolation.close)
    judged = Run(
        backend,
        options,
        judge_for=judge_for,
        expectations=expect.read(declared, backend) if declared is not None else (),
        regressions=regressions.read(kept, backend) if kept is not None else (),
    )
    config.add_cleanup(judged.close)
    config.stash[_RUN] = judged
    return judged


def _path(config: pytest.Config, option: str) -> Path | None:
    text = config.getoption(option)
    return Path(text) if text else None


def _ids(jobs: list[Job]) -> list[str]:
    """``Conv/direct-exact``; a number is added where one kernel has several rows of a tier."""
    seen: dict[str, int] = {}
    found = []
    for job in jobs:
        name = f"{discovery.split(job.kernel)[1] or job.kernel}-{job.tier}"
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def test_conformance(job: Job, request: pytest.FixtureRequest) -> None:
    """The kernel is right in this tier; a refusal is a skip, a declared defect an expected failure."""
    row = job.run()
    request.node.user_properties.append((EXECUTED, row.executed))
    if row.failed:
        replay = f"\norpheus conform replay '{row.case.quoted()}'" if row.case is not None else ""
        pytest.fail(f"{row.kernel}, {row.tier}: {row.message}{replay}", pytrace=False)
    if row.outcome == "expected" and row.tier == EXPECTATIONS:
        pytest.xfail(f"expected: {row.message}")
    if row.outcome != "passed":
        reasons = row.message or "; ".join(text for text, _ in row.refused.most_common(3))
        pytest.skip(f"{row.outcome}: {reasons}")
