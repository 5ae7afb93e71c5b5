"""Maintenance: who still comes in, what everybody else is told, and that it ends."""

import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.roles import Role
from accounts.tests.factories import make_user
from chatbot_project.lib import maintenance
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.models import Maintenance

pytestmark = pytest.mark.django_db
HTML = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    maintenance._current = None


def begin(*arguments: str) -> str:
    out = io.StringIO()
    call_command("maintenance", "on", *arguments, stdout=out)
    maintenance.read()
    return out.getvalue()


def test_a_page_is_answered_with_503_and_when_to_come_back() -> None:
    begin("--until", "10", "--message", "A newer version is installed.")
    answer = Client().get("/", headers=HTML)
    assert answer.status_code == 503
    assert 590 <= int(answer["Retry-After"]) <= 600
    text = answer.content.decode()
    assert "A newer version is installed." in text
    assert "It is to be back at" in text


@pytest.mark.parametrize("path", ["/healthz", "/status/", "/accounts/sign-in/", "/jsi18n/"])
def test_what_staff_and_machines_need_stays_open(path: str) -> None:
    begin()
    assert Client().get(path).status_code == 200


def test_staff_come_in_and_others_do_not() -> None:
    begin()
    for role, status in ((Role.ADMIN, 200), (Role.MODERATOR, 200), (Role.USER, 503)):
        browser = Client()
        browser.force_login(make_user(role=role))
        assert browser.get("/accounts/profile/", headers=HTML).status_code == status, role


def test_programs_get_the_one_shape_and_openais() -> None:
    begin()
    answer = Client().get("/api/v1/personas")
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert (answer.json()["code"], answer.json()["retry_after"]) == ("maintenance", 300)
    answer = Client().post("/v1/chat/completions", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "maintenance")
    assert Client().get("/", headers={"HX-Request": "true"}).json()["code"] == "maintenance"


def test_a_reply_that_runs_can_be_followed_to_its_end() -> None:
    begin()
    assert Client().get("/api/v1/messages/0193abcd-0000-7000-8000-000000000000/events").status_code == 401


def test_a_question_over_the_socket_is_refused_but_for_staff() -> None:
    begin()
    with pytest.raises(ApplicationError) as refused:
        maintenance.refuse_if_on(make_user())
    assert (refused.value.code, refused.value.status) == ("maintenance", 503)
    maintenance.refuse_if_on(make_user(role=Role.ADMIN))


def test_it_ends_and_both_are_recorded() -> None:
    begin()
    call_command("maintenance", "off", stdout=io.StringIO())
    maintenance.read()
    assert Client().get("/", headers=HTML).status_code == 200
    assert Maintenance.objects.count() == 1
    actions = [event.action for event in AuditEvent.objects.order_by("pk") if event.action.startswith("maintenance")]
    assert actions == ["maintenance.on", "maintenance.off"]


def test_without_a_word_it_tells_how_things_are() -> None:
    out = io.StringIO()
    call_command("maintenance", stdout=out)
    assert out.getvalue() == "Maintenance is off.\n"
    assert "Maintenance is on until" in begin("--until", (timezone.now() + timedelta(hours=1)).isoformat())


@pytest.mark.parametrize("until", ["tomorrow", "2020-01-01T00:00", "2026-13-01T00:00"])
def test_an_end_that_is_none_or_past_is_refused(until: str) -> None:
    with pytest.raises(CommandError, match="--until"):
        begin("--until", until)
    assert not Maintenance.objects.exists()


def test_the_status_page_says_so() -> None:
    begin("--message", "A newer version is installed.")
    text = Client().get("/status/").content.decode()
    assert "The service is being worked on" in text
    assert "A newer version is installed." in text
    assert Client().get("/status.json").json()["status"] == "maintenance"
