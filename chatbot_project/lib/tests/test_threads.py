import ctypes
import subprocess
import sys
import threading

import pytest

from chatbot_project.lib.threads import ARENAS, started


def test_all_threads_run_from_the_start_and_work():
    pool = started(5, "early")
    try:
        assert pool.submit(lambda: 1 + 1).result(timeout=5) == 2
        assert sum(thread.name.startswith("early") for thread in threading.enumerate()) == 5
    finally:
        pool.shutdown()
    assert not any(thread.name.startswith("early") for thread in threading.enumerate())


# Each thread has an arena of its own, where it may, as soon as it has allocated something while the others still live.
COUNT_ARENAS = """
import ctypes, sys, threading
from chatbot_project.lib.threads import share_arenas
if "shared" in sys.argv:
    share_arenas()
libc, everyone = ctypes.CDLL(None), threading.Barrier(6)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
def work():
    libc.malloc(100_000)
    everyone.wait(10)
threads = [threading.Thread(target=work) for _ in range(5)]
for thread in threads:
    thread.start()
everyone.wait(10)
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def arenas(*arguments: str) -> int:
    command = [sys.executable, "-c", COUNT_ARENAS, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    return printed.stdout.count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library has no arenas to count")
def test_threads_share_arenas():
    assert arenas("shared") == ARENAS
    assert arenas() > ARENAS
