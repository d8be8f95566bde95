"""Declared defects: the backend's ``conformance.toml``.

    [[expect]]
    kernel  = "hello:Conv/winograd"
    when    = { dtype = "float16", "X.rank" = 4, dilations = { each = [1] } }
    kind    = "notyet"            # notimpl: will not be done; notyet: is to be mended; never: cannot be mended here
    outcome = "wrong"             # or raises:TypeOfError, crash, timeout
    reason  = "what is wrong, in a line"
    issue   = "https://..."       # may be left out
    witness = 'the line of JSON of a case that fails'

Cases of the kernel for which all of ``when`` holds are not generated; the witness is run each time and must still fail
as ``outcome`` says. The names in ``when`` are those of a manifest's rules (:class:`orpheus_core.plugin.Rule`), and
``dtype`` (of the case's first tensor), ``tier`` and ``threads``. A value stands for equality; ``{ OPERATOR = value }``
is the rule with that operator. There is no entry without ``when``: what a kernel does not do at all, its manifest says.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from orpheus_conformance.case import Case
from orpheus_conformance.engine import JudgeFor, dtype_of
from orpheus_conformance.instance import Instance, InvalidCase, instantiate
from orpheus_conformance.oracle import Oracle
from orpheus_conformance.subject import Subject, subjects
from orpheus_conformance.tiers import TIERS
from orpheus_conformance.verdict import EXPECTED, Judge, Verdict
from orpheus_core import discovery
from orpheus_core.discovery.registry import GROUP
from orpheus_core.errors import OrpheusError, UsageError
from orpheus_core.plugin import Backend, Problem, Rule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "conformance.toml"
KINDS = ("notimpl", "notyet", "never")
_FIELDS = ("kernel", "when", "kind", "outcome", "reason", "issue", "witness")
_OUTCOMES = "wrong, raises:TypeOfError, crash or timeout"


@dataclass(frozen=True)
class Expectation:
    """One entry; ``place`` names file and entry."""

    place: str
    kernel: str
    when: tuple[Rule, ...]
    kind: str
    outcome: str
    reason: str
    issue: str
    witness: Case

    def covers(self, instance: Instance) -> bool:
        """Whether all of ``when`` holds for a case of the kernel."""
        return self.departs(instance) is None

    def departs(self, instance: Instance) -> str | None:
        """What of ``when`` does not hold, or None. ValueError for a field that there is not."""
        facts = _Facts(instance.case, instance.problem)
        refusals = (rule.refusal(facts) for rule in self.when)  # type: ignore[arg-type]
        return next((r for r in refusals if r is not None), None)


@dataclass(frozen=True)
class _Facts:
    """What the rules of a ``when`` look at; stands for a Problem."""

    case: Case
    problem: Problem

    def field(self, path: str) -> Any:
        if path == "dtype" and "dtype" not in self.problem.attributes:
            return dtype_of(self.case)
        if path in ("tier", "threads"):
            return getattr(self.case, path)
        return self.problem.field(path)


def chosen(asked: Path | None, backend: str) -> Path | None:
    """The file that was asked for (UsageError when it is not there), else :func:`find_file`."""
    if asked is not None and not asked.is_file():
        raise UsageError(f"there is no file {asked}")
    return asked if asked is not None else find_file(backend)


def find_file(backend: str) -> Path | None:
    """The backend's ``conformance.toml``: in the current folder, at the root of its checkout, or in its package."""
    folders = [Path.cwd(), *_homes(backend)]
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)


def _homes(backend: str) -> Iterable[Path]:
    for entry in entry_points(group=GROUP, name=backend):
        try:
            spec = importlib.util.find_spec(entry.value.partition(":")[0])
        except (ImportError, ValueError):
            continue
        for location in spec.submodule_search_locations or () if spec is not None else ():
            folder = Path(location)
            root = next((p for p in (folder, *folder.parents) if (p / "pyproject.toml").is_file()), None)
            yield from (folder,) if root is None else (root, folder)


