"""Processes that a fault test may kill, pause and starve, on a Redis of their own; whole again for the next test."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

from chatbot_project.embedded.redis import EmbeddedRedis

from .stack import START_SECONDS, Process, Stack

LEASE_SECONDS = 3
DRAIN_SECONDS = 2
ORPHANS_SPARED_SECONDS = 10  # after the database started; see queue.orphans


async def eventually(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """The first true answer of ``condition()``, which may be a coroutine function; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


async def wait_exit(process: Process, seconds: float = 40) -> int:
    """The exit code of a process that is on its way out."""
    await eventually(lambda: process.process.poll() is not None, f"{process.name} to end", seconds)
    return process.process.wait(1)


class FaultStack(Stack):
    """Two web processes and two reply workers with short leases, on a Redis of their own."""

    def __init__(self, model_url: str, redis: EmbeddedRedis, redis_url: str, **environment: str) -> None:
        self.redis = redis
        short = {
            "REDIS_URL": redis_url,
            "REPLY_LEASE_SECONDS": str(LEASE_SECONDS),
            "REPLY_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
        super().__init__(model_url, web=2, workers=2, **(short | environment))

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def whole(self, workers: int = 2) -> None:
        """Start again what a test before this one has ended, and end workers that are not as the others."""
        self.redis.start()
        for process in self.web:
            if process.process.poll() is not None:
                process.start()
        self.only_workers(self.environment)
        for extra in self.workers[workers:]:
            extra.kill()
        self.workers = self.workers[:workers]
        while len(self.workers) < workers:
            self.workers.append(self.new_worker().start())
        for port in self.ports:
            self.wait_web(port)
        for worker in self.workers:
            self.wait_worker(worker)

    def only_workers(self, environment: dict[str, str]) -> None:
        """End the workers that run under another environment, and forget those that have ended."""
        for worker in self.workers:
            if worker.environment != environment and worker.process.poll() is None:
                worker.kill()
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]

    def only_worker(self, **environment: str) -> Process:
        """A worker like the others but for ``environment``, and the only one."""
        wanted = self.environment | environment
        self.only_workers(wanted)
        if not self.workers:
            self.workers = [Process("worker", ["runreplies"], wanted).start()]
            self.wait_worker(self.workers[0])
        return self.workers[0]

    async def start_worker(self) -> Process:
        """One more reply worker, ready."""
        worker = self.new_worker().start()
        self.workers.append(worker)
        await eventually(lambda: "worker.started" in worker.output(), "a reply worker", START_SECONDS)
        return worker

    def worker_called(self, name: str) -> Process:
        """The process of the worker that a message's ``worker`` names."""
        return next(worker for worker in self.workers if name in worker.output())
