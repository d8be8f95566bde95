"""Strings. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance


@formula("StringNormalizer", why="it strips accents, of which the page says nothing")
def string_normalizer(instance: Instance) -> tuple[Any, ...]:
    """Stop words go, then the case changes; one empty string stands for nothing at all."""
    given: Any = instance.node.attributes
    data = instance.arrays[0]
    stop = list(given.get("stopwords", ()))
    found = []
    for word in data.reshape(-1).tolist():
        same = word in stop if given["is_case_sensitive"] else word.lower() in [s.lower() for s in stop]
        if not same:
            action = given["case_change_action"]
            found.append(word.lower() if action == "LOWER" else word.upper() if action == "UPPER" else word)
    result = np.array(found or [""], object)
    return (result if data.ndim == 1 else result[None],)
