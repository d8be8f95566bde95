"""How Dask has to be set so that it keeps its hands off a board that measures.

By default its worker samples all stacks every 10 ms, checks its loop every 20 ms, its memory every 100 ms and the
interpreter's lock every millisecond.
"""

from __future__ import annotations

from typing import Any

__all__ = ["INSTALL", "SETTINGS"]

INSTALL = "pip install 'orpheus-experiments[fleet]'"

#: For ``dask.config.set`` on a board.
SETTINGS: dict[str, Any] = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.profile.interval": "10s",
    "distributed.worker.profile.cycle": "60s",
    "distributed.admin.tick.interval": "5s",
    "distributed.admin.tick.limit": "1h",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.memory.monitor-interval": "10s",
    # A trial's memory is its child's; the worker holds one text.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.scheduler.allowed-failures": 0,
}
