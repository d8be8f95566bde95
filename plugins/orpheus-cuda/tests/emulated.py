"""``orpheus`` on the emulated GPU: ``python .../tests/emulated.py conform cuda --op Conv --examples 8``.

It needs g++, and says nothing about speed.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager

import emulation

from orpheus_core.cli import main

if __name__ == "__main__":
    with contextmanager(emulation.installed)():
        sys.exit(main(sys.argv[1:]))
