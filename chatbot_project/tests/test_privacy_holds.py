"""An erasure that a legal hold keeps waiting: nothing goes, the admin sees why, and it goes on by itself."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import DataRequest, User
from accounts.privacy import erasing, erasures
from accounts.privacy.tasks import tend_requests
from accounts.retention import holds
from accounts.tests.factories import make_admin, make_moderator, make_user
from chatbot_project.models import TaskRecord
from conversations.models import Message
from conversations.tests.factories import make_conversation, make_persona

pytestmark = pytest.mark.django_db
PAGE = "/admin/accounts/datarequest/"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> None:
    settings.ERASURE_LOG = tmp_path / "erasures.jsonl"
    settings.VAR_DIR = tmp_path
    (tmp_path / "log").mkdir()


@pytest.fixture
def user() -> User:
    found = make_user()
    make_persona()
    for _ in range(2):
        make_conversation(found)
    return found


def begun(user: User) -> DataRequest:
    """An erasure of which only the first step is done."""
    request = erasures.request_erasure(user=user, at_once=True)
    assert erasures.run_erasure(request.pk, seconds=-1) is False
    request.refresh_from_db()
    assert request.state == "running"
    return request


def test_without_time_it_is_gone_on_with_by_the_next_run(user: User) -> None:
    request = begun(user)
    assert erasures.run_erasure(request.pk) is True
    assert not User.objects.filter(pk=user.pk).exists()


@pytest.mark.parametrize("which", ["person", "conversation"])
def test_a_hold_on_one_that_runs_keeps_all_that_is_left_and_is_logged_once(
    which: str, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    request, admin = begun(user), make_admin()
    messages = Message.objects.filter(owner=user)
    there, conversation = messages.count(), messages.first().conversation_id
    target = {"person": user} if which == "person" else {"conversation": conversation}
    hold = holds.place(actor=admin, reason="court", **target)
    for _minute in range(3):
        tend_requests()
        assert erasures.run_erasure(request.pk) is False
    request.refresh_from_db()
    assert request.held_since is not None
    assert messages.count() == there, "the held conversation's messages, too"
    assert [each.levelname for each in caplog.records if "erasure." in each.getMessage()] == ["WARNING"]
    holds.release(actor=admin, hold=hold, reason="over")
    tend_requests()
    assert not User.objects.filter(pk=user.pk).exists()


def test_a_hold_that_comes_between_two_steps_ends_the_run_there(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    request, admin = erasures.request_erasure(user=user, at_once=True), make_admin()
    steps = erasing.erase_everywhere

    def with_a_hold(person: User) -> Any:
        for number, step in enumerate(steps(person)):
            if number == 0:
                holds.place(actor=admin, person=person, reason="court")
            yield step

    monkeypatch.setattr(erasures, "erase_everywhere", with_a_hold)
    assert erasures.run_erasure(request.pk) is False
    request.refresh_from_db()
    assert request.held_since is not None
    assert Message.objects.filter(owner=user).count() == 4


def test_the_admin_sees_what_it_waits_for_and_nobody_else_does(user: User) -> None:
    request, admin = begun(user), make_admin()
    holds.place(actor=admin, person=user, reason="court")
    tend_requests()

    def opened(person: User | None) -> Any:
        page = Client()
        if person is not None:
            page.force_login(person)
        return page.get(PAGE)

    page = opened(admin).content.decode()
    assert "waits for a legal hold since" in page.lower()
    assert "True" in page
    assert [opened(each).status_code for each in (make_moderator(), make_user(), None)] == [403, 302, 302]
    page = Client()
    page.force_login(admin)
    assert page.get(f"{PAGE}{request.pk}/change/").status_code == 200
    assert page.post(f"{PAGE}{request.pk}/delete/", {"post": "yes"}).status_code == 403


def test_one_that_fails_each_minute_is_told_by_mail_once(
    user: User, monkeypatch: pytest.MonkeyPatch, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.ALERT_MAIL = ["ops@example.org"]
    other = make_user()
    for person in (user, other):
        erasures.request_erasure(user=person, at_once=True)
    steps = erasing.erase_everywhere

    def fail_for_one(person: User) -> Any:
        if person.pk == user.pk:
            raise RedisConnectionError
        return steps(person)

    monkeypatch.setattr(erasures, "erase_everywhere", fail_for_one)
    for _minute in range(3):
        tend_requests.apply()
    assert not User.objects.filter(pk=other.pk).exists(), "one does not keep the others waiting"
    assert [message.to for message in mailoutbox if "failed" in message.subject] == [["ops@example.org"]]
    assert TaskRecord.objects.get(name="accounts.privacy.tasks.tend_requests").failures == 3
