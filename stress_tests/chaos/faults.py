"""Faults done to a running stack, and undone: one function each."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg

from chatbot_project.embedded.paths import default_database_url

from ..fake_model import Script
from .proxy import Proxy
from .schedule import Fault
from .stack import ChaosStack, Child

TERM_SECONDS = 35.0
CUT_BACKENDS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'nono'"
)


@asynccontextmanager
async def suffered(stack: ChaosStack, fault: Fault) -> AsyncIterator[None]:
    """The fault is there within the block; behind it the part is back: it has been started and says so, its link flows.

    Raises StackError where it does not come back.
    """
    undo = await _DOING[fault.part](stack, fault)
    try:
        yield
    finally:
        await undo()


Undo = Callable[[], Awaitable[None]]


async def _process(stack: ChaosStack, fault: Fault) -> Undo:
    children = stack.web if fault.part == "web" else stack.workers
    child = children[fault.which % len(children)]
    if fault.kind == "freeze":
        child.signal(signal.SIGSTOP)
        return lambda: _thaw(child)
    if fault.kind == "term":
        child.signal(signal.SIGTERM)
        return lambda: _again(stack, child, TERM_SECONDS)
    child.signal(signal.SIGKILL)
    return lambda: _again(stack, child, 0)


async def _thaw(child: Child) -> None:
    child.signal(signal.SIGCONT)


async def _again(stack: ChaosStack, child: Child, patience: float) -> None:
    await child.ended(patience)
    child.start()
    await stack.until_ready(child)


async def _redis(stack: ChaosStack, fault: Fault) -> Undo:
    redis = stack.redis
    pid = redis.pid() or 0
    if fault.kind == "flush":
        await asyncio.to_thread(_say_to_redis, str(redis.paths.redis_socket), b"FLUSHALL\r\n")
        return _nothing
    if fault.kind == "freeze":
        os.kill(pid, signal.SIGSTOP)

        async def thaw() -> None:
            os.kill(pid, signal.SIGCONT)

        return thaw
    if fault.kind == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        await asyncio.to_thread(redis.stop)
    return lambda: asyncio.to_thread(_started, redis.start)


def _say_to_redis(path: str, words: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(words)
        connection.recv(64)


async def _postgres(stack: ChaosStack, fault: Fault) -> Undo:
    postgres = stack.postgres
    if fault.kind == "cut":
        await asyncio.to_thread(_cut_backends, default_database_url(stack.directory))
        return _nothing
    if fault.kind == "crash":
        with contextlib.suppress(ProcessLookupError):
            os.kill(postgres.pid() or 0, signal.SIGQUIT)  # "immediate": no checkpoint, the next start replays the log
    await asyncio.to_thread(postgres.stop)
    return lambda: asyncio.to_thread(_started, postgres.start)


def _cut_backends(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as own:
        own.execute(CUT_BACKENDS)


def _started(start: Callable[[], bool]) -> None:
    start()


async def _nothing() -> None:
    """A fault of a moment: the part was back at once."""


async def _model(stack: ChaosStack, fault: Fault) -> Undo:
    healthy, link = stack.script, stack.model_link
    if fault.kind == "refused":
        link.refuses = True
        link.reset()
    else:
        stack.model.default = faulty_script(healthy, fault)

    async def undo() -> None:
        stack.model.default = healthy
        link.heal()

    return undo


def faulty_script(healthy: Script, fault: Fault) -> Script:
    """The model's behaviour under a fault of the part ``model``; it breaks off after up to 20 tokens."""
    after = int(fault.amount * 20)
    changes = {
        "status_500": {"status": 500},
        "status_429": {"status": 429, "retry_after": "1"},
        "html": {"html": True},
        "unfinished": {"finish_reason": None, "done": False},
        "stalled": {"stall_after": after},
        "cut_eof": {"cut_after": after, "cut": "eof"},
        "cut_close": {"cut_after": after, "cut": "close"},
        "cut_reset": {"cut_after": after, "cut": "reset"},
        "malformed": {"malformed_after": after},
        "error_event": {"error_after": after},
    }[fault.kind]
    return dataclasses.replace(healthy, **changes)  # type: ignore[arg-type]


async def _link(stack: ChaosStack, fault: Fault) -> Undo:
    link = {
        "browser>web": stack.browser_links[fault.which % len(stack.browser_links)],
        "product>postgres": stack.database_link,
        "product>redis": stack.redis_link,
        "worker>model": stack.model_link,
    }[fault.part]
    spoil(link, fault)

    async def undo() -> None:
        link.heal()

    return undo


def spoil(link: Proxy, fault: Fault) -> None:
    """Make a link as bad as the fault says."""
    if fault.kind == "slow":
        link.delay = 0.02 + 0.2 * fault.amount
    elif fault.kind == "throttled":
        link.rate = 2_000 + 50_000 * fault.amount
    elif fault.kind == "torn":
        link.tear(int(1 + 3_000 * fault.amount))
    elif fault.kind == "reset":
        link.reset()
    elif fault.kind == "stalled":
        link.stall()
    elif fault.kind == "half_open":
        link.swallows = True
    elif fault.kind == "refused":
        link.refuses = True
        link.reset()
    else:
        raise ValueError(f"no such fault of a link: {fault.kind}")


_DOING: dict[str, Callable[[ChaosStack, Fault], Awaitable[Undo]]] = {
    "web": _process,
    "worker": _process,
    "redis": _redis,
    "postgres": _postgres,
    "model": _model,
    "browser>web": _link,
    "product>postgres": _link,
    "product>redis": _link,
    "worker>model": _link,
}
