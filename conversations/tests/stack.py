"""The product's own processes, run against the test session's PostgreSQL and Redis and the fake model server."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import connection

ROOT = Path(settings.BASE_DIR)
PORTS = range(10_000, 32_000)
_ports = count(random.randrange(len(PORTS)))  # another session is likely to be elsewhere in it
_numbers = count(1)
START_SECONDS = 120  # a process that starts has to share its processors with all others


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """The first true answer of ``condition()``; fails with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


SLOW_MODEL = "slow/echo"


def slow_provider(model_url: str) -> dict[str, str]:
    """The environment of a stack with a provider of its own, whose personas ask SLOW_MODEL: of others' their workers
    tell how fast they are."""
    return {
        "LLM_PROVIDERS": json.dumps({"slow": {"base_url": model_url, "api_key": "test"}}),
        "DEFAULT_MODEL": SLOW_MODEL,
    }


def free_port() -> int:
    """One that nobody listens on, nor is given before the process it is for has started: each process of a session has
    a range of its own, below those that the system gives away."""
    of = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = len(PORTS) // of
    mine = PORTS[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) * share :][:share]
    while True:
        port = mine[next(_ports) % share]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Process:
    """One ``manage.py`` command; its output goes to a file that a failing test can show."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._arguments = [sys.executable, str(ROOT / "manage.py"), *arguments]
        self.environment = environment
        self.log = Path(settings.VAR_DIR) / f"{name}-{next(_numbers)}.log"
        self.process: subprocess.Popen[bytes]

    def start(self) -> Self:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._arguments, env=self.environment, stdout=output, stderr=output, cwd=ROOT
            )
        return self

    @property
    def is_running(self) -> bool:
        return hasattr(self, "process") and self.process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(seconds)

    def output(self) -> str:
        return self.log.read_text()


END_SECONDS = 10


def end(*processes: Process) -> None:
    """SIGTERM to all that run, so that each does what it does before it ends; SIGKILL where that takes too long."""
    running = [process for process in processes if process.is_running]
    for process in running:
        process.signal(signal.SIGCONT)
        process.process.terminate()
    deadline = time.monotonic() + END_SECONDS
    for process in running:
        try:
            process.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


class CeleryWorker(Process):
    """A Celery worker beside a stack; a context manager. What earlier tests have queued is thrown away first."""

    def __init__(self, stack: "Stack") -> None:
        super().__init__("celery", [], stack.environment)
        application = [sys.executable, "-m", "celery", "-A", "chatbot_project"]
        pool = ["--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle"]
        self._arguments = [*application, "worker", "--purge", "--loglevel", "INFO", *pool]

    def __enter__(self) -> Self:
        self.start()
        wait_until(lambda: not self.is_running or " ready." in self.output(), "a Celery worker", START_SECONDS)
        assert self.is_running, self.output()
        return self

    def __exit__(self, *error: object) -> None:
        end(self)
        if error[0] is not None:
            print(f"--- {self.name}\n{self.output()[-6000:]}")


class Stack:
    """``web`` web processes and ``workers`` reply workers; a context manager."""

    running: ClassVar[list["Stack"]] = []

    def __init__(self, model_url: str, *, web: int = 1, workers: int = 1, **environment: str) -> None:
        name = connection.settings_dict["NAME"]
        self.environment = os.environ | {
            "DATABASE_URL": f"{settings.DATABASE_URL.replace('/nono?', f'/{name}?')}",
            "LLM_PROVIDERS": json.dumps({"fake": {"base_url": model_url, "api_key": "test"}}),
            "DEFAULT_MODEL": "fake/echo",
            "LOG_LEVEL": "INFO",
            **environment,
        }
        self.ports = [free_port() for _ in range(web)]
        self.web = [self._web(port) for port in self.ports]
        self.workers = [self.new_worker() for _ in range(workers)]

    def _web(self, port: int) -> Process:
        environment = self.environment | {"PORT": str(port), "BASE_URL": f"http://127.0.0.1:{port}"}
        return Process("web", ["runweb", "--port", str(port)], environment)

    def new_worker(self) -> Process:
        """A worker that is not started yet."""
        return Process("worker", ["runreplies"], self.environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def pause_workers(self) -> None:
        """Have the workers claim nothing, in the midst of whatever they do."""
        for worker in self.workers:
            if worker.is_running:
                worker.signal(signal.SIGSTOP)

    def resume_workers(self) -> None:
        for worker in self.workers:
            if worker.is_running:
                worker.signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.running.append(self)
        try:
            for process in (*self.web, *self.workers):
                process.start()
            for port in self.ports:
                self.wait_web(port)
            for worker in self.workers:
                self.wait_worker(worker)
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def wait_web(self, port: int) -> None:
        web = self.web[self.ports.index(port)]
        wait_until(
            lambda: not web.is_running or _answers(f"http://127.0.0.1:{port}/healthz"), f"web on {port}", START_SECONDS
        )
        assert web.is_running, web.output()

    def wait_worker(self, worker: Process) -> None:
        wait_until(
            lambda: not worker.is_running or "worker.started" in worker.output(), "a reply worker", START_SECONDS
        )
        assert worker.is_running, worker.output()

    def __exit__(self, *error: object) -> None:
        if self in self.running:
            self.running.remove(self)
        end(*self.web, *self.workers)
        if error[0] is not None:
            self.print_logs()

    def print_logs(self) -> None:
        """What the processes said last: pytest shows it with a test that fails."""
        for process in (*self.web, *self.workers):
            if process.log.exists():
                print(f"--- {process.name}\n{process.output()[-6000:]}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
