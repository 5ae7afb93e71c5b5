"""The link to a copy: what uses it up, and what does not."""

import io
import zipfile
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, DataRequest, ExportChunk, User
from accounts.privacy import exports, sealing
from accounts.privacy.tasks import make_export
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db
State = DataRequest.State


@pytest.fixture
def person() -> User:
    return make_user()


@pytest.fixture
def link(person: User, monkeypatch: pytest.MonkeyPatch) -> str:
    """To a copy of many pieces."""
    monkeypatch.setattr(sealing, "PIECE", 2000)
    request = exports.request_export(user=person)
    make_export(str(request.pk))
    assert ExportChunk.objects.count() > 5
    return f"/accounts/link/export/{exports.export_token(request)}/"


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def fetch(page: Client, link: str) -> Any:
    answer = page.post(link)
    return b"".join(answer) if answer.status_code == 200 else answer.status_code


def is_whole(data: bytes) -> bool:
    return zipfile.ZipFile(io.BytesIO(data)).testzip() is None


def test_scanners_of_mail_use_nothing_up(person: User, link: str) -> None:
    """They come without a session, with the person's at most, and follow links by GET and HEAD."""
    for client in (Client(), browser(person)):
        for method in (client.head, client.get, client.options):
            assert method(link).status_code in (200, 302)
    assert Client().post(link)["Location"].startswith("/accounts/sign-in/")
    assert DataRequest.objects.get().state == State.READY
    assert is_whole(fetch(browser(person), link))
    assert browser(person).head(link).status_code == 404


def test_a_form_on_another_site_uses_nothing_up(person: User, link: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    assert strict.post(link, headers={"Origin": "https://evil.example"}).status_code == 403
    assert DataRequest.objects.get().state == State.READY


@pytest.mark.django_db(transaction=True)  # closing an answer gives its connection back
def test_a_transfer_that_broke_off_can_be_repeated_and_a_whole_one_cannot(person: User, link: str) -> None:
    before = DataRequest.objects.get().expires_at
    page = browser(person)
    for pieces in (0, 1, 4):
        answer = page.post(link)
        data = iter(answer)
        assert all(next(data) for _number in range(pieces))
        assert fetch(page, link) == 404  # while it goes on, nobody else
        answer.close()
        request = DataRequest.objects.get()
        assert (request.state, request.expires_at) == (State.READY, before)
    assert is_whole(fetch(page, link))
    assert fetch(page, link) == 404
    told = AuditEvent.objects.filter(action__in=["export.fetched", "export.cut_off"]).order_by("pk")
    assert [event.action.partition(".")[2] for event in told] == ["fetched", "cut_off"] * 3 + ["fetched"]


def test_the_last_piece_that_was_not_sent_is_none_that_was(person: User, link: str) -> None:
    data = exports.take_export(user=person, request_id=DataRequest.objects.get().pk)
    assert data is not None
    for _number in range(ExportChunk.objects.count()):
        next(data)
    data.close()  # nobody asked for more: the last piece was on its way
    assert DataRequest.objects.get().state == State.READY


def test_what_broke_off_after_its_time_or_beside_a_new_copy_stays_used(person: User, link: str) -> None:
    request = DataRequest.objects.get()
    data = exports.take_export(user=person, request_id=request.pk)
    assert data is not None
    newer = exports.request_export(user=person)
    assert newer.pk != request.pk
    data.close()
    request.refresh_from_db()
    assert request.state == State.USED
    assert exports.request_export(user=person) == newer
    DataRequest.objects.filter(pk=newer.pk).delete()
    data = exports.Fetching(person, request, 3)
    DataRequest.objects.filter(pk=request.pk).update(expires_at=timezone.now())
    data.close()
    request.refresh_from_db()
    assert request.state == State.USED


def test_a_killed_process_leaves_a_copy_that_another_replaces(person: User, link: str) -> None:
    assert exports.take_export(user=person, request_id=DataRequest.objects.get().pk) is not None  # and never closed
    page = browser(person)
    assert fetch(page, link) == 404
    assert "Ask for a copy" in page.get("/privacy/").content.decode()
    page.post("/privacy/export/")
    assert DataRequest.objects.filter(state=State.WAITING).count() == 1
