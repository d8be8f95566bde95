"""The cases: loaded once, and only those files of the suite that speak of a wanted operator.

The suite makes its cases while its modules are imported, seconds for all of them.
"""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

_PACKAGE = "onnx.backend.test.case.node"
#: More operators than this: every file is read, since most of them speak of one.
_MANY = 60


def find_cases(ops: Collection[str]) -> Iterator[Any]:
    """Cases whose nodes are all among ``ops`` (operator names without domain), in the suite's order."""
    package = importlib.import_module(_PACKAGE)
    state = np.random.get_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, spoken in _files().items():
                if len(ops) > _MANY or spoken & set(ops):
                    importlib.import_module(name)
    finally:
        np.random.set_state(state)
    wanted = set(ops)
    for case in package._NodeTestCases:
        if {node.op_type for node in case.model.graph.node} <= wanted:
            yield case


def find_case(name: str, ops: Collection[str]) -> Any | None:
    """The case of that name among those of ``ops``, or None."""
    return next((case for case in find_cases(ops) if case.name == name), None)


@cache
def _files() -> Mapping[str, frozenset[str]]:
    """Every module of the suite and the words in quotes in it, operators among them."""
    root = Path(str(importlib.import_module(_PACKAGE).__file__)).parent
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            continue
        words = re.findall(r"[\"']([A-Z]\w*)[\"']", path.read_text(encoding="utf-8"))
        found[".".join((_PACKAGE, *parts))] = frozenset(words)
    return found


@cache
def impossible() -> Mapping[str, str]:
    """Case -> why no backend can pass it."""
    text = resources.files(__package__).joinpath("impossible.json").read_text(encoding="utf-8")
    return {name: reason for reason, names in json.loads(text).items() for name in names}


def values(items: Any) -> list[Any]:
    """A data set's inputs or outputs as arrays and lists; some are stored as protobuf."""
    return [_value(item) for item in items]


def _value(item: Any) -> Any:
    if isinstance(item, onnx.TensorProto):
        return numpy_helper.to_array(item)
    if isinstance(item, onnx.SequenceProto):
        return numpy_helper.to_list(item)
    if isinstance(item, onnx.OptionalProto):
        return numpy_helper.to_optional(item)
    return item
