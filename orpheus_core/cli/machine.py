"""Where figures were taken: processor, system and versions."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import numpy as np
import onnx

from orpheus_core import __version__


def machine(threads: int | None) -> dict[str, Any]:
    """Where the figures were taken."""
    return {
        "system": platform.platform(),
        "processor": processor(),
        "logical_cpus": os.cpu_count(),
        "threads": threads or "default",
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "orpheus_core": __version__,
    }


def processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for text in lines:
                key, _, value = text.partition(":")
                if key.strip() in ("model name", "Model"):
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
