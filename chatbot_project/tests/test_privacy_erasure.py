"""Erasing a person: asked for, cancelled or done; nothing of them is left, also after an older backup is restored."""

import base64
import io
import json
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts import services
from accounts.models import AuditEvent, DataRequest, ErasureEntry, OutgoingMail, User
from accounts.privacy import erasing, erasure_log, erasures
from accounts.privacy.registry import personal_data
from accounts.privacy.tasks import tend_requests
from accounts.retention import holds
from accounts.tasks import send_waiting_mail
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import PASSWORD, make_admin, make_guest, make_user
from chatbot_project.embedded.postgres import binary_dir
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.tests.people_with_data import marked_person
from chatbot_project.tests.test_privacy_export import die
from conversations.models import Conversation, Message
from conversations.replies.log import log_key
from conversations.tests.factories import make_conversation, make_persona

pytestmark = pytest.mark.django_db
State = DataRequest.State


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A log of erasures and logs of processes of the test's own."""
    settings.ERASURE_LOG = tmp_path / "erasures.jsonl"
    settings.VAR_DIR = tmp_path
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    (tmp_path / "log").mkdir()
    yield tmp_path
    blocking_redis().flushdb()


def erased(user: User) -> ErasureEntry:
    request = erasures.request_erasure(user=user, at_once=True)
    assert erasures.run_erasure(request.pk) is True
    return ErasureEntry.objects.get(pk=request.pk)


# --- Where anything could be left


def database_text() -> str:
    """Every row of every table, as text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            found += [f"{table}: {row[0]}" for row in cursor.fetchall()]
    return "\n".join(found)


def redis_text() -> str:
    client: Any = blocking_redis()
    read = {
        b"string": client.get, b"list": lambda key: client.lrange(key, 0, -1), b"hash": client.hgetall,
        b"set": client.smembers, b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }  # fmt: skip
    found = []
    for key in client.scan_iter():
        value = read[client.type(key)](key)
        bodies = [base64.b64decode(json.loads(raw)["body"]) for raw in value] if key == b"celery" else []
        found.append(repr((key, value, bodies)))
    return "\n".join(found)


def files_text(place: Path) -> str:
    return "\n".join(path.read_bytes().decode(errors="replace") for path in place.rglob("*") if path.is_file())


def everything(place: Path) -> dict[str, str]:
    return {"database": database_text(), "Redis": redis_text(), "files": files_text(place)}


def traces(texts: dict[str, str], needles: dict[str, str]) -> list[tuple[str, str]]:
    """Which needle is found where."""
    return [(where, what) for where, text in texts.items() for what, needle in needles.items() if needle in text]


def leave_traces(user: User, marks: dict[str, str], place: Path) -> None:
    """What running processes leave in Redis, in Celery's queue and in logs."""
    client: Any = blocking_redis()
    reply = Message.objects.filter(owner=user, role="assistant").latest("id")
    Message.objects.filter(pk=reply.pk).update(queued_at=timezone.now())
    marks["a live log"] = "canaryinthelog"
    client.xadd(log_key(reply.pk), {"f": marks["a live log"]}, id="1-1")
    client.set(f"idempotency:{user.pk}:{uuid4().hex}", json.dumps({"body": marks["conversations.Message.text"]}))
    client.set(f"rate:asks:{user.pk}", "1")
    client.hset(f"tokens:2026-11-28:{user.pk}", mapping={"used": 7})
    client.set(f":1:faqs.import:{user.pk}:x", "a file")
    Client().post("/accounts/sign-in/", {"email": user.email, "password": "wrong"})
    for argument in (str(user.pk), str(uuid4())):
        body = base64.b64encode(json.dumps([[argument], {}, {}]).encode()).decode()
        client.lpush("celery", json.dumps({"body": body, "headers": {"task": "x"}}))
    lines = [f'{{"user_id": "{user.pk}"}}', '{"event": "kept"}', f"To: {user.email}", f"by {user.pk.hex}"]
    (place / "log" / "web.log").write_text("\n".join(lines))


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
    assert blocking_redis().llen("celery") == 1
    assert mailoutbox[-1].to == [f"{marks['accounts.User.email']}@example.org"]


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


# --- The log and the receipt


