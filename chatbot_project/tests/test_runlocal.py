"""`manage.py runlocal` as a newcomer meets it: the real command, every real part, one after another."""

import json
import os
import shutil
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
from typing import Any

import psutil
import pytest

from chatbot_project.embedded.bootstrap import ADMIN_EMAIL
from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.processes import wait_until
from chatbot_project.embedded.redis import EmbeddedRedis
from chatbot_project.embedded.services import BASE_DIR
from conversations.tests.openai_client import run_curl, run_llm, sync_client

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

    def wait_for(self, text: str, seconds: float = 180) -> None:
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


def test_openais_clients_talk_to_it(run: Run, paths: VarPaths, tmp_path: Path) -> None:
    """The SDK, the ``llm`` tool and curl, set up as docs/openai.md says, with the local model."""
    run.wait_for("Nono is ready")
    password = paths.admin_password.read_text().strip()
    signed_in = post(f"{run.address}/api/v1/auth/login", {"email": ADMIN_EMAIL, "password": password})
    wanted = {"name": "clients", "scopes": ["read", "chat"]}
    key = post(f"{run.address}/api/v1/auth/api-keys", wanted, signed_in["access"])["key"]
    question: Any = {"messages": [{"role": "user", "content": "Name three colours."}], "max_tokens": 16}
    with sync_client(run.address, key) as client:
        models = [model.id for model in client.models.list()]
        assert {"persona:support", "persona:writing-coach"} <= set(models)
        model = "persona:writing-coach"  # asks its model
        whole = client.chat.completions.create(model=model, **question)
        assert whole.choices[0].message.content
        assert whole.usage is not None
        assert 0 < whole.usage.completion_tokens <= 16
        chunks = list(client.chat.completions.create(model=model, **question, stream=True))
        assert len(chunks) > 3
        assert chunks[-1].choices[0].finish_reason in ("stop", "length")
        approved = client.chat.completions.create(
            model="persona:support", messages=[{"role": "user", "content": "What is Nono?"}]
        )
        assert approved.nono["citations"]  # type: ignore[attr-defined]
    told = run_llm(tmp_path, run.address, key, model, "-o", "max_tokens", "16", "Name three colours.")
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip()
    if shutil.which("curl"):
        assert run_curl(run.address, key, {"model": model, **question, "stream": True}).endswith("data: [DONE]\n\n")


def post(url: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response))
