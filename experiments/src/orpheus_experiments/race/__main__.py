"""``python -m orpheus_experiments.race``."""

from __future__ import annotations

import sys

from orpheus_experiments.race.command import main

if __name__ == "__main__":  # workers import it anew
    sys.exit(main())
