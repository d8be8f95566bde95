"""The thread count of numpy's BLAS, which is a setting of the whole process."""

from __future__ import annotations

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def set_threads(threads: int) -> None:
    """Let every loaded BLAS use ``threads`` threads from now on, whichever thread of the process says so."""
    for library in _controller().lib_controllers:
        # Since threadpoolctl 3.8 an OpenBLAS obeys the first thread that asked, and nobody else.
        release = getattr(library, "clear_controlling_thread", lambda force: None)
        release(force=True)
        library.set_num_threads(threads)
        release(force=True)
