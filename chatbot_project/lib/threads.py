"""Pools of threads whose size, and what they cost, is known from the start."""

import asyncio
import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

START_SECONDS = 10.0
ARENAS = 2
_M_ARENA_MAX = -8  # of malloc.h


def share_arenas() -> None:
    """Have all threads that start from now on allocate from the same ARENAS arenas of the C library, where it has any.

    Left to itself glibc gives each thread one of its own, up to eight for each processor, and each grows for hours by
    what is free in it and lies badly. Threads that hold the interpreter's lock while they allocate do not wait for each
    other.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)


def started(count: int, prefix: str) -> ThreadPoolExecutor:
    """A pool of ``count`` threads which all run already, named ``prefix_0`` and on.

    Left to itself a pool starts one thread more whenever more is to be done at the same moment than ever before: a
    process would grow for hours by threads, their memory, and the connections that they keep. Raises RuntimeError
    where the system allows no more threads.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix=prefix)
    everyone = Barrier(count)
    for _ in range(count):
        pool.submit(everyone.wait, START_SECONDS)
    return pool


def start_default() -> None:
    """Start the threads of the running loop's ``asyncio.to_thread``: as many as it would come to have."""
    asyncio.get_running_loop().set_default_executor(started(min(32, (os.cpu_count() or 1) + 4), "loop"))
