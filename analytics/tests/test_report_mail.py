"""Who gets reports: by subscription, once, with what they wished for, and until they want no more."""

import re
import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_moderator, make_user
from analytics import rollups, tasks
from analytics.models import Delivery, Grain, Report, RollupState, Subscription
from analytics.reports import delivery
from analytics.reports.making import make_report
from analytics.reports.periods import CATCH_UP, last_over, one_before
from analytics.reports.subscribing import address_of
from analytics.tests.history import make_history
from conversations.tests.factories import make_persona
from personas.models import Persona

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def added_up(db: None) -> None:
    """All that was said, which is nothing but where a test says something."""
    RollupState.objects.create(counted_until=timezone.now() + timedelta(days=1), time_zone="UTC")


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


@pytest.fixture(autouse=True)
def a_run_makes_two_weeks(monkeypatch: Any) -> None:
    """Less than it would: what is made is test_reports.py's."""
    monkeypatch.setattr(tasks, "REPORTED", [Grain.WEEK])
    for grain in CATCH_UP:
        monkeypatch.setitem(CATCH_UP, grain, 2)


def subscribe(user: User | None = None, **fields: Any) -> Subscription:
    """Weekly and without files, but where they are wished for."""
    return Subscription.objects.create(user=user, **{"pdf": False, "csv": False, **fields})


def try_again_now() -> None:
    Delivery.objects.update(next_try_at=timezone.now() - timedelta(seconds=1))


def test_it_is_mailed_once_with_what_was_wished_for(moderator: User, mailoutbox: list[Any], persona: Persona) -> None:
    begin = last_over("week", timezone.now()).bounds[0]
    make_history(1, [make_user() for _ in range(6)], [persona], begin, 3, size=40)
    rollups.refresh()
    RollupState.objects.update(counted_until=timezone.now() + timedelta(days=1))
    subscribe(moderator, pdf=True, csv=True)
    subscribe(address="board@example.org", pdf=True)
    for _time in range(2):
        tasks.send_reports()
    mails = {mail.to[0]: mail for mail in mailoutbox}
    assert len(mailoutbox) == len(mails) == 2
    names = {to: [attachment.filename for attachment in mail.attachments] for to, mail in mails.items()}
    first = last_over("week", timezone.now()).first
    pdf, csv = f"report-week-{first}.pdf", f"report-week-{first}.csv"
    assert names == {moderator.email: [pdf, csv], "board@example.org": [pdf]}
    mail = mails[moderator.email or ""]
    assert mail.attachments[0].content.startswith(b"%PDF-")
    questions = Report.objects.get(grain="week", start=last_over("week", timezone.now()).bounds[0]).figures["questions"]
    (html, kind) = mail.alternatives[0]
    assert kind == "text/html"
    for text in (mail.body, html):
        assert "questions" in text
        assert f"{questions[0]}" in text


@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_of_reports_that_were_made_late_the_newest_alone_is_mailed(
    moderator: User, mailoutbox: list[Any], grain: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tasks, "REPORTED", [grain])
    subscribe(moderator, grain=grain)
    tasks.send_reports()
    assert Report.objects.filter(grain=grain).count() > 1
    sent = Delivery.objects.get()
    assert sent.report.start == last_over(grain, timezone.now()).bounds[0]
    assert len(mailoutbox) == 1


def test_who_subscribes_after_it_was_made_gets_the_next_one(moderator: User, mailoutbox: list[Any]) -> None:
    tasks.send_reports()
    subscribe(moderator)
    tasks.send_reports()
    assert mailoutbox == []


def test_a_persona_of_ones_own_is_all_that_it_is_about(
    moderator: User, mailoutbox: list[Any], persona: Persona
) -> None:
    subscribe(moderator, persona=persona)
    tasks.send_reports()
    assert Report.objects.filter(persona=persona.pk, grain="week").exists()
    assert persona.published is not None
    assert persona.published.name in mailoutbox[0].subject


def test_it_is_written_in_the_language_of_the_subscription(moderator: User, mailoutbox: list[Any]) -> None:
    subscribe(moderator, language="de")
    tasks.send_reports()
    assert "Gespräche" in mailoutbox[0].body


