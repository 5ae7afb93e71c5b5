"""The supervisor's children, and what it says when it cannot start."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot_project.embedded import children as children_module
from chatbot_project.embedded.children import Child, KeepsDying, end
from chatbot_project.embedded.console import ready_block
from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.processes import is_alive, wait_until
from chatbot_project.embedded.services import BASE_DIR
from chatbot_project.embedded.supervisor import Supervisor

OBEYS = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Child]]:
    made: list[Child] = []
    yield made
    for child in made:
        child.kill()


def start_child(started: list[Child], log: Path, script: str, *, drain_seconds: float = 5) -> Child:
    child = Child("example", [sys.executable, "-c", script], log, dict(os.environ), drain_seconds)
    started.append(child)
    child.start()
    return child


def wait_for_output(child: Child, text: str) -> None:
    assert wait_until(lambda: text in child.log.read_text(), 60), child.log.read_text()


def supervisor_for(paths: VarPaths, port: int) -> Supervisor:
    outside = {"DATABASE_URL": "postgresql://db/nono", "REDIS_URL": "redis://cache"}
    return Supervisor(paths=paths, port=port, default_model="openai/example", providers={"openai"}, environment=outside)


def test_a_dead_child_is_reported_and_started_again(
    tmp_path: Path, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "FIRST_PAUSE_SECONDS", 0.01)
    child = start_child(started, tmp_path / "example.log", OBEYS)
    assert child.watch() == ""
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    child.process.wait()
    news = child.watch()
    assert "example ended (by SIGKILL)" in news
    assert str(child.log) in news
    assert wait_until(lambda: child.watch() == "" and child.is_up(), 60)
    assert child.process.pid != first


def test_the_pause_before_a_restart_grows(tmp_path: Path, started: list[Child]) -> None:
    child = start_child(started, tmp_path / "example.log", "raise SystemExit(3)")
    assert child.wait(5)
    assert "exit code 3" in child.watch()
    first_pause = child.start_at - child.deaths[-1]
    child.start_at = 0.0
    child.watch()
    assert child.start_at - child.deaths[-1] == pytest.approx(2 * first_pause)


def test_a_child_that_keeps_dying_is_given_up(
    tmp_path: Path, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(children_module, "MOST_DEATHS", 3)
    child = start_child(started, tmp_path / "example.log", "raise SystemExit('no such setting')")

    def watch_to_the_end() -> None:
        for _ in range(20):
            assert child.wait(5)
            child.watch()

    with pytest.raises(KeepsDying, match="does not stay up: it ended with exit code 1, 3 times"):
        watch_to_the_end()
    assert child.log.read_text().count("no such setting") == 3


def test_children_are_asked_to_end_and_the_stubborn_are_killed(tmp_path: Path, started: list[Child]) -> None:
    good = start_child(started, tmp_path / "good.log", OBEYS)
    bad = start_child(started, tmp_path / "bad.log", STUBBORN, drain_seconds=0.2)
    bad.name = "bad"
    wait_for_output(good, "up")
    wait_for_output(bad, "up")
    assert end([good, bad]) == ["bad"]
    assert good.process is not None
    assert good.process.returncode == 0
    assert not bad.is_up()


def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, signal, sys\n"
        "from chatbot_project.embedded.children import Child\n"
        "child = Child('x', [sys.executable, '-c', 'import time; time.sleep(60)'], pathlib.Path(sys.argv[1]), {}, 1)\n"
        "child.start()\n"
        "print(child.process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "x.log")]
    with subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert is_alive(child)
        supervisor.kill()
    assert wait_until(lambda: not is_alive(child), 5)


def test_only_warnings_and_worse_are_shown_once(tmp_path: Path, started: list[Child]) -> None:
    lines = (
        "info: fine\\nWARNING: disk nearly full\\n2026 [error    ] reply.failed\\nValueError: bad\\nwarning without end"
    )
    child = start_child(started, tmp_path / "example.log", f"print('{lines}', end='')")
    assert child.wait(5)
    assert child.warnings() == ["WARNING: disk nearly full", "2026 [error    ] reply.failed", "ValueError: bad"]
    assert child.warnings() == []


def test_a_log_that_grew_too_long_is_put_aside(
    tmp_path: Path, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "MAX_LOG_BYTES", 10)
    (tmp_path / "example.log").write_text("what was written before\n")
    child = start_child(started, tmp_path / "example.log", "print('new')")
    assert child.wait(5)
    assert child.log.read_text() == "new\n"
    assert (tmp_path / "example.log.1").read_text() == "what was written before\n"


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert supervisor_for(VarPaths(tmp_path), port).run() == 1
    said = capsys.readouterr().out
    assert f"Port {port} cannot be used" in said
    assert f"make run PORT={port + 1}" in said


def test_a_second_supervisor_says_where_the_first_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = VarPaths(tmp_path)
    paths.state.mkdir()
    paths.supervisor_state.write_text(json.dumps({"pid": 4711, "address": "http://127.0.0.1:8123"}))
    with paths.supervisor_lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert supervisor_for(paths, 8123).run() == 1
    said = capsys.readouterr().out
    assert "already running from here: http://127.0.0.1:8123" in said
    assert "kill 4711" in said
    assert paths.supervisor_state.exists()


def test_signals_are_as_before_after_a_run(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as other:
        supervisor_for(VarPaths(tmp_path), other.getsockname()[1]).run()
    assert signal.getsignal(signal.SIGTERM) is before


def block(tmp_path: Path, **changes: object) -> str:
    values = {
        "address": "http://127.0.0.1:8000", "admin_email": "admin@nono.local", "password": "",
        "password_file": tmp_path / "admin_password", "model": "openai/example", "small": False,
    }  # fmt: skip
    return ready_block(**(values | changes))  # type: ignore[arg-type]


def test_the_password_is_shown_when_it_was_made_and_its_place_later(tmp_path: Path) -> None:
    assert "password s3cret" in block(tmp_path, password="s3cret")
    (tmp_path / "admin_password").write_text("s3cret\n")
    later = block(tmp_path)
    assert "s3cret" not in later
    assert str(tmp_path / "admin_password") in later


def test_only_the_small_model_comes_with_advice_for_a_better_one(tmp_path: Path) -> None:
    assert "OPENAI_API_KEY=" in block(tmp_path, small=True)
    assert "OPENAI_API_KEY=" not in block(tmp_path)


def test_a_default_model_without_provider_is_named_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor = supervisor_for(VarPaths(tmp_path), 0)
    supervisor.providers = {"groq"}
    assert supervisor.run() == 1
    assert "DEFAULT_MODEL=groq/" in capsys.readouterr().out
    assert supervisor.children == []
