"""Erasing a person: nothing of them is left, also after an older backup is restored, or when it is killed half-way."""

import base64
import gzip
import io
import json
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import AuditEvent, DataRequest, ErasureEntry, OutgoingMail, User
from accounts.privacy import erasing, erasure_log, erasures
from accounts.privacy.registry import personal_data
from accounts.privacy.tasks import tend_requests
from accounts.tasks import send_waiting_mail
from accounts.tests.factories import make_user
from chatbot_project.embedded.postgres import binary_dir
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.lib.task_order import KEYS
from chatbot_project.tests.erased import database_text, erased, everything, leave_traces, places, traces
from chatbot_project.tests.people_with_data import marked_person
from chatbot_project.tests.test_privacy_export import die
from conversations.models import Conversation
from conversations.tests.factories import make_conversation, make_persona

__all__ = ["places"]  # a fixture
pytestmark = pytest.mark.django_db
State = DataRequest.State


def test_nothing_of_a_person_is_left_and_all_of_others(places: Path, mailoutbox: list[Any]) -> None:
    persona = make_persona()
    user, marks = marked_person(persona)
    other, others_marks = marked_person(persona)
    leave_traces(user, marks, places)
    marks |= {"id": str(user.pk), "hex": user.pk.hex}
    written = {f"{each.label}.{field}" for each in personal_data() for field in each.written}
    assert written - {*marks} == set(), "every field that people write has its mark"
    before = everything(places)
    found = {what for _where, what in traces(before, marks)}
    assert found == {*marks} - {"accounts.AuditEvent.reason"}, "each mark is somewhere before"  # encrypted there

    erased(user)
    send_waiting_mail()
    assert traces(everything(places), marks) == []
    assert not User.objects.filter(pk=user.pk).exists()
    still = {what for _where, what in traces(everything(places), others_marks)}
    assert still == {*others_marks} - {"accounts.AuditEvent.reason"}
    assert other in User.objects.all()
    assert '{"event": "kept"}' in (places / "log" / "web.log").read_text()
    for key in KEYS:
        waiting = [json.loads(each)["headers"]["task"] for each in blocking_redis().lrange(key, 0, -1)]
        assert waiting.count("x") == 1  # somebody else's; a worker of an earlier test may have left what it had done
    assert mailoutbox[-1].to == [f"{marks['accounts.User.email']}@example.org"]


