"""`manage.py runlocal`: starts what is not configured from outside, keeps it up, and stops it in order.

    supervisor ─┬─ PostgreSQL, Redis   (shared with other commands, see services.py; stopped last)
                ├─ local model         (only where no model provider is configured)
                ├─ web                 manage.py runweb
                ├─ reply worker        manage.py runreplies
                └─ Celery worker and beat

Every child ends with the supervisor, even if that is killed.
"""

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO

from chatbot_project.embedded import llm
from chatbot_project.embedded.bootstrap import (
    ADMIN_EMAIL,
    disconnect,
    ensure_admin,
    has_knowledge,
    has_personas,
    migrate,
    pending_migrations,
)
from chatbot_project.embedded.children import Child, KeepsDying, end
from chatbot_project.embedded.console import ready_block, say, step
from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.processes import EmbeddedError, tail, wait_until
from chatbot_project.embedded.services import BASE_DIR, Services, running_supervisor

HOST = "127.0.0.1"
START_SECONDS = 60.0
DRAIN_SECONDS = 30.0
LOOP_SECONDS = 0.5
METERED = ("web", "replies", "celery", "beat")


class StopRequestedError(BaseException):
    """Ctrl-C or SIGTERM. Like KeyboardInterrupt, no `except Exception` takes it for a failure."""