def test_the_log_names_nobody_and_a_line_that_was_cut_off_says_nothing(places: Path) -> None:
    user = make_user("ada@example.org")
    entry = erased(user)
    text = (places / "erasures.jsonl").read_text()
    assert "ada" not in text
    assert str(user.pk) not in text
    (line,) = erasure_log.lines()
    assert (line.id, line.person) == (entry.pk, erasure_log.hashes_of(str(user.pk))[0])
    with (places / "erasures.jsonl").open("a") as file:
        file.write('{"id": "cut')
    assert len(erasure_log.lines()) == 1


def test_a_log_that_was_tampered_with_is_not_read_over(places: Path) -> None:
    erased(make_user())
    (places / "erasures.jsonl").write_text("no line\n")
    with pytest.raises(erasure_log.LogUnreadable):
        erasure_log.lines()
    with pytest.raises(CommandError, match="holds a line that is none"):
        call_command("replay_erasures", check=True)


def test_a_receipt_shows_whose_it_is_to_who_knows_the_address_and_no_change_goes_unseen(settings: Any) -> None:
    user = make_user("ada@example.org")
    make_conversation(user, persona=make_persona())
    receipt = erased(user).receipt
    assert receipt["erased"]["conversations.Conversation"] == 1
    assert erasure_log.is_receipt_of(receipt, "ada@example.org")
    assert not erasure_log.is_receipt_of(receipt, "bob@example.org")
    for change in ({"done_at": "2020-01-01"}, {"signature": "00"}, {"key": "zz"}, {"extra": 1}):
        assert not erasure_log.is_genuine({**receipt, **change})
    assert not erasure_log.is_genuine({})
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert receipt["address"] in erasure_log.hashes_of("ada@example.org")


# --- Asked for, and cancelled


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def member() -> User:
    return make_user("ada@example.org", PASSWORD)


def test_from_the_page_with_the_password_and_back_by_signing_in(mailoutbox: list[Any], settings: Any) -> None:
    user = member()
    make_conversation(user, persona=make_persona(), turns=3)
    page = browser(user)
    shown = page.get("/privacy/erase/").content.decode()
    assert "Questions and replies of all branches" in shown
    assert page.post("/privacy/erase/", {"password": "wrong"}).status_code == 200
    user.refresh_from_db()
    assert user.is_active
    assert page.post("/privacy/erase/", {"password": PASSWORD})["Location"] == "/accounts/sign-in/"
    user.refresh_from_db()
    assert not user.is_active
    request = DataRequest.objects.get()
    assert request.due_at - request.created_at == pytest.approx(timedelta(days=14), abs=timedelta(seconds=5))
    assert page.get("/privacy/").status_code == 302  # signed out
    tend_requests()
    assert Conversation.objects.exists()  # not before it is due

    fresh = Client()
    answer = fresh.post("/accounts/sign-in/", {"email": user.email, "password": PASSWORD})
    assert answer["Location"].startswith("/accounts/link/cancel-erasure/")
    assert fresh.get("/privacy/").status_code == 302  # and nothing else is open
    send_waiting_mail()
    assert f"http://127.0.0.1:8000{answer['Location']}" in mailoutbox[-1].body
    assert "Open my account again" in fresh.get(answer["Location"]).content.decode()
    assert fresh.post(answer["Location"])["Location"] == "/accounts/sign-in/"
    assert fresh.get(answer["Location"]).status_code == fresh.post(answer["Location"]).status_code == 404
    user.refresh_from_db()
    assert user.is_active
    assert fresh.post("/accounts/sign-in/", {"email": user.email, "password": PASSWORD})["Location"] == "/"
    actions = [event.action for event in AuditEvent.objects.order_by("id") if event.action.startswith("erasure")]
    assert actions == ["erasure.requested", "erasure.cancelled"]


def test_a_wrong_password_and_a_forged_link_lead_nowhere() -> None:
    user = member()
    erasures.request_erasure(user=user)
    answer = Client().post("/accounts/sign-in/", {"email": user.email, "password": "wrong"})
    assert (answer.status_code, b"do not sign in" in answer.content) == (200, True)
    assert Client().get("/accounts/link/cancel-erasure/x/").status_code == 404


def test_who_was_suspended_by_staff_is_shown_nothing_of_it() -> None:
    user = member()
    User.objects.filter(pk=user.pk).update(is_active=False)
    answer = Client().post("/accounts/sign-in/", {"email": user.email, "password": PASSWORD})
    assert b"do not sign in" in answer.content