# --- Who may get it ---------------------------------------------------------------------------------------------------
def test_who_may_not_see_figures_any_more_gets_nothing(moderator: User, mailoutbox: list[Any]) -> None:
    suspended, paused = make_moderator(is_active=False), make_moderator(restricted_at=timezone.now())
    lowered = make_moderator(email="was.staff@example.org")
    for user in (moderator, suspended, paused):
        subscribe(user)
    subscribe(address="was.staff@example.org")
    for user, fields in ((moderator, {"role": "user"}), (lowered, {"role": "user"})):
        User.objects.filter(pk=user.pk).update(**fields)
    tasks.send_reports()
    assert mailoutbox == []
    assert {each.state for each in Delivery.objects.all()} == {"withheld"}


def test_a_paused_subscription_gets_nothing(moderator: User, mailoutbox: list[Any]) -> None:
    subscribe(moderator, is_active=False)
    tasks.send_reports()
    assert mailoutbox == []
    assert not Delivery.objects.exists()


def test_a_subscription_is_an_accounts_or_an_addresss_and_there_once(moderator: User) -> None:
    subscribe(moderator)
    for fields in ({}, {"user": moderator, "address": "a@example.org"}, {"user": moderator}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Subscription.objects.create(**fields)


# --- Sending ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def refusing(monkeypatch: Any) -> Any:
    """A mail server that refuses until it is undone."""

    def refuse(*_args: Any) -> int:
        raise smtplib.SMTPServerDisconnected("away")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    return monkeypatch


def test_a_mail_server_that_refuses_is_asked_again_later(moderator: User, refusing: Any, mailoutbox: list[Any]) -> None:
    subscribe(moderator)
    tasks.send_reports()
    waiting = Delivery.objects.get()
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert waiting.next_try_at > timezone.now()
    assert waiting.report.mailed_at is None
    refusing.undo()
    tasks.send_reports()
    assert mailoutbox == []  # not yet
    try_again_now()
    tasks.send_reports()
    assert len(mailoutbox) == 1
    assert Delivery.objects.get().state == "sent"
    assert Delivery.objects.get().report.mailed_at is not None


def test_one_that_always_refuses_is_given_up(moderator: User, refusing: Any) -> None:
    subscribe(moderator)
    tasks.send_reports()
    Delivery.objects.update(attempts=delivery.MOST_TRIES - 1)
    try_again_now()
    tasks.send_reports()
    assert Delivery.objects.get().state == "given_up"
    try_again_now()
    assert delivery.send_due() == 0


def test_a_mail_that_somebody_is_sending_is_sent_by_nobody_else(moderator: User, mailoutbox: list[Any]) -> None:
    subscribe(moderator)
    report = make_report("week", last_over("week", timezone.now()))
    assert report is not None
    delivery.queue(timezone.now())
    waiting = Delivery.objects.get()
    try_again_now()
    Delivery.objects.update(next_try_at=timezone.now() + delivery.SENDING)  # as the other one does
    assert delivery.send(waiting.pk) is False
    assert mailoutbox == []


def test_one_that_cannot_be_made_is_tried_later_and_keeps_no_other_waiting(
    moderator: User, mailoutbox: list[Any], monkeypatch: Any
) -> None:
    broken, build = subscribe(moderator), delivery.build_mail
    other = subscribe(make_moderator())

    def fail_for_one(report: Report, subscription: Subscription, to: str) -> Any:
        if subscription == broken:
            raise ValueError("no such figure")
        return build(report, subscription, to)

    monkeypatch.setattr(delivery, "build_mail", fail_for_one)
    with pytest.raises(ValueError, match="no such figure"):  # so that it is told as a failure
        tasks.send_reports()
    assert [mail.to[0] for mail in mailoutbox] == [address_of(other)]
    waiting = Delivery.objects.get(subscription=broken)
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    Delivery.objects.filter(pk=waiting.pk).update(attempts=delivery.MOST_TRIES - 1)
    try_again_now()
    with pytest.raises(ValueError, match="no such figure"):
        tasks.send_reports()
    assert Delivery.objects.get(subscription=broken).state == "given_up"


def test_a_run_without_time_leaves_the_rest_to_the_next(mailoutbox: list[Any], monkeypatch: Any) -> None:
    for _number in range(3):
        subscribe(make_moderator())
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "RUN_SECONDS", -1)
        tasks.send_reports()
    assert len(mailoutbox) == 1
    assert delivery.send_due() == 2