def in_a_table_that_nobody_declared(mark: str, place: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE stray AS SELECT %s AS words", [mark])


def in_a_column_of_bytes(mark: str, place: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE stray AS SELECT convert_to(%s, 'UTF8') AS bytes", [mark])


def in_redis(mark: str, place: Path) -> None:
    blocking_redis().zadd("stray", {mark: 1})


def in_a_task_at_a_worker(mark: str, place: Path) -> None:
    body = base64.b64encode(json.dumps([[mark], {}, {}]).encode()).decode()
    blocking_redis().hset("unacked", "tag", json.dumps([{"body": body}, "", "celery"]))


def in_a_file_elsewhere(mark: str, place: Path) -> None:
    (place / "stray").mkdir()
    (place / "stray" / "words.txt").write_text(f"so {mark} it is")


def in_a_log_that_was_compressed(mark: str, place: Path) -> None:
    (place / "log" / "web.log.1.gz").write_bytes(gzip.compress(mark.encode()))


STRAYS = [
    (in_a_table_that_nobody_declared, "database"), (in_a_column_of_bytes, "database"), (in_redis, "Redis"),
    (in_a_task_at_a_worker, "Redis"), (in_a_file_elsewhere, "files"), (in_a_log_that_was_compressed, "files"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "where"), STRAYS)
def test_what_erasure_does_not_reach_is_found(plant: Callable[[str, Path], None], where: str, places: Path) -> None:
    """That the search for traces can fail: of what lies where nothing is declared, it finds each."""
    user, marks = marked_person(make_persona())
    plant(marks["conversations.Message.text"], places)
    erased(user)
    assert {place for place, _what in traces({**everything(places), "database": without_mail()}, marks)} == {where}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_an_older_backup_is_restored_and_replayed(places: Path, settings: Any) -> None:
    """The backup is a real dump, restored into a database of its own, which the command is run on."""
    persona = make_persona()
    user, marks = marked_person(persona)
    marks |= {"id": str(user.pk)}
    backup = places / "backup.sql"
    name, host = connection.settings_dict["NAME"], connection.settings_dict["HOST"]
    place = ["-h", host, "-U", connection.settings_dict["USER"]]
    run([binary_dir() / "pg_dump", *place, "-f", str(backup), name])
    erased(user)
    assert erasure_log.unreplayed() == []

    restored = f"{name}_restored"
    run([binary_dir() / "psql", *place, "-q", "-c", f'CREATE DATABASE "{restored}"', name])
    try:
        run([binary_dir() / "psql", *place, "-q", "-v", "ON_ERROR_STOP=1", "-f", str(backup), restored])
        backup.unlink()
        with other_database(restored):
            assert traces({"database": database_text()}, {"id": str(user.pk)})
            leave_traces(user, marks, places)
            assert {where for where, _what in traces(everything(places), marks)} == {"database", "Redis", "files"}
            assert len(erasure_log.unreplayed()) == 1
            with pytest.raises(CommandError, match="1 to be replayed"):
                call_command("replay_erasures", check=True)
            call_command("replay_erasures", stdout=io.StringIO())
            assert traces(everything(places), marks) == []
            call_command("replay_erasures", check=True)
            call_command("replay_erasures", stdout=io.StringIO())  # again changes nothing
            assert AuditEvent.objects.filter(action="erasure.replayed").count() == 1
    finally:
        run([binary_dir() / "psql", *place, "-q", "-c", f'DROP DATABASE "{restored}" WITH (FORCE)', name])


def run(command: list[Any]) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


class other_database:
    """Within it, Django's connection is to another database of the same server."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.kept = connection.settings_dict["NAME"]
        self._switch(self.name)

    def __exit__(self, *_error: object) -> None:
        self._switch(self.kept)

    def _switch(self, name: str) -> None:
        connection.close()
        connection.close_pool()
        connection.settings_dict["NAME"] = name


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_at_twenty_random_points_the_next_run_completes(places: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("EMAIL_URL", "smtp://127.0.0.1:1")  # mail is queued, and sent by nobody
    monkeypatch.setenv("ERASURE_LOG", str(places / "erasures.jsonl"))
    for seed in range(4):
        user, marks = marked_person(make_persona(), turns=3)
        request = erasures.request_erasure(user=user, at_once=True)
        points = sorted(random.Random(seed).sample(range(1, 70), 5))
        outcomes = die("accounts.privacy.tasks:erase", str(request.pk), points)
        assert "failed" not in outcomes
        assert "killed" in outcomes
        if User.objects.filter(pk=user.pk).exists():
            assert not User.objects.get(pk=user.pk).is_active
            tend_requests()
        assert traces({"database": without_mail()}, {**marks, "id": str(user.pk)}) == []
        entry = ErasureEntry.objects.get(pk=request.pk)
        assert erasure_log.is_genuine(entry.receipt)
        assert erasure_log.unreplayed() == []
    assert OutgoingMail.objects.filter(kind="erasure_done").count() == 4
    assert len(erasure_log.lines()) == 4


def without_mail() -> str:
    """The database without the last mail, which names the address until it is sent."""
    return "\n".join(line for line in database_text().split("\n") if not line.startswith("accounts_outgoingmail"))


@pytest.mark.django_db(transaction=True)
def test_of_ten_who_erase_at_once_one_does_and_all_is_done_once() -> None:
    user = make_user()
    request = erasures.request_erasure(user=user, at_once=True)

    def work(_number: int) -> bool:
        try:
            return erasures.run_erasure(request.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(work, range(10))) == 1
    assert OutgoingMail.objects.filter(kind="erasure_done").count() == 1
    assert AuditEvent.objects.filter(action="erasure.done").count() == 1


def test_while_redis_is_away_it_waits_and_then_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_user()
    request = erasures.request_erasure(user=user, at_once=True)

    def away() -> Any:
        raise RedisConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "blocking_redis", away)
        with pytest.raises(RedisConnectionError):  # so that it is told as a failure
            tend_requests()
    request.refresh_from_db()
    assert request.state == State.RUNNING
    assert erasures.cancel_erasure(request.pk) is None
    tend_requests()
    assert not User.objects.filter(pk=user.pk).exists()


def test_nothing_is_erased_that_is_not_in_the_log_first(settings: Any, places: Path) -> None:
    user = make_user()
    make_conversation(user, persona=make_persona())
    request = erasures.request_erasure(user=user, at_once=True)
    settings.ERASURE_LOG = places / "log"  # a directory
    with pytest.raises(OSError, match="directory"):
        erasures.run_erasure(request.pk)
    assert Conversation.objects.filter(owner=user).exists()
    request.refresh_from_db()
    assert request.state == State.WAITING
