"""Why a kernel cannot or may not run a node."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class RefusalCode(Enum):
    """The kinds of refusal; closed, so that programs can count them."""

    OPSET = "opset"
    DTYPE = "dtype"
    LAYOUT = "layout"
    RULE = "rule"
    UNSUPPORTED = "unsupported"
    SHAPE = "shape"
    BROKEN = "broken"
    PIN = "pin"
    POLICY = "policy"
    MEMORY = "memory"
    ACCURACY = "accuracy"


class Refusal(NamedTuple):
    """One kernel that cannot or may not run a node: a code for programs and words for people."""

    kernel: str
    code: RefusalCode
    text: str

    def __str__(self) -> str:
        return f"{self.kernel}: {self.text}"
