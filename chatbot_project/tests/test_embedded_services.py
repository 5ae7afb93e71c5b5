"""Which commands start the embedded services, who shares them, and when they stop."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot_project.embedded.dotenv import load_dotenv, parse_dotenv
from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.processes import EmbeddedError
from chatbot_project.embedded.redis import EmbeddedRedis
from chatbot_project.embedded.services import (
    BASE_DIR,
    Services,
    kept_secret,
    needs_services,
    running_supervisor,
    use_secret_key,
    use_what_runs,
    var_paths,
)

# Redis alone: the rules are the same for both, and it starts in a fiftieth of a second.
REDIS_ONLY = {"DATABASE_URL": "postgresql://elsewhere/nono"}


@pytest.fixture
def paths() -> Iterator[VarPaths]:
    with tempfile.TemporaryDirectory(prefix="nono-var-") as var_dir:
        yield VarPaths(Path(var_dir).resolve())


@pytest.mark.parametrize(
    "command",
    [
        "", "help", "help migrate", "--help", "--version", "version", "check", "check --deploy", "makemessages -a",
        "compilemessages", "collectstatic --noinput", "migrate --help", "runlocal",
    ],
)  # fmt: skip
def test_a_command_without_database_starts_nothing(command: str) -> None:
    assert not needs_services(["manage.py", *command.split()])


@pytest.mark.parametrize(
    "command", ["migrate", "runweb --port 8000", "runreplies", "shell", "check --database default", "makemigrations"]
)
def test_a_command_with_database_starts_the_services(command: str) -> None:
    assert needs_services(["manage.py", *command.split()])


def test_services_configured_from_outside_are_not_embedded(paths: VarPaths) -> None:
    assert Services(paths, {"DATABASE_URL": "postgresql://db/nono", "REDIS_URL": "redis://cache"}).embedded == []
    assert [type(part) for part in Services(paths, REDIS_ONLY).embedded] == [EmbeddedRedis]
    assert len(Services(paths, {"DATABASE_URL": " ", "REDIS_URL": ""}).embedded) == 2


def test_the_second_user_keeps_the_services_when_the_first_leaves(paths: VarPaths) -> None:
    redis_server = EmbeddedRedis(paths)
    first, second = Services(paths, REDIS_ONLY), Services(paths, REDIS_ONLY)
    first.acquire()
    pid = redis_server.pid()
    second.acquire()
    try:
        first.release()
        assert redis_server.pid() == pid
    finally:
        second.release()
        first.embedded[0].stop()  # reaps the process it started and another stopped
    assert not redis_server.is_running()


def test_a_service_that_died_is_started_again_for_its_users(paths: VarPaths) -> None:
    services = Services(paths, REDIS_ONLY)
    services.acquire()
    try:
        assert services.revive() == []
        pid = EmbeddedRedis(paths).pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        services.embedded[0]._process.wait(5)  # type: ignore[union-attr]
        assert services.revive() == ["redis"]
        assert EmbeddedRedis(paths).is_running()
    finally:
        services.release()


def test_what_a_killed_user_left_running_is_used_and_then_stopped(paths: VarPaths) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from chatbot_project.embedded.paths import VarPaths\n"
        "from chatbot_project.embedded.services import Services\n"
        "Services(VarPaths(pathlib.Path(sys.argv[1])), {'DATABASE_URL': 'x'}).acquire()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(paths.var_dir)], cwd=BASE_DIR, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = EmbeddedRedis(paths).pid()
    assert left is not None
    services = Services(paths, REDIS_ONLY)
    services.acquire()
    assert EmbeddedRedis(paths).pid() == left
    services.release()
    assert not EmbeddedRedis(paths).is_running()


def test_a_forked_child_does_not_stop_its_parents_services(paths: VarPaths) -> None:
    services = Services(paths, REDIS_ONLY)
    services.acquire()
    try:
        services._owner = os.getpid() + 1  # as a fork sees it
        services.release()
        assert EmbeddedRedis(paths).is_running()
    finally:
        services._owner = os.getpid()
        services.release()


def test_a_failed_start_leaves_nothing_running(paths: VarPaths) -> None:
    services = Services(paths, REDIS_ONLY)
    broken = EmbeddedRedis(VarPaths(paths.var_dir / "second"))
    (paths.var_dir / "second").write_text("a file where a directory should be")
    services.embedded.append(broken)
    with pytest.raises(OSError, match="second"):
        services.acquire()
    assert not EmbeddedRedis(paths).is_running()


def test_the_secret_key_is_made_once_and_only_its_owner_reads_it(paths: VarPaths) -> None:
    first: dict[str, str] = {}
    second: dict[str, str] = {"SECRET_KEY": ""}
    use_secret_key(paths, first)
    use_secret_key(paths, second)
    assert first == second
    assert len(first["SECRET_KEY"]) >= 50
    assert stat.S_IMODE(paths.secret_key.stat().st_mode) == 0o600
    own = {"SECRET_KEY": "own"}
    use_secret_key(paths, own)
    assert own == {"SECRET_KEY": "own"}


def test_two_who_make_a_secret_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def overtaken() -> str:
        assert kept_secret(path, lambda: "the other's") == ("the other's", True)
        return "mine"

    assert kept_secret(path, overtaken) == ("the other's", False)
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_relative_var_dir_counts_from_the_repository() -> None:
    assert var_paths({}).var_dir == BASE_DIR / "var"
    assert var_paths({"VAR_DIR": "other"}).var_dir == BASE_DIR / "other"
    assert var_paths({"VAR_DIR": "/srv/nono"}).var_dir == Path("/srv/nono")


def test_no_supervisor_is_reported_from_a_state_file_alone(paths: VarPaths) -> None:
    paths.state.mkdir()
    paths.supervisor_lock.touch()
    paths.supervisor_state.write_text('{"local_llm_url": "http://127.0.0.1:1/v1"}')
    assert running_supervisor(paths) == {}


@pytest.mark.parametrize(
    ("configured", "serves", "expected"),
    [
        ({}, False, {"LOCAL_LLM_URL": "http://127.0.0.1:1/v1", "BASE_URL": "http://127.0.0.1:8123"}),
        ({}, True, {"LOCAL_LLM_URL": "http://127.0.0.1:1/v1"}),
        ({"PORT": "9"}, False, {"LOCAL_LLM_URL": "http://127.0.0.1:1/v1", "PORT": "9"}),
        ({"BASE_URL": "https://a.b", "LOCAL_LLM_URL": "x"}, False, {"BASE_URL": "https://a.b", "LOCAL_LLM_URL": "x"}),
    ],
)
def test_a_command_finds_what_a_running_installation_serves_where_nothing_is_configured(
    paths: VarPaths, configured: dict[str, str], serves: bool, expected: dict[str, str]
) -> None:
    paths.state.mkdir()
    paths.supervisor_state.write_text('{"local_llm_url": "http://127.0.0.1:1/v1", "address": "http://127.0.0.1:8123"}')
    with paths.supervisor_lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = dict(configured)
        use_what_runs(paths, environment, serves=serves)
    assert environment == expected
    stopped = dict(configured)
    use_what_runs(paths, stopped, serves=serves)
    assert stopped == configured


def test_dotenv_reads_names_quotes_and_comments() -> None:
    text = "# models\nA=1\nexport B = two words # why\nC='single # kept'\nD=\"double\"\nE=\n\nF=a=b&c\n"
    assert parse_dotenv(text) == {
        "A": "1", "B": "two words", "C": "single # kept", "D": "double", "E": "", "F": "a=b&c",
    }  # fmt: skip


@pytest.mark.parametrize("line", ["not a setting", "1A=2", "A='open", "=x", 'A="x" y'])
def test_dotenv_names_the_line_it_cannot_read_without_showing_it(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"GOOD=1\n{line}\n")
    with pytest.raises(EmbeddedError, match="line 2") as raised:
        load_dotenv(tmp_path / ".env", {})
    assert line not in str(raised.value)


def test_dotenv_never_overrides_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    environment = {"A": "shell"}
    load_dotenv(tmp_path / ".env", environment)
    load_dotenv(tmp_path / "absent", environment)
    assert environment == {"A": "shell", "B": "file"}
