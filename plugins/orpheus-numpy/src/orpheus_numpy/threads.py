"""The thread count of numpy's BLAS, which is a setting of the whole process."""

from __future__ import annotations

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def set_threads(threads: int) -> None:
    """Let every loaded BLAS use ``threads`` threads from now on."""
    for library in _controller().lib_controllers:
        library.set_num_threads(threads)
