"""A copy of a person's data: all of it, theirs alone, whole or not at all, fetched once."""

import io
import json
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from django.conf import settings
from django.db import OperationalError as DatabaseOperationalError
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import AuditEvent, DataRequest, ExportChunk, OutgoingMail, User
from accounts.privacy import erasures, exports, registry
from accounts.privacy.archive import archive, json_schema, parts
from accounts.privacy.sealing import PIECE, pieces_of, seal, unseal
from accounts.privacy.tasks import make_export, tend_requests
from accounts.sealing import Unreadable
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import make_guest, make_user
from chatbot_project.embedded.paths import default_database_url
from chatbot_project.lib.ids import uuid7
from chatbot_project.tests.people_with_data import marked_person
from conversations.models import Message
from conversations.tests.factories import make_conversation, make_persona

pytestmark = pytest.mark.django_db
State = DataRequest.State


def opened(person: User) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(archive(person, at=timezone.now()))))


def made(person: User) -> DataRequest:
    request = exports.request_export(user=person)
    assert make_export(str(request.pk))
    request.refresh_from_db()
    return request


def fetched(person: User, request: DataRequest) -> bytes | None:
    data = exports.take_export(user=person, request_id=request.pk)
    return None if data is None else b"".join(data)


# --- What is in it


def test_all_that_a_person_wrote_is_in_it_as_json_and_to_read() -> None:
    person, marks = marked_person(make_persona())
    file = opened(person)
    assert file.testzip() is None
    told = "".join(file.read(name).decode() for name in file.namelist() if name.startswith("data/"))
    read = "".join(file.read(name).decode() for name in file.namelist() if name.startswith("pages/"))
    left_out = {"admin.LogEntry.object_repr", "admin.LogEntry.change_message"}  # of the one who did it
    left_out |= {"conversations.Message.client_id", "conversations.Message.continued_as"}  # programs' own names
    for field, mark in marks.items():
        if field not in left_out:
            assert mark in told, field
            assert mark in read, field


def test_it_has_the_published_schema() -> None:
    person, _marks = marked_person(make_persona())
    file, schema = opened(person), json_schema()
    assert json.loads((settings.BASE_DIR / "docs" / "export.schema.json").read_text()) == schema
    assert json.loads(file.read("export.schema.json")) == schema
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    manifest = json.loads(file.read("export.json"))
    validator.validate(manifest)
    for part in parts():
        content = json.loads(file.read(f"data/{part.name}.json"))
        validator.validate(content)
        assert manifest["sections"][part.name] == len(content["rows"])
    assert manifest["sections"]["messages"] == 6
    assert {each.section for each in registry.personal_data() if each.section} < {*manifest["sections"]}
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**manifest, "person": 7})


def test_nothing_of_another_is_in_it() -> None:
    persona = make_persona()
    person, _marks = marked_person(persona)
    other, marks = marked_person(persona)
    content = b"".join(opened(person).read(name) for name in opened(person).namelist()).decode()
    assert str(other.pk) not in content
    assert not [field for field, mark in marks.items() if mark in content]


def test_no_secret_is_in_it() -> None:
    person = make_user("me@example.org", "correct horse battery")
    content = b"".join(opened(person).read(name) for name in opened(person).namelist()).decode()
    assert person.password not in content


def test_what_people_wrote_is_inert_in_what_is_read() -> None:
    person = make_user()
    conversation = make_conversation(person, persona=make_persona())
    text = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    Message.objects.filter(conversation=conversation).update(text=text)
    file = opened(person)
    for name in file.namelist():
        if name.endswith(".html"):
            page = file.read(name).decode()
            assert "<script" not in page
            assert "<img" not in page
            assert "default-src 'none'" in page
    assert "&lt;script&gt;alert(1)" in file.read("pages/messages-1.html").decode()


def test_many_rows_are_on_several_pages_and_what_is_held_is_bounded() -> None:
    person = make_user()
    conversation = make_conversation(person, persona=make_persona())
    rows = [
        Message(conversation=conversation, owner=person, role="user", status="sent", text=f"{number} " + "x" * 2000)
        for number in range(12_000)
    ]
    Message.objects.bulk_create(rows, batch_size=2000)
    del rows
    tracemalloc.start()
    for _piece, _is_last in pieces_of(archive(person, at=timezone.now())):
        pass
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * 1024 * 1024  # of 24 MB of text, twice
    names = opened(person).namelist()
    assert {"pages/messages-1.html", "pages/messages-13.html"} <= {*names}
    assert "pages/messages-14.html" not in names


# --- Made


