"""ONNX's own backend test suite through Orpheus, counted honestly.

usage: python tests/onnx_suite.py [--backends LIST] [--passes all|none|NAME,..] [--only REGEX] [--json FILE] [--compare]

Every case ends as passed, failed, or not supported (no kernel for an operator); nothing is skipped or declined. The
cases expected not to pass stand in ``EXPECTED`` with their reason; anything else that fails, or an expected one that
passes, makes the exit code 1. ``--compare`` runs the suite twice, with every pass and with none, and demands equal
sets.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import unittest
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orpheus_core import onnx_backend
from orpheus_core.errors import UnsupportedModelError

_RANDOM = "compares random draws: no two generators agree"
_SCALAR = "the suite compares with len() of a scalar tensor in a sequence, which raises for right answers too"
_HALF = "float16 results differ by one ulp from the suite's; Orpheus rounds once and is nearer to the float64 answer"
_TRAINING = "ai.onnx.preview.training Gradient: computes gradients, Orpheus does inference"
#: Case -> why it cannot pass.
EXPECTED = {
    "test_bernoulli_cpu": _RANDOM,
    "test_bernoulli_double_cpu": _RANDOM,
    "test_bernoulli_seed_cpu": _RANDOM,
    "test_bernoulli_expanded_cpu": _RANDOM,
    "test_bernoulli_double_expanded_cpu": _RANDOM,
    "test_bernoulli_seed_expanded_cpu": _RANDOM,
    "test_gradient_of_add_cpu": _TRAINING,
    "test_gradient_of_add_and_mul_cpu": _TRAINING,
    "test_loop16_seq_none_cpu": _SCALAR,
    "test_attention_4d_causal_fp16_expanded_cpu": _HALF,
}


class _Backend(onnx_backend.OrpheusBackend):
    """The backend under test, with the options of this run."""

    options: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> onnx_backend.OrpheusRep:
        return super().prepare(model, device, **{**kwargs, **cls.options})


class _Result(unittest.TestResult):
    """Sorts cases by how they ended."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[str] = []
        self.failed: dict[str, str] = {}
        self.unsupported: dict[str, str] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.passed.append(_name(test))

    def addError(self, test: Any, err: Any) -> None:
        kind, error, _ = err
        if issubclass(kind, UnsupportedModelError):
            self.unsupported[_name(test)] = str(error)
        else:
            self.failed[_name(test)] = f"{kind.__name__}: {_first_lines(error)}"

    addFailure = addError

    def addSkip(self, test: Any, reason: str) -> None:
        self.unsupported[_name(test)] = f"skipped by the suite: {reason}"


def _name(test: unittest.TestCase) -> str:
    return test.id().rsplit(".", 1)[-1]


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def run(passes: str, only: str | None, backends: Sequence[str] = ("numpy",)) -> _Result:
    """Run the suite with the given passes on these backends."""
    import onnx.backend.test

    _Backend.options = {"providers": list(backends)}
    if passes != "all":
        _Backend.options["enable_passes"] = [p for p in passes.split(",") if p != "none"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite = onnx.backend.test.BackendTest(_Backend, __name__)
        suite.exclude(r".*_cuda$")
        result = _Result()
        cases = [case for group in suite.test_suite for case in _flatten(group)]
        cases = [
            c for c in cases if _name(c).endswith("_cpu") and (only is None or re.search(only, _name(c)))
        ]
        for number, case in enumerate(cases):
            if sys.stderr.isatty() and number % 20 == 0:
                print(f"\r{number}/{len(cases)}", end="", file=sys.stderr, flush=True)
            case.run(result)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    return result


def _flatten(group: Any) -> list[unittest.TestCase]:
    if isinstance(group, unittest.TestCase):
        return [group]
    return [case for inner in group for case in _flatten(inner)]


def report(result: _Result, passes: str, only: str | None) -> bool:
    """Print the counts and every case that did not pass; tell whether all is as expected."""
    total = len(result.passed) + len(result.failed) + len(result.unsupported)
    print(f"passes: {passes}; {total} cases")
    for title, cases in (("failed", result.failed), ("not supported", result.unsupported)):
        for name, reason in sorted(cases.items()):
            known = EXPECTED.get(name)
            print(f"  {title}: {name}: {known or reason}" + ("" if known else "   <-- NOT EXPECTED"))
    surprises = sorted((set(result.failed) | set(result.unsupported)) - set(EXPECTED))
    # A random case that is once in a while drawn right is not healed.
    healed = sorted(name for name in result.passed if EXPECTED.get(name, _RANDOM) != _RANDOM)
    for name in healed:
        print(f"  passed although listed as impossible: {name}")
    print(
        f"{len(result.passed)} passed, {len(result.failed)} failed, {len(result.unsupported)} not supported"
    )
    return not surprises and (bool(only) or not healed) and bool(result.passed)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--passes", default="all", help="all, none, or names with commas")
    parser.add_argument("--only", help="a regular expression that case names must contain")
    parser.add_argument("--json", type=Path, help="write the outcome of every case here")
    parser.add_argument("--compare", action="store_true", help="with every pass and with none: equal sets")
    parser.add_argument("--backends", default="numpy", help="in order of preference (default: the reference)")
    args = parser.parse_args()
    backends = args.backends.split(",")
    result = run(args.passes, args.only, backends)
    good = report(result, args.passes, args.only)
    if args.compare:
        bare = run("none", args.only, backends)
        good = report(bare, "none", args.only) and good
        same = set(bare.passed) == set(result.passed)
        print("identical sets with every pass and with none" if same else "DIFFERENT SETS:")
        for name in sorted(set(bare.passed) ^ set(result.passed)):
            print(f"  {name}: passes only {'without' if name in bare.passed else 'with'} the graph passes")
        good = good and same
    if args.json:
        outcome = {"passed": result.passed, "failed": result.failed, "not_supported": result.unsupported}
        args.json.write_text(json.dumps(outcome, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
