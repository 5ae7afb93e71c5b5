"""The report of a week is made once, keeps its numbers and is mailed once."""

import smtplib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import make_user
from analytics import reports, rollups, tasks
from analytics.metrics import METRICS
from analytics.models import Report, RollupState
from analytics.period import Period
from analytics.tests.history import make_history
from analytics.totals import read_totals
from conversations.tests.factories import make_persona

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def mail_goes_to_the_head(settings: Any) -> None:
    settings.REPORT_MAIL = ["head@example.org"]


@pytest.fixture
def week(db: None) -> Period:
    """The last whole one, with something said in it and before it, added up."""
    period = reports.last_week(timezone.now())
    make_history(1, [make_user() for _ in range(3)], [make_persona()], period.bounds[0] - timedelta(days=5), 10)
    rollups.refresh()
    return period


def test_the_last_week_is_whole_and_begins_on_a_monday_of_the_organisation(settings: Any) -> None:
    settings.REPORT_TIME_ZONE = "Pacific/Kiritimati"  # 14 hours ahead
    assert reports.last_week(datetime(2026, 3, 8, 9, tzinfo=UTC)).first == date(2026, 2, 23)
    assert reports.last_week(datetime(2026, 3, 8, 10, tzinfo=UTC)).first == date(2026, 3, 2)


def test_it_is_made_once_all_is_added_up_and_mailed_once(week: Period, mailoutbox: list[Any]) -> None:
    for _time in range(2):
        tasks.send_reports()
    report = Report.objects.get()
    assert report.start == week.bounds[0]
    assert report.figures["questions"][0] == read_totals(week).questions > 0
    assert set(report.figures) == set(METRICS)
    (mail,) = mailoutbox
    assert mail.to == ["head@example.org"]
    (html, kind) = mail.alternatives[0]
    assert kind == "text/html"
    for text in (mail.body, html):
        assert "questions" in text
        assert f"{report.figures['questions'][0]}" in text


def test_before_the_week_is_added_up_there_is_none(week: Period, mailoutbox: list[Any]) -> None:
    RollupState.objects.update(counted_until=week.bounds[-1] - timedelta(seconds=1))
    tasks.send_reports()
    assert not Report.objects.exists()
    assert mailoutbox == []


def test_its_numbers_stay_whatever_comes_later(week: Period) -> None:
    first = reports.make_report(week)
    make_history(2, [make_user()], [make_persona()], week.bounds[0], 3)
    rollups.rebuild()
    again = reports.make_report(week)
    assert first is not None
    assert again is not None
    assert (again.pk, again.figures) == (first.pk, first.figures)


def test_a_mail_server_that_refuses_is_asked_again(week: Period, monkeypatch: Any, mailoutbox: list[Any]) -> None:
    def refuse(*_args: Any) -> int:
        raise smtplib.SMTPServerDisconnected("away")

    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", refuse)
        with pytest.raises(OSError, match="away"):
            tasks.send_reports()
    assert Report.objects.get().mailed_at is None
    tasks.send_reports()
    assert len(mailoutbox) == 1


def test_without_an_address_it_is_kept_and_not_mailed(week: Period, mailoutbox: list[Any], settings: Any) -> None:
    settings.REPORT_MAIL = []
    tasks.send_reports()
    assert Report.objects.get().mailed_at is None
    assert mailoutbox == []


def test_it_is_written_in_the_language_of_the_installation(week: Period, mailoutbox: list[Any], settings: Any) -> None:
    settings.LANGUAGE_CODE = "de"
    tasks.send_reports()
    assert "Gespräche" in mailoutbox[0].body


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("questions", 12345, "12,345"),
        ("active_daily", 3.14, "3.1"),
        ("satisfaction", 0.5, "50.0 %"),
        ("first_token_p95", 1.234, "1.23 s"),
        ("cost", 2.5, "2.50 USD"),
        ("cost", None, "–"),
    ],
)
def test_figures_are_shown_as_people_read_them(name: str, value: float | None, text: str) -> None:
    assert reports.shown(METRICS[name], value) == text


def test_admins_read_reports_and_nobody_else(client: Client, week: Period, admin, moderator, owner) -> None:
    report = reports.make_report(week)
    path = reverse("admin:analytics_report_change", args=[report.pk])
    for person, status in ((None, 302), (owner, 302), (moderator, 403), (admin, 200)):
        browser = Client()
        if person:
            browser.force_login(person)
        answer = browser.get(path)
        assert answer.status_code == status, person
    assert "active people a day" in answer.content.decode()