def read(path: Path, backend: Backend) -> tuple[Expectation, ...]:
    """The entries for a backend. UsageError names the file, the entry, and what is wrong with it.

    Entries for other backends that are installed are left out, so that one file may serve several.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    unknown = sorted(set(found) - {"expect"})
    if unknown:
        raise UsageError(f"{path}: unknown key {', '.join(unknown)}; there is only [[expect]]")
    entries = found.get("expect", [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise UsageError(f"{path}: expect is a list of tables; write [[expect]]")
    read_ = [_entry(entry, f"{path}: expect {n}", backend) for n, entry in enumerate(entries, 1)]
    return tuple(e for e in read_ if e is not None)


def _entry(entry: Mapping[str, Any], place: str, backend: Backend) -> Expectation | None:
    unknown = sorted(set(entry) - set(_FIELDS))
    if unknown:
        raise UsageError(f"{place}: unknown key {', '.join(unknown)}; there are {', '.join(_FIELDS)}")
    for name in _FIELDS:
        if name in ("when", "issue") and name not in entry:
            continue
        wanted = dict if name == "when" else str
        if not isinstance(entry.get(name), wanted) or (wanted is str and not entry[name].strip()):
            what = "is missing" if name not in entry else f"cannot be {entry[name]!r}"
            raise UsageError(f"{place}: {name} {what}")
    if not entry.get("when"):
        raise UsageError(
            f"{place}: when is missing, and no kernel is excused as a whole; say which cases fail, as in "
            'when = { dtype = "float16" }, or narrow the kernel\'s own where or dtypes'
        )
    kernel, kind, outcome = entry["kernel"], entry["kind"], entry["outcome"]
    if kind not in KINDS:
        raise UsageError(f"{place}: kind cannot be {kind!r}; it is one of {', '.join(KINDS)}")
    raises = outcome.startswith("raises:") and outcome[7:].isidentifier()
    if outcome not in ("wrong", "crash", "timeout") and not raises:
        raise UsageError(f"{place}: outcome cannot be {outcome!r}; it is {_OUTCOMES}")
    owner = discovery.split(kernel)[0]
    if owner != backend.name:
        if owner not in {row.name for row in discovery.backends()}:
            raise UsageError(f"{place}: kernel {kernel!r} is of backend {owner!r}, which is not installed")
        return None
    known = [subject.id for subject in subjects(backend)]
    if kernel not in known:
        raise UsageError(f"{place}: backend {owner} has no kernel {kernel!r}; it has {', '.join(known[:40])}")
    when = tuple(rule for field, value in _flat(entry["when"]) for rule in _rules(field, value, place))
    try:
        witness = Case.parse(entry["witness"])
        found = Expectation(
            place, kernel, when, kind, outcome, entry["reason"], entry.get("issue", ""), witness
        )
        _check_witness(found)
    except (OrpheusError, ValueError) as error:
        raise UsageError(f"{place}: witness: {error}") from error
    return found


def _flat(when: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Fields and values. ``X.rank = 4`` without quotes is a table in TOML; it means the field ``X.rank``."""
    for name, value in when.items():
        if isinstance(value, dict) and not (set(value) & set(_OPERATORS)):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "each")


def _rules(field: str, value: Any, place: str) -> list[Rule]:
    if not isinstance(value, dict):
        return [Rule(field, "==", _frozen(value))]
    unknown = sorted(set(value) - set(_OPERATORS))
    if unknown:
        raise UsageError(f"{place}: when: {field}: no operator {', '.join(unknown)}; {', '.join(_OPERATORS)}")
    return [Rule(field, operator, _frozen(operand)) for operator, operand in value.items()]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _check_witness(entry: Expectation) -> None:
    if entry.witness.kernel != entry.kernel:
        raise UsageError(f"it is a case of kernel {entry.witness.kernel or '(none)'}, not of {entry.kernel}")
    if entry.witness.tier not in TIERS:
        raise UsageError(f"no tier of generated cases is called {entry.witness.tier!r}")
    departs = entry.departs(instantiate(entry.witness))
    if departs is not None:
        raise UsageError(f"when does not hold for it: {departs}")


def excusing(judge_for: JudgeFor, entries: Iterable[Expectation]) -> JudgeFor:
    """Judges that do not run the cases which an entry covers; their verdict is ``expected``, with the reason."""
    entries = tuple(entries)

    def excusing_judge_for(subject: Subject, oracle: Oracle) -> Judge:
        judge = judge_for(subject, oracle)
        mine = [e for e in entries if e.kernel == subject.id]
        if not mine:
            return judge

        def excusing_judge(case: Case) -> Verdict:
            try:
                instance = instantiate(case)
            except InvalidCase:
                return judge(case)
            entry = next((e for e in mine if e.covers(instance)), None)
            return judge(case) if entry is None else Verdict(EXPECTED, entry.reason)

        return excusing_judge

    return excusing_judge_for
