"""``python -m orpheus_experiments.trial < trial.json > record.json``: the same trial by hand, over SSH, or in a fleet.

Exits with 0 when there is a record, of a result or of a failure; with 2 when the input is no trial.
"""

from __future__ import annotations

import os
import sys

from orpheus_core.errors import UsageError
from orpheus_experiments.trial import Trial, run


def main() -> int:
    """Read, run, write."""
    try:
        trial = Trial.from_json(sys.stdin.buffer.read())
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    try:
        record = run(trial)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    try:
        print(record.to_json(), flush=True)
    except BrokenPipeError:  # the reader has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
