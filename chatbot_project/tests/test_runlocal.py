"""`manage.py runlocal` as a newcomer meets it: the real command, every real part, one after another."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.processes import wait_until
from chatbot_project.embedded.redis import EmbeddedRedis
from chatbot_project.embedded.services import BASE_DIR
from chatbot_project.tests.documents import Command, running
from conversations.tests.openai_client import run_curl, run_llm, sync_client
from conversations.tests.stack import START_SECONDS, free_port

pytestmark = [pytest.mark.slow, pytest.mark.faults]

RUNLOCAL = (sys.executable, "manage.py", "runlocal")


class Run:
    """One `runlocal`, its output and its children."""

    def __init__(self, paths: VarPaths, port: int, output: Path, command: Sequence[str] = RUNLOCAL) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.output = output
        outside = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}
        environment = {name: value for name, value in os.environ.items() if name not in outside}
        self.environment = {**environment, "VAR_DIR": str(paths.var_dir), "PORT": str(port)}
        with output.open("w") as file:
            self.process = subprocess.Popen(
                command,
                cwd=BASE_DIR,
                env=self.environment,
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
            with urllib.request.urlopen(f"{self.address}{path}", timeout=60) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def children(self, part: str = "") -> list[psutil.Process]:
        """Those with ``part`` in their command line; without those that end while they are looked at."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if part in " ".join(child.cmdline()):
                    found.append(child)
        return found

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
    assert second.process.wait(START_SECONDS) == 1
    assert f"already running from here: {run.address}" in second.said()

    # A dead child comes back, and so does the service under all of them.
    (worker,) = run.children("runreplies")
    worker.kill()
    redis_pid = EmbeddedRedis(paths).pid()
    assert redis_pid is not None
    os.kill(redis_pid, signal.SIGKILL)
    run.wait_for("replies ended (by SIGKILL); starting it again")
    run.wait_for("redis had ended and runs again")
    assert wait_until(lambda: run.get("/readyz") == 200, START_SECONDS, pause=0.3)

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


def test_what_documents_tell_to_run_does_what_they_say(paths: VarPaths, port: int, tmp_path: Path) -> None:
    """Beside an installation that ``make run`` has started."""
    with running("installation") as left:
        metrics = str(free_port())
        starting = left.take("docs/monitoring.md", "make run")
        assert {left.take("README.md").text, left.take("docs/index.md").text} == {starting.text.split(maxsplit=1)[1]}
        run = Run(paths, port, tmp_path / "output", ["bash", "-c", starting.text.replace("9460", metrics)])
        try:
            run.wait_for("Nono is ready")
            key = new_admins_key(run, left.take("docs/administer.md"))
            clients_talk(run, key, tmp_path)
            for command in left.take_all("docs/openai.md"):
                text = command.text.replace("https://chat.example.org", run.address).replace("nono_sk_…", key)
                assert said_by(run, ["bash", "-c", text] if command.kind == "shell" else [sys.executable, "-c", text])
            text = left.take("docs/monitoring.md", "curl").text.replace("9460", metrics)
            assert "nono_http_requests_total{" in said_by(run, ["bash", "-c", text])
            question_is_followed(run, key, paths, [*left.take_all("docs/monitoring.md")])
            is_well(run, left.take("docs/doctor.md"))
        finally:
            for supervisor in run.children("runlocal"):
                supervisor.send_signal(signal.SIGTERM)
            assert run.process.wait(60) == 0, run.said()


def said_by(run: Run, command: Sequence[str], cwd: Path = BASE_DIR) -> str:
    """What a command says, in the environment of the installation. Fails where it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=run.environment, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def new_admins_key(run: Run, command: Command) -> str:
    """An admin is made in a terminal, and signs in to make an API key."""
    email, password = "first@example.org", "a quite long Passwort"
    prompts = {"E-mail: ": email, "Password: ": password, "Password (again): ": password}
    in_a_terminal(run, command, prompts)
    signed_in = post(f"{run.address}/api/v1/auth/login", {"email": email, "password": password})
    wanted = {"name": "clients", "scopes": ["read", "chat"]}
    return str(post(f"{run.address}/api/v1/auth/api-keys", wanted, signed_in["access"])["key"])


def in_a_terminal(run: Run, command: Command, answers: Mapping[str, str]) -> None:
    """Each answer is typed once its prompt is there: what is typed before is thrown away."""
    own, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command.text], cwd=BASE_DIR, env=run.environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    for prompt, answer in answers.items():
        shown = ""
        while prompt not in shown:
            assert select.select([own], [], [], 60)[0], f"{prompt!r} was not asked: {shown!r}"
            shown += os.read(own, 4096).decode()
        os.write(own, f"{answer}\n".encode())
    assert process.wait(60) == 0
    os.close(own)


def clients_talk(run: Run, key: str, tmp_path: Path) -> None:
    """OpenAI's SDK, the ``llm`` tool and curl, set up as docs/openai.md says, with the local model."""
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
        assert len(chunks) >= 3
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


def question_is_followed(run: Run, key: str, paths: VarPaths, greps: Sequence[Command]) -> None:
    """From the request's id to the reply, and from the reply's to its end, in the logs of all processes."""
    request = str(uuid4())
    headers = {"X-Request-ID": request}
    asked = post(f"{run.address}/api/v1/chat/send", {"text": "What is Nono?"}, key, headers)
    whole = paths.var_dir / "nono.log"

    def found(command: Command, wanted: str) -> list[str]:
        """The lines that ``command`` finds, where ``wanted`` stands for the id in it."""
        whole.write_text("".join(log.read_text(errors="replace") for log in paths.log("x").parent.glob("*.log")))
        text = re.sub(r"(?<=grep )\S+", wanted, command.text)
        done = subprocess.run(["bash", "-c", text], cwd=paths.var_dir, check=False, capture_output=True, text=True)
        return done.stdout.splitlines()

    by_request, by_reply = greps
    reply = asked["reply"]["id"]
    assert any("question.accepted" in line and reply in line for line in found(by_request, request))
    assert wait_until(lambda: any("reply.ended" in line for line in found(by_reply, reply)), 30)


def is_well(run: Run, command: Command) -> None:
    """Whoever asks need not say again at which port it is."""
    said = said_by(run, ["env", "-u", "PORT", "bash", "-c", command.text])
    checks = set(re.findall(r"^\w+ +([\w-]+)", said, re.MULTILINE))
    assert set(re.findall(r"^\w+ {3,}([\w-]+)", "\n".join(command.output), re.MULTILINE)) <= checks
    assert re.search(r"^\d+ ok(, \d+ skipped)?, in \d+\.\d s$", said, re.MULTILINE)


def post(url: str, body: dict[str, Any], token: str = "", headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    signed = {"Authorization": f"Bearer {token}"} if token else {}
    all_of_them = {"Content-Type": "application/json", **signed, **(headers or {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), all_of_them)
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response))
