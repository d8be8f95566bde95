"""Every thread of the process may say how many threads numpy's BLAS has: sessions run in any of them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

# In a process that has numpy's BLAS alone: others, of which this one may have some, keep a count for each thread.
_COUNTS = """
    import json, threading
    from orpheus_numpy.threads import set_threads
    from threadpoolctl import ThreadpoolController

    def counts():
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        return sorted({library.num_threads for library in libraries})

    set_threads(2)
    found = [counts()]
    other = threading.Thread(target=set_threads, args=(1,))
    other.start()
    other.join()
    found.append(counts())
    set_threads(2)
    found.append(counts())
    print(json.dumps(found))
"""


def test_the_last_one_to_say_is_obeyed_whichever_thread_it_is():
    command = [sys.executable, "-c", textwrap.dedent(_COUNTS)]
    first, *later = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if first != [2]:
        pytest.skip("numpy computes on a BLAS that takes no number of threads")
    assert later == [[1], [2]]