def test_asking_twice_makes_one_copy_and_tells_by_mail(mailoutbox: Any) -> None:
    person = make_user()
    request = exports.request_export(user=person)
    assert exports.request_export(user=person) == request
    assert make_export(str(request.pk)) is True
    assert make_export(str(request.pk)) is False
    assert OutgoingMail.objects.filter(kind="export_ready").count() == 1
    assert [event.action for event in AuditEvent.objects.order_by("id")][-2:] == ["export.requested", "export.made"]
    request.refresh_from_db()
    assert (request.state, request.expires_at - request.finished_at) == (State.READY, timedelta(days=7))
    assert exports.request_export(user=person) == request
    from accounts.tasks import send_waiting_mail

    send_waiting_mail()
    (mail,) = mailoutbox
    assert f"/accounts/link/export/{exports.export_token(request)}/" in mail.body
    assert mail.alternatives


def test_a_broker_that_is_away_leaves_it_to_the_next_round(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def away(*args: object, **options: object) -> None:
        raise OperationalError

    monkeypatch.setattr(make_export, "apply_async", away)
    with django_capture_on_commit_callbacks(execute=True):
        request = exports.request_export(user=make_user())
    assert tend_requests() == 1
    request.refresh_from_db()
    assert request.state == State.READY


def test_one_that_fails_keeps_neither_others_nor_pauses_nor_erasures_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, leaving = make_user(), make_user(), make_user()
    paused = make_user(restricted_at=timezone.now(), restriction_ends_at=timezone.now())
    failing, other = exports.request_export(user=first), exports.request_export(user=second)
    erasures.request_erasure(user=leaving, at_once=True)
    write = exports.archive

    def fail_for_one(person: User, **options: Any) -> Any:
        if person == first:
            raise ValueError("not to be written")
        return write(person, **options)

    monkeypatch.setattr(exports, "archive", fail_for_one)
    with pytest.raises(ValueError, match="not to be written"):  # so that it is told as a failure
        tend_requests()
    assert [DataRequest.objects.get(pk=each.pk).state for each in (failing, other)] == [State.WAITING, State.READY]
    paused.refresh_from_db()
    assert paused.restricted_at is None
    assert not User.objects.filter(pk=leaving.pk).exists()


def test_it_is_encrypted_where_it_lies() -> None:
    person, marks = marked_person(make_persona())
    request = made(person)
    stored = b"".join(bytes(chunk.data) for chunk in request.chunks.all())
    assert not [mark for mark in marks.values() if mark.encode() in stored]
    assert not stored.startswith(b"PK")
    data = fetched(person, request)
    assert data is not None
    assert (data[:2], len(data)) == (b"PK", request.size)


@pytest.mark.django_db(transaction=True)
def test_twenty_workers_at_once_make_one() -> None:
    person = make_user()
    request = exports.request_export(user=person)

    def work() -> bool:
        try:
            return exports.make_export(request.pk)
        except DatabaseOperationalError:  # somebody else has made it in the state that this one reads
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(lambda _number: work(), range(20))) == 1
    assert OutgoingMail.objects.filter(kind="export_ready").count() == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_at_twenty_random_points_nothing_is_half_and_the_next_run_completes() -> None:
    person, _marks = marked_person(make_persona(), turns=3)
    request = exports.request_export(user=person)
    points = random.Random(20).sample(range(1, 45), 20)
    outcomes = die("accounts.privacy.tasks:make_export", str(request.pk), points)
    assert outcomes.count("killed") >= 15, outcomes
    assert "failed" not in outcomes
    request.refresh_from_db()
    if request.state == State.WAITING:
        assert not ExportChunk.objects.exists()
        assert tend_requests() == 1
    data = fetched(person, request)
    assert data is not None
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    assert OutgoingMail.objects.filter(kind="export_ready").count() == 1


