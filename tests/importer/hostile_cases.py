"""The list of models that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx

Maker = Callable[[], bytes]
CASES: dict[str, Maker] = {}


def case(name: str) -> Callable[[Callable[[], onnx.ModelProto | bytes]], Any]:
    def register(make: Callable[[], onnx.ModelProto | bytes]) -> Any:
        def data() -> bytes:
            made = make()
            return made if isinstance(made, bytes) else made.SerializeToString()

        assert name not in CASES
        CASES[name] = data
        return make

    return register
