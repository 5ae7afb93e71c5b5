"""The product's processes, several of each, with a proxy on every link between them. In a temporary directory."""

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chatbot_project.embedded.paths import VarPaths, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.processes import die_with_parent, tail
from chatbot_project.embedded.redis import EmbeddedRedis

from ..bench_stack import KEPT_VARIABLES, ROOT
from ..fake_model import FakeModelServer, Script
from ..fake_stream import Recorded
from .proxy import Proxy, to_port, to_socket

READY_SECONDS = 120.0
STOP_SECONDS = 40.0
PERSONA = "chaos"
#: Short, so that a run meets each of them often; a reply that nobody holds waits for its lease.
BOUNDS = {
    "REPLY_LEASE_SECONDS": "3",
    "REPLY_DRAIN_SECONDS": "3",
    "LLM_CONNECT_SECONDS": "2",
    "LLM_FIRST_TOKEN_SECONDS": "4",
    "LLM_IDLE_SECONDS": "3",
}


class StackError(Exception):
    """A part does not come up; the text says which and ends with its log."""


class Child:
    """A ``manage.py`` command that may be ended and started again; its log goes on."""

    def __init__(self, name: str, arguments: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self.name, self.log = name, log
        self._arguments, self._environment = [sys.executable, *arguments], environment
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0  # bytes of its log that an earlier life of it wrote

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Below zero the signal that ended it; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def said(self, what: str) -> bool:
        """Whether its log has ``what`` since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._said_before)
            return what.encode() in log.read()

    def start(self) -> None:
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    async def ended(self, seconds: float = STOP_SECONDS) -> None:
        """Until it has ended; killed where that takes longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.is_running:
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None and self.is_running:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class ChaosStack:
    """``web`` web processes and ``workers`` reply workers, PostgreSQL, Redis, a model server; an async context manager.

    All talk to each other through proxies: ``browser_links`` one for each web process, ``database_link``,
    ``redis_link`` and ``model_link``. ``finished`` counts, by question, the answers that the model sent to their end.
    """

    def __init__(self, *, web: int, workers: int, users: int, script: Script, bounds: dict[str, str]) -> None:
        self._sizes = web, workers
        self._users = users
        self._bounds = bounds
        self.script = script
        self.model = FakeModelServer(script, keep_requests=1000)
        self.finished: Counter[tuple[str, ...]] = Counter()
        self.model.on_finished = self._note_finished
        self.web: list[Child] = []
        self.workers: list[Child] = []
        self.web_ports: list[int] = []
        self.browser_links: list[Proxy] = []
        self.sessions: dict[str, str] = {}
        self.directory = Path()
        self._environment: dict[str, str] = {}
        self._stopping = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "ChaosStack":
        self.directory = _directory()
        self._stopping.callback(shutil.rmtree, self.directory, ignore_errors=True)
        try:
            await self._start()
        except BaseException:
            await self._stopping.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self._resume_all()
        await asyncio.to_thread(self._stop_children)
        await self._stopping.aclose()

    @property
    def children(self) -> list[Child]:
        return [*self.web, *self.workers]

    @property
    def links(self) -> list[Proxy]:
        return [*self.browser_links, self.database_link, self.redis_link, self.model_link]

    @property
    def browser_ports(self) -> list[int]:
        """Where clients reach the web processes."""
        return [link.port for link in self.browser_links]

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name."""
        named = {child.name: child.pid for child in self.children}
        return {**named, "postgres": self.postgres.pid() or 0, "redis": self.redis.pid() or 0}

    def check(self) -> None:
        """Raises StackError where a process has ended by itself."""
        for child in self.children:
            if not child.is_running:
                raise StackError(f"{child.name} has ended. The end of its log:\n{tail(child.log)}")

    async def rows(self) -> dict[str, Any]:
        """What ``chaos.rows`` prints."""
        found: dict[str, Any] = await asyncio.to_thread(self._python, "-m", "stress_tests.chaos.rows")
        return found

    async def until_ready(self, child: Child) -> None:
        """Until a process that was started does its work. Raises StackError."""
        deadline = time.monotonic() + READY_SECONDS
        while not await self._is_ready(child):
            if not child.is_running or time.monotonic() > deadline:
                raise StackError(f"{child.name} does not come up. The end of its log:\n{tail(child.log)}")
            await asyncio.sleep(0.05)

    async def _is_ready(self, child: Child) -> bool:
        if child in self.workers:
            return child.said("worker.started")
        return await _answers(self.web_ports[self.web.index(child)])

    # --- coming up and going down

    async def _start(self) -> None:
        paths = VarPaths(self.directory)
        self.model.start()
        self._stopping.callback(self.model.stop)
        self.postgres = EmbeddedPostgres(paths, dies_with_parent=True)
        self._stopping.callback(self.postgres.stop)
        self.postgres.start()
        self.redis = EmbeddedRedis(paths, dies_with_parent=True)
        self._stopping.callback(self.redis.stop)
        self.redis.start()
        enter = self._stopping.enter_async_context
        self.database_link = await enter(Proxy(to_socket(str(paths.postgres_socket))))
        self.redis_link = await enter(Proxy(to_socket(str(paths.redis_socket))))
        self.model_link = await enter(Proxy(to_port(self.model.port)))
        self._environment = self._product_environment()
        await asyncio.to_thread(self._python, "manage.py", "migrate", "--verbosity", "0", answer=False)
        await asyncio.to_thread(
            self._python,
            "-m",
            "stress_tests.bench_seed",
            "make",
            given={"users": self._users, "personas": {PERSONA: "chaos/fake"}},
        )
        self.sessions = await asyncio.to_thread(self._python, "-m", "stress_tests.chaos.rows", "sessions")
        for number in range(self._sizes[0]):
            self.web_ports.append(_free_port())
            self.browser_links.append(await enter(Proxy(to_port(self.web_ports[-1]))))
            self.web.append(self._child(f"web{number}", ["runweb", "--host", "127.0.0.1"], number))
        self.workers += [self._child(f"worker{number}", ["runreplies"]) for number in range(self._sizes[1])]
        for child in self.children:
            child.start()
        for child in self.children:
            await self.until_ready(child)

    def _product_environment(self) -> dict[str, str]:
        """By way of the proxies."""
        provider = {"base_url": f"http://127.0.0.1:{self.model_link.port}/v1", "api_key": "x"}
        return {
            **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            "NONO_ENV": "local",
            "SECRET_KEY": secrets.token_hex(32),
            "VAR_DIR": str(self.directory),
            "DATABASE_URL": f"postgresql://nono@127.0.0.1:{self.database_link.port}/nono?sslmode=disable",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_link.port}/0",
            "LLM_PROVIDERS": json.dumps({"chaos": provider}),
            "DEFAULT_MODEL": "chaos/fake",
            "TITLE_MODEL": "off",
            "RATE_LIMIT_ASKS": "6000/min",
            **self._bounds,
        }

    def _child(self, name: str, command: list[str], web: int | None = None) -> Child:
        environment = dict(self._environment)
        if web is not None:
            command = [*command, "--port", str(self.web_ports[web])]
            environment["PORT"] = str(self.web_ports[web])
            environment["BASE_URL"] = f"http://127.0.0.1:{self.browser_links[web].port}"
        return Child(name, ["manage.py", *command], environment, self.directory / f"{name}.log")

    def _python(self, *arguments: str, given: Any = None, answer: bool = True) -> Any:
        """Run Python to its end on the parts themselves, past the proxies; JSON in and out. Raises StackError."""
        direct = {
            "DATABASE_URL": default_database_url(self.directory),
            "REDIS_URL": default_redis_url(self.directory),
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self._environment | direct,
            input=json.dumps(given).encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"{' '.join(arguments)} failed:\n{done.stderr.decode(errors='replace')[-4000:]}")
        return json.loads(done.stdout) if answer else None

    def _resume_all(self) -> None:
        for link in self.links:
            link.heal()
        for child in self.children:
            child.signal(signal.SIGCONT)

    def _stop_children(self) -> None:
        for child in self.children:
            child.signal(signal.SIGTERM)
        for child in self.children:
            child.stop()

    def _note_finished(self, request: Recorded) -> None:
        asked = [str(message.get("content")) for message in request.messages if message.get("role") == "user"]
        self.finished[tuple(asked[-2:])] += 1

    def questions_finished(self, rest: str) -> Counter[str]:
        """How often the model came to the end of its answer, by question; where it was told to go on, by the one that
        it goes on with."""
        found: Counter[str] = Counter()
        for asked, times in self.finished.items():
            goes_on = len(asked) > 1 and rest == f"echo: {asked[-1]}"
            found[asked[-2] if goes_on else asked[-1]] += times
        return found


def model_script(token_ms: float) -> Script:
    """A healthy model that says its question back."""
    return dataclasses.replace(Script(), echo=True, first_ms=50, token_ms=token_ms)


def _directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="nono-chaos-")).resolve()


async def _answers(port: int) -> bool:
    """Whether a web process is ready."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 2)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return b" 200 " in await asyncio.wait_for(reader.readline(), 5)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