def die(function: str, argument: str, points: list[int]) -> list[str]:
    """Outcomes of runs that are killed at ``points`` (dying.py)."""
    url = default_database_url(Path(os.environ["VAR_DIR"])).replace("/nono?", f"/{connection.settings_dict['NAME']}?")
    command = [sys.executable, "-m", "chatbot_project.tests.dying", function, argument, *map(str, points)]
    done = subprocess.run(
        command, env={**os.environ, "DATABASE_URL": url}, cwd=settings.BASE_DIR, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# --- Fetched


def test_the_link_works_once_signed_in_for_its_person() -> None:
    person, other = make_user(), make_user()
    address = f"/accounts/link/export/{exports.export_token(made(person))}/"
    assert Client().get(address)["Location"].startswith("/accounts/sign-in/")
    assert browser(other).get(address).status_code == browser(other).post(address).status_code == 404
    assert "works once" in browser(person).get(address).content.decode()
    assert browser(person).get(address).status_code == 200  # looking uses nothing up
    answer = browser(person).post(address)
    assert (answer.status_code, answer["Content-Type"], answer["Cache-Control"].split(",")[0]) == (
        200,
        "application/zip",
        "no-store",
    )
    assert zipfile.ZipFile(io.BytesIO(b"".join(answer))).testzip() is None
    assert browser(person).get(address).status_code == browser(person).post(address).status_code == 404
    assert AuditEvent.objects.filter(action="export.fetched").count() == 1


@pytest.mark.parametrize("token", ["x", "WyJ4Il0:1tq9:3Jx", "../../etc/passwd"])
def test_a_forged_link_is_not_there(token: str) -> None:
    person = make_user()
    made(person)
    assert browser(person).get(f"/accounts/link/export/{token}/").status_code == 404
    assert exports.find_export(user=person, token=token) is None


def test_an_expired_one_is_not_there_and_is_removed() -> None:
    person = make_user()
    request = made(person)
    token = exports.export_token(request)
    DataRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert browser(person).get(f"/accounts/link/export/{token}/").status_code == 404
    assert fetched(person, request) is None
    tend_requests()
    assert not ExportChunk.objects.exists()
    request.refresh_from_db()
    assert request.state == State.EXPIRED
    assert exports.request_export(user=person) != request


def test_a_fetched_copy_stays_an_hour_for_the_transfer() -> None:
    person = make_user()
    request = made(person)
    assert fetched(person, request)
    tend_requests()
    assert ExportChunk.objects.exists()
    DataRequest.objects.filter(pk=request.pk).update(expires_at=timezone.now())
    tend_requests()
    assert not ExportChunk.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_twenty_who_fetch_at_once_one_gets_it() -> None:
    person = make_user()
    request = made(person)

    def fetch() -> bool:
        try:
            return exports.take_export(user=person, request_id=request.pk) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(lambda _number: fetch(), range(20))) == 1


def test_the_page_asks_tells_and_leads_to_it() -> None:
    for person in (make_user(), make_guest()):
        page = browser(person)
        assert "Ask for a copy" in page.get("/privacy/").content.decode()
        assert page.post("/privacy/export/")["Location"] == "/privacy/"
        assert "Your copy is being made." in page.get("/privacy/").content.decode()
        tend_requests()
        assert "/accounts/link/export/" in page.get("/privacy/").content.decode()
    assert page.get("/privacy/export/").status_code == 405
    assert Client().post("/privacy/export/").status_code == 302


def test_by_the_api() -> None:
    person, other = make_user(), make_user()
    api = ApiClient.of(person)
    asked = api.post("privacy/exports")
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    place = f"privacy/exports/{asked.json()['id']}"
    assert api.post(f"{place}/fetch").status_code == 404
    tend_requests()
    assert api.get(place).json()["state"] == "ready"
    for stranger in (ApiClient.of(other), ApiClient.of(make_guest())):
        assert stranger.get(place).status_code == stranger.post(f"{place}/fetch").status_code == 404
    answer = api.call("post", f"{place}/fetch", {}, Accept="application/zip")
    assert zipfile.ZipFile(io.BytesIO(b"".join(answer))).testzip() is None
    assert api.post(f"{place}/fetch").json()["code"] == "not_found"
    assert api.get("privacy/exports").json()["items"][0]["state"] == "used"


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


# --- Sealing


def test_a_piece_that_was_changed_moved_or_cut_off_is_not_read(settings: Any) -> None:
    copy = uuid7()
    sealed = seal(copy, 3, b"words", is_last=False)
    assert unseal(copy, 3, sealed, is_last=False) == b"words"
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for args, is_last in (((copy, 3, changed), False), ((copy, 2, sealed), False), ((copy, 3, sealed), True)):
        with pytest.raises(Unreadable):
            unseal(*args, is_last=is_last)
    with pytest.raises(Unreadable):
        unseal(UUID(int=1), 3, sealed, is_last=False)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert unseal(copy, 3, sealed, is_last=False) == b"words"


def test_pieces_join_to_what_was_given() -> None:
    data = [b"", b"a" * (PIECE - 1), b"b" * 3, b"c" * (3 * PIECE), b""]
    pieces = list(pieces_of(iter(data)))
    assert b"".join(piece for piece, _is_last in pieces) == b"".join(data)
    assert [is_last for _piece, is_last in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(len(piece) == PIECE for piece, _is_last in pieces[:-1])
    assert list(pieces_of(iter([]))) == [(b"", True)]
