"""Orpheus against other engines on whole networks: time, load, memory and error, interleaved on one machine.

usage: python benchmarks/peers.py [--networks wrn-40-2 --engines onnxruntime,openvino] [--check] [--json FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from orpheus_experiments.race.command import main

if __name__ == "__main__":  # each engine runs in a process that imports this file anew
    sys.exit(main(goals=Path(__file__).with_name("goals.json")))
