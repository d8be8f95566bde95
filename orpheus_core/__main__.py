"""``python -m orpheus_core`` is the ``orpheus`` command."""

import sys

from orpheus_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
