"""``python -m orpheus_experiments.fleet tcp://scheduler:8786 LABEL``: makes this machine a board of a fleet."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import re
import sys
from typing import Any

from orpheus_experiments.fleet.settings import INSTALL, SETTINGS
from orpheus_experiments.results.name import BOARD


def main() -> int:
    """Serve until the scheduler ends it."""
    parser = argparse.ArgumentParser(
        prog="python -m orpheus_experiments.fleet", description="Make this machine a board of a fleet."
    )
    parser.add_argument("address", help="of the Dask scheduler, such as tcp://host:8786")
    parser.add_argument("label", help="what this kind of board is called, such as rpi5")
    args = parser.parse_args()
    if not re.fullmatch(BOARD, args.label):
        parser.error(f"the label {args.label!r} must be letters, digits, - and _")
    try:
        dask: Any = importlib.import_module("dask")
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        print(f"error: a fleet needs Dask distributed ({error}); try: {INSTALL}", file=sys.stderr)
        return 2

    async def serve() -> None:
        async with distributed.Worker(
            args.address, nthreads=1, resources={args.label: 1}, death_timeout=60
        ) as worker:
            await worker.finished()

    with dask.config.set(SETTINGS):
        try:
            asyncio.run(serve())
        except KeyboardInterrupt:
            return 130
        except (OSError, TimeoutError) as error:
            print(f"error: no scheduler at {args.address}: {error}", file=sys.stderr)
            return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
