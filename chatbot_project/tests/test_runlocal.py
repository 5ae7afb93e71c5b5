"""`manage.py runlocal` as a newcomer meets it: the real command, every real part, one after another."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.processes import wait_until
from chatbot_project.embedded.redis import EmbeddedRedis
from chatbot_project.embedded.services import BASE_DIR

pytestmark = [pytest.mark.slow, pytest.mark.faults]


class Run:
    """One `runlocal`, its output and its children."""

    def __init__(self, paths: VarPaths, port: int, output: Path) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.output = output
        outside = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}
        environment = {name: value for name, value in os.environ.items() if name not in outside}
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runlocal"],
                cwd=BASE_DIR,
                env={**environment, "VAR_DIR": str(paths.var_dir), "PORT": str(port)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str, seconds: float = 60) -> None:
        assert wait_until(lambda: text in self.said() or self.process.poll() is not None, seconds), self.said()
        assert text in self.said(), self.said()

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"{self.address}{path}", timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def children(self, part: str = "") -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if part in " ".join(child.cmdline())
        ]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def paths() -> Iterator[VarPaths]:
    with tempfile.TemporaryDirectory(prefix="nono-var-") as var_dir:
        yield VarPaths(Path(var_dir).resolve())


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def run(paths: VarPaths, port: int, tmp_path: Path) -> Iterator[Run]:
    started = Run(paths, port, tmp_path / "output")
    yield started
    if started.process.poll() is None:
        started.end(signal.SIGTERM)


def test_first_run_makes_everything_and_ctrl_c_ends_everything(
    run: Run, paths: VarPaths, port: int, tmp_path: Path
) -> None:
    run.wait_for("Nono is ready")
    assert "Database tables" in run.said()
    assert "Starter personas and FAQs" in run.said()
    assert f"password {paths.admin_password.read_text().strip()}" in run.said()
    assert stat.S_IMODE(paths.admin_password.stat().st_mode) == 0o600
    assert [run.get(path) for path in ("/healthz", "/readyz", "/", "/help/category/running-nono/")] == [200] * 4

    second = Run(paths, port, tmp_path / "second")
    assert second.process.wait(30) == 1
    assert f"already running from here: {run.address}" in second.said()

    # A dead child comes back, and so does the service under all of them.
    (worker,) = run.children("runreplies")
    worker.kill()
    redis_pid = EmbeddedRedis(paths).pid()
    assert redis_pid is not None
    os.kill(redis_pid, signal.SIGKILL)
    run.wait_for("replies ended (by SIGKILL); starting it again")
    run.wait_for("redis had ended and runs again")
    assert wait_until(lambda: run.get("/readyz") == 200, 30, pause=0.3)

    children = run.children()
    assert len(children) >= 5
    assert run.end(signal.SIGINT) == 0
    assert run.said().rstrip().endswith("Stopped.")
    assert "Traceback" not in run.said()
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not EmbeddedPostgres(paths).is_running()
    assert not EmbeddedRedis(paths).is_running()


def test_second_run_keeps_the_data_and_sigterm_ends_it(run: Run, paths: VarPaths) -> None:
    run.wait_for("Nono is ready")
    assert "Database tables" not in run.said()
    assert "Starter personas" not in run.said()
    password = paths.admin_password.read_text().strip()
    assert password not in run.said()
    assert str(paths.admin_password) in run.said()
    # Another command, meanwhile, uses the same database and leaves it running.
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    shown = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--check"],
        cwd=BASE_DIR, env={**environment, "VAR_DIR": str(paths.var_dir)}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert run.get("/readyz") == 200
    assert run.end(signal.SIGTERM) == 0
    assert "Traceback" not in run.said()
    assert not EmbeddedPostgres(paths).is_running()
