"""Python's search for reference cycles, paused while a session is made.

Making one allocates many objects that stay, and each search would go through them and through everything that is
imported, which took a quarter of the time of a load.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_was_on = False


@contextmanager
def paused_collection() -> Iterator[None]:
    """No automatic collection within, in any thread; afterwards as before. Several threads may be inside."""
    global _inside, _was_on
    with _lock:
        if _inside == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _was_on:
                gc.enable()