def test_mailing_it_again_is_for_all_who_subscribe(moderator: User, admin: User, mailoutbox: list[Any]) -> None:
    subscribe(moderator)
    tasks.send_reports()
    report = Delivery.objects.get().report
    subscribe(admin)
    assert delivery.mail_again(report) == 2
    tasks.send_reports()
    assert sorted(mail.to[0] for mail in mailoutbox) == sorted([moderator.email, moderator.email, admin.email])


# --- REPORT_MAIL ------------------------------------------------------------------------------------------------------
def test_an_address_of_the_settings_is_a_weekly_subscription(settings: Any, mailoutbox: list[Any]) -> None:
    settings.REPORT_MAIL = ["Head@example.org"]
    settings.LANGUAGE_CODE = "de"
    for _time in range(2):
        tasks.send_reports()
    (mail,) = mailoutbox
    assert mail.to == ["head@example.org"]
    assert "Gespräche" in mail.body
    settings.REPORT_MAIL = []
    tasks.send_reports()
    assert not Subscription.objects.exists()


def test_one_that_was_mailed_before_there_were_subscriptions_is_not_mailed_again(
    settings: Any, mailoutbox: list[Any]
) -> None:
    make_report("week", last_over("week", timezone.now()))
    settings.REPORT_MAIL = ["head@example.org"]
    tasks.send_reports()
    assert mailoutbox == []


# --- To get no more ---------------------------------------------------------------------------------------------------
def link_of(mail: Any) -> str:
    found = re.fullmatch(r"<(https?://[^>]+)>", mail.extra_headers["List-Unsubscribe"])
    assert found
    assert found[1] in mail.body
    return found[1].partition("//")[2].partition("/")[2]


def test_the_link_in_the_mail_ends_the_subscription_by_its_button_alone(moderator: User, mailoutbox: list[Any]) -> None:
    subscription = subscribe(moderator)
    other = subscribe(make_moderator())
    tasks.send_reports()
    mail = next(each for each in mailoutbox if each.to == [moderator.email])
    assert mail.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = f"/{link_of(mail)}"
    anybody = Client(enforce_csrf_checks=True)  # signed out, as a mail program is
    assert anybody.get(link).status_code == 200
    subscription.refresh_from_db()
    assert subscription.is_active
    for _time in range(2):
        assert anybody.post(link, {"List-Unsubscribe": "One-Click"}).status_code == 200
    subscription.refresh_from_db()
    other.refresh_from_db()
    assert not subscription.is_active
    assert other.is_active
    assert AuditEvent.objects.filter(action="subscription.ended").count() == 1


def test_a_link_that_is_none_of_ours_is_not_there(client: Client, moderator: User, mailoutbox: list[Any]) -> None:
    subscription = subscribe(moderator)
    tasks.send_reports()
    link = f"/{link_of(mailoutbox[0])}"
    assert client.post(link[:-4] + "xxx/").status_code == 404
    subscription.delete()
    for answer in (client.get(link), client.post(link)):
        assert answer.status_code == 404


def test_an_unsubscribed_address_of_the_settings_stays_so(settings: Any, client: Client, mailoutbox: list[Any]) -> None:
    settings.REPORT_MAIL = ["head@example.org"]
    tasks.send_reports()
    client.post(f"/{link_of(mailoutbox[0])}")
    Report.objects.all().delete()
    tasks.send_reports()
    assert len(mailoutbox) == 1


def test_what_waits_is_not_sent_to_who_has_ended_it(moderator: User, refusing: Any, mailoutbox: list[Any]) -> None:
    subscription = subscribe(moderator)
    tasks.send_reports()
    refusing.undo()
    Subscription.objects.filter(pk=subscription.pk).update(is_active=False)
    try_again_now()
    tasks.send_reports()
    assert mailoutbox == []


def test_before_the_last_one_is_made_no_older_one_is_mailed(moderator: User, mailoutbox: list[Any]) -> None:
    subscribe(moderator)
    before = one_before("week", last_over("week", timezone.now()))
    RollupState.objects.update(counted_until=before.bounds[-1] + rollups.MARGIN)
    tasks.send_reports()
    assert Report.objects.filter(grain="week").exists()
    assert mailoutbox == []
