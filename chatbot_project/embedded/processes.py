"""What the embedded parts share about processes and files. Standard library only."""

import ctypes
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.02


class EmbeddedError(Exception):
    """An embedded part cannot be had; the text says why and what to do, for a person to read."""


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` that makes Linux send `number` to the child when the thread that started it ends.

    Elsewhere it does nothing. The library is loaded here, not in the forked child, where only little is safe.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died between fork and prctl, so no signal will ever come
            os._exit(1)

    return in_child


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Within it, SIGTERM and SIGHUP end the program as an exit does: what is under way is cleared away. For the main
    thread."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_alive(pid: int) -> bool:
    """True if a process `pid` exists and is not a zombie (as far as the system tells)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # The state is the first field after the name, which stands in parentheses and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def wait_until(condition: Callable[[], bool], seconds: float, *, pause: float = POLL_SECONDS) -> bool:
    """Ask `condition` every `pause` seconds until it holds; False when `seconds` have passed without."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def private_directory(path: Path, *, uid: int, gid: int, mode: int = 0o700) -> Path:
    """Make `path` a directory of `uid` with `mode`.

    Raises EmbeddedError if something else of that name stands there: a place below the system's temporary directory
    has a name anybody can work out, and whoever owns the directory can take over the socket in it.
    """
    path.mkdir(parents=True, exist_ok=True, mode=mode)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {uid, os.geteuid()}:
        raise EmbeddedError(f"{path} is not a directory of this user. Remove it, or set VAR_DIR to another place.")
    if found.st_uid != uid or found.st_gid != gid:
        os.chown(path, uid, gid)
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)
    return path


def tail(path: Path, lines: int = 20) -> str:
    """The last `lines` lines of a log, "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
