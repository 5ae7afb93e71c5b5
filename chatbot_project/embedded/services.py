"""PostgreSQL and Redis for one command: those configured, those running, or else its own for as long as it runs.

Two commands at once share them. Each user of the embedded services holds a shared lock on one file; whoever leaves
and gets that lock for itself was the last, and stops them. A killed user's lock is released by the system, so nothing
counts wrong, and what it left running is used and stopped by the next one. One further lock keeps a start from
meeting a stop.
"""

import atexit
import fcntl
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from chatbot_project.embedded.dotenv import load_dotenv
from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.redis import EmbeddedRedis

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# They read or write files only; `runlocal` starts its services itself, showing its progress.
WITHOUT_SERVICES = {
    "check", "collectstatic", "compilemessages", "diffsettings", "findstatic", "help", "makemessages", "runlocal",
    "startapp", "startproject", "version",
}  # fmt: skip

SERVING = {"runlocal", "runserver", "runweb"}  # at an address of their own


def ensure(argv: list[str]) -> None:
    """Prepare the environment of `manage.py` command `argv[1]`; call before Django reads its settings.

    Loads .env, makes VAR_DIR absolute, and in the local environment sees to a secret key and to the services the
    command needs. Raises EmbeddedError if that cannot be done.
    """
    load_dotenv(BASE_DIR / ".env", os.environ)
    paths = var_paths(os.environ)
    os.environ["VAR_DIR"] = str(paths.var_dir)
    if os.environ.get("NONO_ENV", "").strip() not in {"", "local"}:
        return
    paths.static.mkdir(parents=True, exist_ok=True)
    use_secret_key(paths, os.environ)
    use_what_runs(paths, os.environ, serves=len(argv) > 1 and argv[1] in SERVING)
    if needs_services(argv):
        services = Services(paths, os.environ)
        if services.embedded:
            services.acquire()
            atexit.register(services.release)
            _end_in_order_on_signals()


def needs_services(argv: list[str]) -> bool:
    """True if `manage.py` command `argv[1]` talks to the database or Redis."""
    arguments = argv[1:]
    if not arguments or arguments[0].startswith("-") or {"-h", "--help", "--version"} & set(arguments):
        return False
    if arguments[0] == "check":
        return any(argument.startswith("--database") for argument in arguments)
    return arguments[0] not in WITHOUT_SERVICES


def var_paths(environment: Mapping[str, str]) -> VarPaths:
    """The layout below VAR_DIR, by default <repository>/var. A relative VAR_DIR counts from the repository."""
    chosen = environment.get("VAR_DIR", "").strip() or "var"
    return VarPaths(Path(os.path.abspath(BASE_DIR / chosen)))


class Services:
    """The embedded PostgreSQL and Redis that `environment` asks for by naming no outside one."""

    def __init__(self, paths: VarPaths, environment: Mapping[str, str]) -> None:
        self.paths = paths
        self.embedded: list[EmbeddedPostgres | EmbeddedRedis] = []
        if not environment.get("DATABASE_URL", "").strip():
            self.embedded.append(EmbeddedPostgres(paths))
        if not environment.get("REDIS_URL", "").strip():
            self.embedded.append(EmbeddedRedis(paths))
        self._users: IO[bytes] | None = None
        self._owner = 0

    def acquire(self) -> None:
        """Start what is not running, and keep it from being stopped until `release()`."""
        self.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.paths.start_lock):
            self._users, self._owner = self.paths.users_lock.open("ab"), os.getpid()
            fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                self._start()
            except BaseException:
                self._leave()
                raise

    def revive(self) -> list[str]:
        """Start again what has died under its users; the log files' names of those, without their ending."""
        if all(server.is_running() for server in self.embedded):
            return []
        with locked(self.paths.start_lock):
            return self._start()

    def release(self) -> None:
        """Give them up; the last user stops them. Does nothing in a forked child, whose parent still uses them."""
        if self._users is not None and self._owner == os.getpid():
            with locked(self.paths.start_lock):
                self._leave()

    def _start(self) -> list[str]:
        return [server.log.stem for server in self.embedded if server.start()]

    def _leave(self) -> None:
        """Stop the servers if no other process uses them. Nobody becomes a user meanwhile: the start lock is held."""
        users, self._users = self._users, None
        assert users is not None
        with users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            for server in reversed(self.embedded):
                server.stop()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, waiting for it."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def use_secret_key(paths: VarPaths, environment: MutableMapping[str, str]) -> None:
    """Set SECRET_KEY where it is unset, to one made once and kept below VAR_DIR for this user's eyes only."""
    if environment.get("SECRET_KEY", "").strip():
        return
    paths.var_dir.mkdir(parents=True, exist_ok=True)
    environment["SECRET_KEY"] = kept_secret(paths.secret_key, lambda: secrets.token_urlsafe(50))[0]


def kept_secret(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """The secret kept in `path` (mode 0600), and True if `make()` made it just now. Two at once agree on one."""
    try:
        found = path.read_text().strip()
        if found:
            return found, False
    except FileNotFoundError:
        pass
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{make()}\n")
    try:
        os.link(draft, path)  # fails where another was quicker, and never shows half a file
    except FileExistsError:
        return path.read_text().strip(), False
    finally:
        draft.unlink()
    return path.read_text().strip(), True


def use_what_runs(paths: VarPaths, environment: MutableMapping[str, str], *, serves: bool) -> None:
    """Where a `runlocal` is running, set LOCAL_LLM_URL to the model it serves and, for a command that `serves` nothing,
    BASE_URL to its address: each where nothing is configured, so that every command finds them."""
    state = running_supervisor(paths)
    if state.get("local_llm_url") and not environment.get("LOCAL_LLM_URL", "").strip():
        environment["LOCAL_LLM_URL"] = str(state["local_llm_url"])
    configured = environment.get("BASE_URL", "").strip() or environment.get("PORT", "").strip()
    if state.get("address") and not (serves or configured):
        environment["BASE_URL"] = str(state["address"])


def running_supervisor(paths: VarPaths) -> dict[str, Any]:
    """What the `runlocal` of this VAR_DIR says of itself; {} if none is running."""
    try:
        with paths.supervisor_lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return {}
    except BlockingIOError:
        pass
    except OSError:
        return {}
    try:
        state = json.loads(paths.supervisor_state.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _end_in_order_on_signals() -> None:
    """Turn the signals that would end Python at once into an exit that runs the atexit functions."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda received, _: sys.exit(128 + received))
