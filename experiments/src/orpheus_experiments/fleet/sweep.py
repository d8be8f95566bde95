"""A sweep on a fleet: each trial once on each board, one at a time on each worker."""

from __future__ import annotations

import importlib
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orpheus_core.errors import BackendError, UsageError
from orpheus_experiments.fleet import work
from orpheus_experiments.fleet.settings import INSTALL
from orpheus_experiments.fleet.work import facts
from orpheus_experiments.results import Name, Results
from orpheus_experiments.results.name import BOARD
from orpheus_experiments.sweeps.plan import Cell, Plan
from orpheus_experiments.sweeps.remaining import Remaining
from orpheus_experiments.sweeps.run import Listener, Swept, begin
from orpheus_experiments.trial import Failure, Record

__all__ = ["sweep_fleet"]

_POLL = 0.1
_CONNECT = "20s"


@dataclass
class _Task:
    """A trial that a worker was given; ``gone`` is when that worker was first missed."""

    cell: Cell
    board: str
    address: str
    future: Any
    gone: float | None = None


@dataclass
class _Fleet:
    """The scheduler's side: who is there, and what is under way. ``task`` measures a trial, JSON to JSON."""

    client: Any
    task: Callable[[str], str]
    patience: float
    listener: Listener
    tasks: list[_Task] = field(default_factory=list)
    usable: dict[str, bool] = field(default_factory=dict)

    def present(self) -> dict[str, list[str]]:
        """Labels of every worker that speaks the same form of trials."""
        try:
            found: dict[str, list[str]] = self.client.run_on_scheduler(work.look)
            new = [address for address in found if address not in self.usable]
            told = self.client.run(work.facts, workers=new, on_error="return") if new else {}
        except OSError as error:
            raise BackendError(
                f"the fleet's scheduler is gone ({error}); go on by --resume when it is back"
            ) from error
        mine = facts()
        for address in new:
            theirs = told.get(address)
            self.usable[address] = theirs == mine
            if theirs is not None and theirs != mine:
                labels = ", ".join(found[address])
                self.listener.note(f"{labels} ({address}) is not used: it has {theirs}, here is {mine}")
        return {address: labels for address, labels in found.items() if self.usable[address]}

    def submit(self, cell: Cell, board: str, address: str) -> None:
        """Give a trial to one worker, and to no other ever."""
        future = self.client.submit(
            self.task, cell.trial.to_json(), key=f"orpheus-{cell.trial.key}-{board}-{uuid.uuid4().hex}",
            workers=[address], allow_other_workers=False, resources={board: 1}, pure=False, retries=0,
        )  # fmt: skip
        self.tasks.append(_Task(cell, board, address, future))

    def ended(self, present: dict[str, list[str]]) -> list[tuple[_Task, Record]]:
        """Tasks that came to an end, taken off the list, with their records."""
        found = [(task, record) for task in self.tasks if (record := self._record(task, present)) is not None]
        over = [id(task) for task, _ in found]
        self.tasks = [task for task in self.tasks if id(task) not in over]
        return found

    def _record(self, task: _Task, present: dict[str, list[str]]) -> Record | None:
        trial, future = task.cell.trial, task.future
        if future.status == "finished":
            try:
                record = Record.from_json(future.result())
            except UsageError as error:
                return Record(
                    trial=trial, failure=Failure("failed", f"the board's answer is no record: {error}")
                )
            if record.trial.key != trial.key:
                return Record(trial=trial, failure=Failure("failed", "the board answered for another trial"))
            return record
        if future.status == "error":
            raised = future.exception()
            if type(raised).__name__ == "KilledWorker":
                return Record(trial=trial, failure=_died(task))
            text = f"{type(raised).__name__}: {' '.join(str(raised).split())[:1000]}"
            return Record(trial=trial, failure=Failure("failed", f"on the board {task.board}: {text}"))
        if future.status in ("cancelled", "lost"):
            return Record(trial=trial, failure=_died(task))
        if task.address in present:
            task.gone = None
        elif task.gone is None:
            task.gone = time.monotonic()
        elif time.monotonic() - task.gone > self.patience:
            future.cancel(force=True)
            return Record(trial=trial, failure=_died(task))
        return None


