"""Every thread of the process may say how many threads numpy's BLAS has: sessions run in any of them."""

from __future__ import annotations

import threading

import pytest
from orpheus_numpy.threads import set_threads
from threadpoolctl import ThreadpoolController


def counts():
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return [library.num_threads for library in libraries]


def test_the_last_one_to_say_is_obeyed_whichever_thread_it_is():
    set_threads(2)
    if set(counts()) != {2}:
        pytest.skip("numpy computes on a BLAS that takes no number of threads")
    other = threading.Thread(target=set_threads, args=(1,))
    other.start()
    other.join()
    assert set(counts()) == {1}
    set_threads(2)
    assert set(counts()) == {2}