def test_when_it_is_due_it_is_done_and_told(mailoutbox: list[Any]) -> None:
    user = member()
    request = erasures.request_erasure(user=user)
    assert erasures.request_erasure(user=user) == request
    assert erasures.run_erasure(request.pk) is False
    DataRequest.objects.update(due_at=timezone.now())
    tend_requests()
    assert not User.objects.filter(email="ada@example.org").exists()
    send_waiting_mail()
    body = mailoutbox[-1].body
    receipt = json.loads(body[body.index('{"') : body.index("\n", body.index('{"'))])
    assert erasure_log.is_receipt_of(receipt, "ada@example.org")
    assert not OutgoingMail.objects.exists()


def test_guests_are_erased_at_once_without_a_password() -> None:
    guest = make_guest()
    page = browser(guest)
    assert "erased at once" in page.get("/privacy/erase/").content.decode()
    page.post("/privacy/erase/")
    tend_requests()
    assert not User.objects.filter(pk=guest.pk).exists()


def test_the_last_admin_stays() -> None:
    admin = make_admin()
    with pytest.raises(ApplicationError) as refused:
        erasures.request_erasure(user=admin)
    assert refused.value.code == "last_admin"
    assert not DataRequest.objects.exists()


def test_by_the_api() -> None:
    user = member()
    api = ApiClient.of(user)
    plan = {each["model"]: each["rows"] for each in api.get("privacy/erasure").json()["items"]}
    assert plan["accounts.User"] == 1
    assert refusal(api.delete("me", {"password": "wrong"})) == (403, "wrong_password")
    answer = api.delete("me", {"password": PASSWORD})
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    assert refusal(api.get("me")) == (401, "invalid_token")
    cancel = {"email": "ada@example.org", "password": "wrong"}
    assert refusal(ApiClient().post("privacy/erasure/cancel", cancel)) == (401, "sign_in_failed")
    cancel["password"] = PASSWORD
    assert refusal(ApiClient().post("auth/login", cancel)) == (401, "sign_in_failed")
    assert ApiClient().post("privacy/erasure/cancel", cancel).status_code == 204
    assert refusal(ApiClient().post("privacy/erasure/cancel", cancel)) == (401, "sign_in_failed")
    assert ApiClient().post("auth/login", cancel).status_code == 200


def test_by_the_command() -> None:
    user = member()
    make_conversation(user, persona=make_persona())
    out = io.StringIO()
    call_command("erase_user", "ADA@example.org", dry_run=True, stdout=out)
    assert "conversations.Message" in out.getvalue()
    assert User.objects.filter(pk=user.pk, is_active=True).exists()
    call_command("erase_user", "ada@example.org", grace=True, stdout=io.StringIO())
    out = io.StringIO()
    call_command("erase_user", "ada@example.org", apply=True, stdout=out)
    receipt = json.loads(out.getvalue())
    assert erasure_log.is_receipt_of(receipt, "ada@example.org")
    assert UUID(receipt["erasure"])
    assert not User.objects.exists()
    with pytest.raises(CommandError, match="Nobody"):
        call_command("erase_user", "ada@example.org", apply=True)
    make_admin(email="root@example.org")
    with pytest.raises(CommandError, match="admin"):
        call_command("erase_user", "root@example.org", apply=True)


def test_what_is_under_a_legal_hold_waits_for_its_release_and_is_not_told_of_it() -> None:
    user, admin = member(), make_admin()
    hold = holds.place(actor=admin, person=user, reason="A court asks for it.")
    assert "accounts.LegalHold" not in {each.label for each in erasing.plan(user)}
    request = erasures.request_erasure(user=user, at_once=True)
    assert erasures.run_erasure(request.pk) is False
    tend_requests()
    assert User.objects.filter(pk=user.pk, is_active=False).exists()
    with pytest.raises(CommandError, match="hold"):
        call_command("erase_user", "ada@example.org", apply=True)
    holds.release(actor=admin, hold=hold, reason="It has what it needs.")
    tend_requests()
    assert not User.objects.filter(pk=user.pk).exists()


def test_cancelling_is_no_way_around_a_suspension() -> None:
    user, admin = member(), make_admin()
    request = erasures.request_erasure(user=user)
    services.set_suspended(actor=admin, user=user, suspended=True, reason="x")
    token = erasures.cancel_token(request)
    answer = Client().post(f"/accounts/link/cancel-erasure/{token}/", follow=True)
    assert "Nothing was erased." in answer.content.decode()
    user.refresh_from_db()
    assert not user.is_active
    second = erasures.request_erasure(user=user)  # as an operator may, for whoever is suspended
    assert erasures.cancel_erasure(second.pk) == user
    user.refresh_from_db()
    assert not user.is_active