def sweep_fleet(
    plan: Plan,
    folder: Path,
    address: str,
    *,
    boards: Sequence[str] | None = None,
    resume: bool = False,
    retry: bool = False,
    listener: Listener | None = None,
    task: Callable[[str], str] = work.measure,
    patience: float = 60.0,
) -> Swept:
    """Measure the plan on every board of the Dask scheduler at ``address``; records are named by board.

    ``boards`` are labels, by default all that are there. Each worker has one trial at a time. A trial whose worker dies
    is a failure and not run again; those of a board that has no worker for ``patience`` seconds are refused. ``task``
    measures one trial, JSON to JSON, and is importable by its name on every board. Raises UsageError as
    :func:`~orpheus_experiments.sweeps.run` does, and BackendError without a scheduler or a board.
    """
    told = listener or Listener()
    client = _connect(address)
    try:
        fleet = _Fleet(client, task, patience, told)
        there = sorted({label for labels in fleet.present().values() for label in labels})
        wanted = list(boards) if boards is not None else there
        _check(wanted, there, address)
        with Results.lock(folder):
            results, missing = begin(plan, folder, wanted, resume=resume, retry=retry, listener=told)
            return _run(fleet, plan, results, missing, wanted, retry)
    finally:
        client.close(timeout=5)


def _run(
    fleet: _Fleet, plan: Plan, results: Results, missing: Sequence[Cell], boards: Sequence[str], retry: bool
) -> Swept:
    kept = set(results.names())
    if retry:
        kept = {name for name in kept if results.read(name).is_ok}
    queues = {b: [c for c in missing if Name(c.trial.key, b) not in kept] for b in boards}
    total, left = len(plan.cells) * len(boards), sum(map(len, queues.values()))
    clock = Remaining(left)
    away: dict[str, float] = {}
    new: list[Record] = []

    def keep(cell: Cell, board: str, record: Record) -> None:
        trouble = results.add([(Name(cell.trial.key, board), record)])
        if trouble:
            fleet.listener.note(trouble)
        new.append(record)
        clock.finished(1)
        fleet.listener.kept(f"{cell.label} on {board}", record)

    try:
        while any(queues.values()) or fleet.tasks:
            results.demand_space()
            present = fleet.present()
            for task, record in fleet.ended(present):
                keep(task.cell, task.board, record)
            busy = {task.address for task in fleet.tasks}
            for board, queue in queues.items():
                workers = [a for a, labels in present.items() if board in labels]
                if not queue or workers:
                    away.pop(board, None)
                elif time.monotonic() - away.setdefault(board, time.monotonic()) > fleet.patience:
                    why = f"no worker with the label {board} was there for {fleet.patience:g} s"
                    while queue:
                        cell = queue.pop(0)
                        keep(cell, board, Record(trial=cell.trial, failure=Failure("refused", why)))
                for worker in workers:
                    if queue and worker not in busy:
                        fleet.submit(queue.pop(0), board, worker)
                        busy.add(worker)
            at_work = ", ".join(
                f"{t.board}: {t.cell.trial.model.name} on {t.cell.label}" for t in fleet.tasks
            )
            fleet.listener.step(at_work or "waiting for boards", total - left + len(new), total, clock.left())
            time.sleep(_POLL)
    except KeyboardInterrupt:
        for task in fleet.tasks:
            task.future.cancel()
        return Swept(results, total, tuple(new), interrupted=True)
    return Swept(results, total, tuple(new))


def _connect(address: str) -> Any:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise UsageError(
            f"a fleet needs Dask distributed, which cannot be imported ({error}); try: {INSTALL}"
        ) from None
    try:
        return distributed.Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise BackendError(
            f"there is no Dask scheduler at {address}: {' '.join(str(error).split())}; start one by `dask scheduler`"
        ) from error


def _check(wanted: Sequence[str], there: Sequence[str], address: str) -> None:
    if not wanted:
        raise BackendError(
            f"no board that could be used is connected to {address}; on each, "
            f"start: python -m orpheus_experiments.fleet {address} LABEL"
        )
    for board in wanted:
        if not re.fullmatch(BOARD, board):
            raise UsageError(f"the board's label {board!r} must be letters, digits, - and _")
        if board not in there:
            raise UsageError(
                f"no board with the label {board!r} is connected; there are {', '.join(there) or 'none'}"
            )


def _died(task: _Task) -> Failure:
    return Failure(
        "crashed", f"the worker of the board {task.board} ({task.address}) was gone before it answered"
    )
