"""The embedded PostgreSQL and Redis, on real processes below a temporary VAR_DIR."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from chatbot_project.embedded.llm import model_file
from chatbot_project.embedded.paths import VarPaths, celery_broker_url, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres, binary_dir
from chatbot_project.embedded.processes import EmbeddedError, is_alive, private_directory, wait_until
from chatbot_project.embedded.redis import EmbeddedRedis, server_binary


@pytest.fixture(scope="module")
def paths() -> Iterator[VarPaths]:
    # Not pytest's directory: as root, PostgreSQL's own user must pass through it, and each session shuts it again.
    with tempfile.TemporaryDirectory(prefix="nono-var-") as var_dir:
        yield VarPaths(Path(var_dir).resolve())


@pytest.fixture
def postgres(paths: VarPaths) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(paths, durable=False, dies_with_parent=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(paths: VarPaths) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(paths, dies_with_parent=True)
    server.start()
    yield server
    server.stop()


def connect(paths: VarPaths) -> psycopg.Connection:
    return psycopg.connect(default_database_url(paths.var_dir), autocommit=True)


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(pid), 5)


def test_sockets_stand_below_var_dir_when_the_path_is_short() -> None:
    assert VarPaths(Path("/srv/nono/var")).postgres_socket == Path("/srv/nono/var/run/postgres/.s.PGSQL.5432")


def test_sockets_move_to_a_short_directory_named_by_var_dir_when_the_path_is_long() -> None:
    one, other = VarPaths(Path("/" + "a" * 90)), VarPaths(Path("/" + "b" * 90))
    assert len(str(one.postgres_socket).encode()) <= 100
    assert one.sockets == VarPaths(one.var_dir).sockets
    assert one.sockets != other.sockets


def test_celery_gets_the_same_redis_in_its_own_spelling() -> None:
    assert celery_broker_url("unix:///v/redis.sock?db=3") == "redis+socket:///v/redis.sock?virtual_host=3"
    assert celery_broker_url("rediss://example.org:6379/1") == "rediss://example.org:6379/1"


def test_a_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(EmbeddedError, match="not a directory of this user"):
        private_directory(tmp_path / "link", uid=os.geteuid(), gid=os.getegid())


def test_postgres_has_vectors_and_knows_unicode_case(postgres: EmbeddedPostgres, paths: VarPaths) -> None:
    with connect(paths) as connection:
        row = connection.execute("SELECT '[3,4]'::vector <-> '[0,0]'::vector, lower('ÀÉ')").fetchone()
        encoding = connection.execute("SHOW server_encoding").fetchone()
    assert row == (5.0, "àé")
    assert encoding == ("UTF8",)


def test_postgres_logs_no_failing_statement_and_no_value(postgres: EmbeddedPostgres, paths: VarPaths) -> None:
    with psycopg.connect(default_database_url(paths.var_dir), autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE secrets (words text PRIMARY KEY)")
        for _time in range(2):
            with contextlib.suppress(psycopg.IntegrityError):
                connection.execute("INSERT INTO secrets VALUES ('what somebody wrote')")
    logged = postgres.log.read_text()
    assert "duplicate key value" in logged
    assert "what somebody wrote" not in logged


def test_postgres_keeps_its_data_through_stop_and_start(postgres: EmbeddedPostgres, paths: VarPaths) -> None:
    with connect(paths) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    postgres.stop()
    assert not postgres.is_running()
    with pytest.raises(psycopg.OperationalError):
        connect(paths)
    assert postgres.start() is True
    with connect(paths) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_postgres_comes_back_after_a_kill_that_left_its_pid_file(postgres: EmbeddedPostgres, paths: VarPaths) -> None:
    with connect(paths) as connection:
        connection.execute("CREATE TABLE survived AS SELECT 1 AS n")
        connection.execute("CHECKPOINT")
    kill(postgres.pid())
    assert (paths.postgres_data / "postmaster.pid").exists()
    assert not postgres.is_running()
    postgres.start()
    with connect(paths) as connection:
        assert connection.execute("SELECT n FROM survived").fetchone() == (1,)


def test_postgres_ignores_a_pid_file_that_names_another_living_process(
    postgres: EmbeddedPostgres, paths: VarPaths
) -> None:
    pid_file = paths.postgres_data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not postgres.is_running()
    postgres.start()
    assert postgres.pid() != os.getpid()


def test_a_second_handle_uses_the_running_postgres_and_can_stop_it(postgres: EmbeddedPostgres, paths: VarPaths) -> None:
    second = EmbeddedPostgres(paths)
    assert second.start() is False
    assert second.pid() == postgres.pid()
    second.stop()
    assert not postgres.is_running()


def test_a_cluster_of_another_version_is_named_and_left_alone(tmp_path: Path) -> None:
    paths = VarPaths(tmp_path.resolve())
    paths.postgres_data.mkdir()
    (paths.postgres_data / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 15, installed is 18"):
        EmbeddedPostgres(paths).start()


def test_redis_answers_and_ends(redis_server: EmbeddedRedis, paths: VarPaths) -> None:
    pid = redis_server.pid()
    assert pid is not None
    assert redis_server.start() is False
    EmbeddedRedis(paths).stop()
    assert not redis_server.is_running()
    assert not is_alive(pid)


def test_redis_comes_back_after_a_kill_that_left_its_socket(redis_server: EmbeddedRedis, paths: VarPaths) -> None:
    import redis

    kill(redis_server.pid())
    assert paths.redis_socket.exists()
    assert redis_server.start() is True
    with redis.Redis.from_url(default_redis_url(paths.var_dir)) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}


def test_only_this_user_reaches_the_sockets(
    postgres: EmbeddedPostgres, redis_server: EmbeddedRedis, paths: VarPaths
) -> None:
    assert paths.postgres_socket_dir.stat().st_mode & 0o077 == 0
    assert paths.redis_socket.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("find", "variable"),
    [(binary_dir, "DATABASE_URL"), (server_binary, "REDIS_URL"), (model_file, "OPENAI_API_KEY")],
)
def test_a_part_without_wheel_for_this_platform_names_the_variable_that_replaces_it(
    find: Callable[[], Path], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find().exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match=variable):
        find()
