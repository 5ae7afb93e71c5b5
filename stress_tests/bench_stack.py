"""The product and what stands around it, in a temporary directory: started, pinned to processors, and stopped again."""

import contextlib
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
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from chatbot_project.embedded.paths import VarPaths, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.processes import die_with_parent, tail
from chatbot_project.embedded.redis import EmbeddedRedis

from .bench_cpu import Parts, biggest

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
STOP_SECONDS = 40.0
# What the caller's shell may hold and the children need; everything else is left out, so that no setting leaks in.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
# As docker-compose.yml starts it.
CELERY = ("-m", "celery", "--quiet", "-A", "chatbot_project", "worker", "--pool", "threads", "--concurrency", "2",
          "--loglevel", "WARNING")  # fmt: skip


class StackError(Exception):
    """A part does not come up; the text says which and ends with its log."""


class Stack:
    """Model server, and unless ``model_only`` PostgreSQL, Redis, ``web`` web processes, ``workers`` reply workers, and
    where ``celery`` is wanted its worker. A context manager.

    The first web process has the first processor to itself as far as the product goes, the first reply worker the
    second, further ones those that follow; what none is left for runs where there is room, as the rest does.
    ``overrides`` are environment variables of the product. Processes are called web, web2, worker, worker2 and so on.
    """

    def __init__(
        self,
        *,
        users: int,
        personas: Mapping[str, str],
        model_only: bool = False,
        web: int = 1,
        workers: int = 1,
        celery: bool = False,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        self.users = users
        self.personas = dict(personas)
        self.model_only = model_only
        self.environment: dict[str, str] = {}  # the product's, once it is started
        self.overrides = dict(overrides or {})
        self.cookies: list[str] = []
        self.pins: dict[str, int] = {}
        self.web_ports: list[int] = []
        self.model_port = 0
        self._sizes, self._celery = (web, workers), celery
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._at_work: dict[str, int] = {}
        self._directory = Path()
        self._stopping = contextlib.ExitStack()

    def __enter__(self) -> "Stack":
        # The embedded PostgreSQL lets its own user pass through the directories above its data.
        self._directory = Path(tempfile.mkdtemp(prefix="nono-bench-")).resolve()
        self._stopping.callback(shutil.rmtree, self._directory, ignore_errors=True)
        try:
            self._start()
        except BaseException:
            self._stopping.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.close()

    @property
    def web_port(self) -> int:
        """The first web process's."""
        return self.web_ports[0] if self.web_ports else 0

    @property
    def web_address(self) -> tuple[str, int]:
        return "127.0.0.1", self.web_port

    @property
    def web_addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", port) for port in self.web_ports]

    @property
    def model_address(self) -> tuple[str, int]:
        return "127.0.0.1", self.model_port

    def parts(self) -> Parts:
        """The processes to account for: those of the product, and the model server, which is none of them."""
        pids = {name: child.pid for name, child in self._children.items()} | self._at_work
        if not self.model_only:
            pids |= {"postgres": self._postgres.pid() or 0, "redis": self._redis.pid() or 0}
        return Parts(pids)

    def audit(self) -> dict[str, Any]:
        """The database's own count of replies (bench_seed.audit)."""
        found: dict[str, Any] = self.python("-m", "stress_tests.bench_seed", "audit")
        return found

    @contextlib.contextmanager
    def serving(
        self, command: Callable[[int], Sequence[str]], python: str = sys.executable
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A web process of another command: the arguments of ``python``, given its port. For a stack that has none of
        its own (``web=0``). It is ready when the block begins and stopped when that ends. Raises StackError.

        Where the command has a child do its work, the child is what is accounted for.
        """
        port = _free_port()
        self.web_ports = [port]
        process = self._spawn_web(0, command(port), python)
        try:
            self._wait_until_ready(0)
            self._at_work["web"] = biggest(process.pid)
            yield process
        finally:
            del self._children["web"]
            self._at_work.clear()
            self.web_ports = []
            _stop(process)

    def check(self) -> None:
        """Raises StackError where a process has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise StackError(f"{name} ended with {child.returncode}. The end of its log:\n{tail(self._log(name))}")

    def log_of(self, name: str, lines: int = 20) -> str:
        """The end of a process's log."""
        return tail(self._log(name), lines)

    def _start(self) -> None:
        self.model_port = _free_port()
        self._spawn("model", ["-m", "stress_tests.fake_model", "--port", str(self.model_port)], os.environ)
        self._wait_for("model", f"http://127.0.0.1:{self.model_port}/v1/models")
        if self.model_only:
            return
        paths = VarPaths(self._directory)
        self._postgres = EmbeddedPostgres(paths, dies_with_parent=True)
        self._stopping.callback(self._postgres.stop)
        self._postgres.start()
        self._redis = EmbeddedRedis(paths, dies_with_parent=True)
        self._stopping.callback(self._redis.stop)
        self._redis.start()
        web, workers = self._sizes
        self.web_ports = [_free_port() for _ in range(web)]
        self.environment = self._product_environment()
        self.python("manage.py", "migrate", "--verbosity", "0", answer=False)
        wanted = {"users": self.users, "personas": self.personas}
        self.cookies = self.python("-m", "stress_tests.bench_seed", "make", given=wanted)
        for number in range(workers):
            self._spawn(_named("worker", number), ["manage.py", "runreplies"], self.environment, 1 + 2 * number)
        if self._celery:
            self._spawn("celery", CELERY, self.environment)
        for number, port in enumerate(self.web_ports):
            self._spawn_web(number, runweb(port))
        for number in range(web):
            self._wait_until_ready(number)

    def _spawn_web(self, number: int, command: Sequence[str], python: str = sys.executable) -> subprocess.Popen[bytes]:
        port = self.web_ports[number]
        own = {"PORT": str(port), "BASE_URL": f"http://127.0.0.1:{port}"}
        return self._spawn(_named("web", number), command, self.environment | own, 2 * number, python)

    def _wait_until_ready(self, number: int) -> None:
        self._wait_for(_named("web", number), f"http://127.0.0.1:{self.web_ports[number]}/readyz")

    def _product_environment(self) -> dict[str, str]:
        provider = {"base_url": f"http://127.0.0.1:{self.model_port}/v1", "api_key": "x"}
        port = self.web_port or _free_port()
        return {
            **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            "NONO_ENV": "local",
            "SECRET_KEY": secrets.token_hex(32),
            "VAR_DIR": str(self._directory),
            "DATABASE_URL": default_database_url(self._directory),
            "REDIS_URL": default_redis_url(self._directory),
            "PORT": str(port),
            "BASE_URL": f"http://127.0.0.1:{port}",
            "LLM_PROVIDERS": json.dumps({"bench": provider}),
            "DEFAULT_MODEL": "bench/fake",
            "TITLE_MODEL": "off",  # a title by a model is another model call, made by Celery: not part of a turn
            "RATE_LIMIT_ASKS": "600/min",  # people of a benchmark ask again at once
            **self.overrides,
        }

    def python(self, *arguments: str, given: Any = None, answer: bool = True) -> Any:
        """Run Python to its end in the product's environment, JSON in and out. Raises StackError."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            input=json.dumps(given).encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"{' '.join(arguments)} failed:\n{done.stderr.decode(errors='replace')[-4000:]}")
        return json.loads(done.stdout) if answer else None

    def _spawn(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        processor: int | None = None,
        python: str = sys.executable,
    ) -> subprocess.Popen[bytes]:
        with self._log(name).open("ab") as log:
            child = subprocess.Popen(
                [python, *arguments],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is for this process, which stops them in order
                preexec_fn=die_with_parent(),
            )
        self._children[name] = child
        self._stopping.callback(_stop, child)
        available = sorted(os.sched_getaffinity(0))
        if processor is not None and len(available) > processor:
            os.sched_setaffinity(child.pid, {available[processor]})
            self.pins[name] = available[processor]
        return child

    def _wait_for(self, name: str, url: str) -> None:
        """Until ``url`` answers 200. Raises StackError."""
        deadline = time.monotonic() + READY_SECONDS
        said = "nothing"
        while time.monotonic() < deadline:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except urllib.error.HTTPError as error:
                said = f"{error.code} {error.read(500).decode(errors='replace')}"
            except OSError as error:
                said = str(error)
            time.sleep(0.1)
        raise StackError(f"{name} is not ready; {url} said: {said}\nThe end of its log:\n{self.log_of(name)}")

    def _log(self, name: str) -> Path:
        return self._directory / f"bench-{name}.log"


def runweb(port: int) -> list[str]:
    """The arguments of Python that serve the product on that port."""
    return ["manage.py", "runweb", "--host", "127.0.0.1", "--port", str(port)]


def _named(kind: str, number: int) -> str:
    return f"{kind}{number + 1}" if number else kind


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # of its own session: what it has started ends with it
            child.wait()