class Supervisor:
    """One run of everything below one VAR_DIR.

    `port` is the web server's; `providers` are the names of the model providers configured from outside, and
    `default_model` ("provider/name") is what personas use that name no model.
    """

    def __init__(
        self,
        *,
        paths: VarPaths,
        port: int,
        default_model: str,
        providers: Collection[str],
        environment: Mapping[str, str],
    ) -> None:
        self.paths = paths
        self.port = port
        self.address = f"http://{HOST}:{port}"
        self.default_model = default_model
        self.providers = providers
        self.environment = {**environment, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
        self.services = Services(paths, environment)
        self.model_port = 0
        self.model: Child | None = None
        self.children: list[Child] = []
        self._lock: IO[bytes] | None = None

    def run(self) -> int:
        """Start, supervise until a signal, stop. Returns the exit code: 0 after a signal, 1 if something failed."""
        with _signals_raise() as stop_if_told:
            try:
                self._claim()
                password = self._start()
                self._announce(password)
                self._supervise(stop_if_told)
            except StopRequestedError:
                say("\nStopping ...")
                return 0
            except KeepsDying as error:
                self._explain(error.child, str(error))
                return 1
            except EmbeddedError as error:
                say(f"\n{error}")
                return 1
            finally:
                self._stop()
        return 0

    # Starting

    def _claim(self) -> None:
        """Be the only supervisor of this VAR_DIR, with a port nobody else has."""
        self.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self.paths.supervisor_lock.open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            other = running_supervisor(self.paths)
            raise EmbeddedError(
                f"Nono is already running from here: {other.get('address', 'it is still starting')}\n"
                f"Stop it with Ctrl-C in its terminal, or: kill {other.get('pid', '')}\n"
                "To run a second one beside it: VAR_DIR=var2 PORT=8001 make run"
            ) from None
        self._lock = lock
        self.paths.supervisor_state.unlink(missing_ok=True)
        _check_port(self.port)

    def _start(self) -> str:
        """Bring everything up. Returns the admin's password if the account was made just now."""
        say("Starting Nono")
        if not self.providers:
            self.model = self._start_model()
        elif self.default_model.partition("/")[0] not in self.providers:
            raise EmbeddedError(
                f"{self.default_model} has no provider; configured: {', '.join(sorted(self.providers))}.\n"
                f"Name the model to use: DEFAULT_MODEL={min(self.providers)}/name-of-the-model make run"
            )
        if self.services.embedded:
            with step("Database and Redis"):
                self.services.acquire()
        password = self._prepare_database()
        self._write_state()
        web, worker, *background = self._processes()
        self._launch(web, worker)
        with step("Web server"):
            self._await(web, lambda: self._ask("/healthz")[0] == 200)
        with step("Reply worker and model"):
            if self.model is not None:
                self._await(self.model, lambda: llm.is_healthy(self.model_port))
            self._await(worker, lambda: self._ask("/readyz")[0] == 200)
        self._launch(*background)  # nobody waits for them, so they do not compete with those
        return password

    def _start_model(self) -> Child:
        """Start loading the local model, beside the steps that follow."""
        llm.model_file()
        self.model_port = _free_port()
        self.environment["LOCAL_LLM_URL"] = llm.base_url(self.model_port)
        command = [sys.executable, "-m", "chatbot_project.embedded.llm", "--port", str(self.model_port)]
        child = self._child("model", command, drain_seconds=5)
        self._launch(child)
        return child

    def _prepare_database(self) -> str:
        """Tables, starters and an admin, each only where missing. Returns a newly made password."""
        try:
            if pending_migrations():
                with step("Database tables"):
                    migrate()
            starters = self._starters()
            password = ensure_admin(self.paths.admin_password)
        finally:
            disconnect()
        if starters:
            with step("Starter personas and FAQs"):
                self._load(starters)
        return password

    def _starters(self) -> list[Child]:
        """Who loads what a new installation begins with, where it has none."""
        personas, faqs = str(BASE_DIR / "personas" / "starters.yaml"), str(BASE_DIR / "faqs" / "starters.json")
        loaders = []
        if not has_personas():
            loaders.append(self._manage("personas", ["load_personas", personas], drain_seconds=5))
        if not has_knowledge():
            arguments = ["import_faqs", faqs, "--publish", "--create-categories"]
            loaders.append(self._manage("faqs", arguments, drain_seconds=5))
        return loaders

    def _load(self, loaders: Sequence[Child]) -> None:
        """Run `loaders` side by side. Raises EmbeddedError where one fails."""
        for loader in loaders:
            loader.start()
        for loader in loaders:
            if not loader.wait(START_SECONDS) or loader.process is None or loader.process.returncode != 0:
                raise EmbeddedError(f"The starter {loader.name} cannot be loaded:\n{tail(loader.log)}")

    def _processes(self) -> list[Child]:
        """Web, reply worker, Celery worker and beat, in the order they are started."""
        celery = [sys.executable, "-m", "celery", "--quiet", "-A", "chatbot_project"]
        worker = ["worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING"]
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        beat = ["beat", "--schedule", str(self.paths.beat_schedule), "--pidfile", "", "--loglevel", "WARNING"]
        return [
            self._manage("web", ["runweb", "--host", HOST, "--port", str(self.port)], DRAIN_SECONDS),
            self._manage("replies", ["runreplies"], DRAIN_SECONDS),
            self._child("celery", [*celery, *worker, *alone], drain_seconds=10),
            self._child("beat", [*celery, *beat], drain_seconds=10),
        ]

    def _metrics_port(self, name: str) -> dict[str, str]:
        """METRICS_PORT is of one process; here they get one each, in the order of METERED."""
        first = self.environment.get("METRICS_PORT", "").strip()
        if name not in METERED or not first.isdecimal() or first == "0":
            return {}
        return {"METRICS_PORT": str(int(first) + METERED.index(name))}

    def _manage(self, name: str, arguments: Sequence[str], drain_seconds: float) -> Child:
        return self._child(name, [sys.executable, str(BASE_DIR / "manage.py"), *arguments], drain_seconds)

    def _child(self, name: str, command: Sequence[str], drain_seconds: float) -> Child:
        environment = {**self.environment, **self._metrics_port(name)}
        return Child(name, command, self.paths.log(name), environment, drain_seconds)

    # Waiting

    def _launch(self, *children: Child) -> None:
        for child in children:
            self.children.append(child)
            child.start()

    def _await(self, child: Child, is_ready: Callable[[], bool]) -> None:
        """Wait until `is_ready()`. Raises EmbeddedError with the log's tail if the child ends or takes too long."""
        wait_until(lambda: not child.is_up() or is_ready(), START_SECONDS, pause=0.2)
        if not child.is_up():
            raise EmbeddedError(f"{child.name} ended {child.ending()}. The end of {child.log}:\n{tail(child.log)}")
        if not is_ready():
            _, answer = self._ask("/readyz")
            raise EmbeddedError(
                f"{child.name} is not ready after {START_SECONDS:g} s. {answer}\n"
                f"The end of {child.log}:\n{tail(child.log)}"
            )

    def _ask(self, path: str) -> tuple[int, str]:
        """Status and body of a GET to the web server; status 0 if it does not answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(4096).decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    # Running

    def _announce(self, password: str) -> None:
        model = self.default_model
        say(
            ready_block(
                address=self.address,
                admin_email=ADMIN_EMAIL,
                password=password,
                password_file=self.paths.admin_password,
                model=f"SmolLM2 135M ({model})" if self.model else model,
                small=self.model is not None,
            )
        )

    def _supervise(self, stop_if_told: Callable[[], None]) -> None:
        """Look after the children until a signal."""
        for child in self.children:
            child.skip_warnings()
        while True:
            stop_if_told()
            time.sleep(LOOP_SECONDS)
            for name in self.services.revive():
                say(f"{name} had ended and runs again. Its log: {self.paths.log(name)}")
            for child in self.children:
                for line in child.warnings():
                    say(f"{child.name} | {line}")
                news = child.watch()
                if news:
                    say(news)

    def _explain(self, child: Child, what: str) -> None:
        say(
            f"\n{what} The end of {child.log}:\n{tail(child.log)}\n\n"
            "Put right what it says and run again: everything written so far is kept."
        )

    def _write_state(self) -> None:
        state = {
            "pid": os.getpid(),
            "address": self.environment.get("BASE_URL", "").strip() or self.address,
            "local_llm_url": self.environment.get("LOCAL_LLM_URL", ""),
        }
        draft = self.paths.supervisor_state.with_suffix(".new")
        draft.write_text(json.dumps(state))
        draft.replace(self.paths.supervisor_state)

    # Stopping

    def _stop(self) -> None:
        """End web and reply worker, which drain; then Celery; then the model they used; then the services."""
        with contextlib.ExitStack() as last:
            last.callback(self._release)
            for names in ({"web", "replies"}, {"celery", "beat"}, {"model"}):
                killed = end([child for child in self.children if child.name in names])
                if killed:
                    say(f"Killed after waiting: {', '.join(killed)}")

    def _release(self) -> None:
        self.services.release()
        if self._lock is not None:
            self.paths.supervisor_state.unlink(missing_ok=True)
            self._lock.close()
            if self.children:
                say("Stopped.")


def _check_port(port: int) -> None:
    """Raises EmbeddedError if `port` cannot be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server itself will: connections that linger from its last run are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EmbeddedError(
                f"Port {port} cannot be used ({error.strerror}): another program has it.\n"
                f"Choose another: make run PORT={port + 1}"
            ) from error


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _signals_raise() -> Iterator[Callable[[], None]]:
    """Raise StopRequestedError at the first Ctrl-C, SIGTERM or SIGHUP; further ones wait for the orderly end.

    Python swallows what is raised while a destructor runs: what is yielded raises it again where there was a signal.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequestedError

    def stop_if_told() -> None:
        if heard:
            raise StopRequestedError

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop_if_told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
