"""Erasures are asked for, by page, API and command, and cancelled or done."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.models import AuditEvent, DataRequest, OutgoingMail, User
from accounts.privacy import erasing, erasure_log, erasures
from accounts.privacy.tasks import tend_requests
from accounts.retention import holds
from accounts.tasks import send_waiting_mail
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import PASSWORD, make_admin, make_guest, make_user
from chatbot_project.lib.db import named_lock
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.tests.erased import places
from conversations.models import Conversation
from conversations.tests.browser import apart
from conversations.tests.factories import make_conversation, make_persona

__all__ = ["places"]  # a fixture
pytestmark = pytest.mark.django_db
State = DataRequest.State


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
    told = AuditEvent.objects.filter(action__in=["erasure.requested", "user.deactivated"]).with_people()
    assert [event.actor for event in told] == [None, None]  # not by the person
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


@pytest.mark.django_db(transaction=True)
def test_the_command_waits_for_a_process_that_is_at_it(places: Path, monkeypatch: Any) -> None:
    queued: list[UUID] = []
    monkeypatch.setattr(erasures, "_queue", queued.append)
    user = member()
    request = erasures.request_erasure(user=user, at_once=True, by_operator=True)
    assert queued == [], "who asked does it: no worker is told"
    with ThreadPoolExecutor(2) as pool:
        with named_lock(f"erasure {request.pk}") as is_mine:
            assert is_mine
            waiting = pool.submit(apart, erasures.complete_erasure, request.pk, seconds=60)
            assert pool.submit(apart, erasures.complete_erasure, request.pk, seconds=0.5).result(timeout=60) is None
            assert not waiting.done()
        done = waiting.result(timeout=60)
    assert erasure_log.is_receipt_of(done.receipt, "ada@example.org")
    assert not User.objects.filter(pk=user.pk).exists()


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
