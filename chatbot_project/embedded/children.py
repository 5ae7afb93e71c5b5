"""Child processes of the supervisor: started, watched, restarted with a growing pause, ended in order."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chatbot_project.embedded.processes import die_with_parent

# A child that keeps dying is not helped by more starts.
MOST_DEATHS = 5
DEATHS_WITHIN_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.5
MAX_LOG_BYTES = 10 * 1024 * 1024
WORTH_SHOWING = re.compile(r"\b(warning|error|critical|exception)\b|^[A-Za-z_.]*(Error|Exception): ", re.IGNORECASE)


@dataclass
class Child:
    """One kind of process and its present instance."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    drain_seconds: float
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)
    start_at: float = 0.0
    shown_bytes: int = 0

    def start(self) -> None:
        """Start it, its output appended to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.process is None:
            self._keep_log_small()
        with self.log.open("ab") as log:
            if self.process is None:
                self.shown_bytes = log.tell()
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self.environment,
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which ends them in order
                preexec_fn=die_with_parent(),
            )  # fmt: skip
        self.start_at = 0.0

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def watch(self) -> str:
        """Notice a death and restart after a pause. Returns what there is to tell, "" when all is well.

        Raises KeepsDying once it has died too often.
        """
        if self.process is None or self.is_up():
            return ""
        now = time.monotonic()
        if self.start_at:
            if now >= self.start_at:
                self.start()
            return ""
        self.deaths = [*(death for death in self.deaths if now - death < DEATHS_WITHIN_SECONDS), now]
        if len(self.deaths) >= MOST_DEATHS:
            raise KeepsDying(self)
        pause = FIRST_PAUSE_SECONDS * 2 ** (len(self.deaths) - 1)
        self.start_at = now + pause
        return f"{self.name} ended ({self.ending()}); starting it again in {pause:g} s. Its log: {self.log}"

    def ending(self) -> str:
        """How its last instance ended, in words."""
        code = self.process.returncode if self.process is not None else None
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"by {signal.Signals(-code).name}"
        return f"with exit code {code}"

    def ask_to_end(self) -> None:
        if self.process is not None and self.is_up():
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False if it is still up after `seconds`."""
        try:
            if self.process is not None:
                self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        if self.process is not None and self.is_up():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def warnings(self) -> list[str]:
        """Lines of warning or worse written to the log since the last call."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.shown_bytes)
                new = file.read(64 * 1024)
        except OSError:
            return []
        whole, newline, _ = new.rpartition(b"\n")
        self.shown_bytes += len(whole) + len(newline)
        return [shown for line in whole.decode(errors="replace").splitlines() if (shown := worth_showing(line))]

    def skip_warnings(self) -> None:
        """Take what was written so far as told: while things start, they complain of those not there yet."""
        with contextlib.suppress(OSError):
            self.shown_bytes = self.log.stat().st_size

    def _keep_log_small(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > MAX_LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))


class KeepsDying(Exception):
    """A child died too often in a short time."""

    def __init__(self, child: Child) -> None:
        super().__init__(f"{child.name} does not stay up: it ended {child.ending()}, {len(child.deaths)} times.")
        self.child = child


def worth_showing(line: str) -> str:
    """What of a log's line, plain or JSON, to show on the console; "" unless it is a warning or worse."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line if WORTH_SHOWING.search(line) else ""
    if not isinstance(entry, dict) or entry.get("level") not in {"warning", "error", "critical"}:
        return ""
    first_line, _, _ = str(entry.get("event", "")).partition("\n")
    return f"{entry['level']}: {first_line[:200]}"


def end(children: Sequence[Child]) -> list[str]:
    """Ask all of them to end, then kill what is still there after its drain time. The killed ones' names."""
    for child in children:
        child.ask_to_end()
    asked = time.monotonic()
    killed = []
    for child in children:
        if not child.wait(asked + child.drain_seconds - time.monotonic()):
            child.kill()
            killed.append(child.name)
    return killed
