from datetime import timedelta
from smtplib import SMTPServerDisconnected

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts import services, tasks
from accounts.models import OutgoingMail, SignUp, User
from accounts.privacy import erasures, exports
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db
Kind = OutgoingMail.Kind


class BrokenBackend(BaseEmailBackend):
    def send_messages(self, messages) -> int:
        raise SMTPServerDisconnected("away")


@pytest.fixture
def no_mail_server(settings) -> None:
    settings.EMAIL_BACKEND = "accounts.tests.test_mail.BrokenBackend"


def test_a_mail_is_handed_to_the_worker_only_after_the_commit(
    owner: User, django_capture_on_commit_callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = []
    monkeypatch.setattr(tasks.send_mail, "apply_async", lambda args, **options: handed.append(args))
    with django_capture_on_commit_callbacks() as callbacks:
        mail = services.queue_mail(kind=Kind.PASSWORD_RESET, to=owner.email)
    assert handed == []
    for callback in callbacks:
        callback()
    assert handed == [(str(mail.pk),)]  # an id: no address passes through the broker


def test_a_broker_that_is_away_loses_no_mail(owner: User, monkeypatch: pytest.MonkeyPatch, delivered) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(tasks.send_mail, "apply_async", refuse)
    mail = services.queue_mail(kind=Kind.PASSWORD_RESET, to=owner.email)
    services._hand_to_worker(mail.pk)
    assert len(delivered()) == 1


def test_the_task_run_twice_sends_once(owner: User, mailoutbox) -> None:
    mail = services.queue_mail(kind=Kind.PASSWORD_RESET, to=owner.email)
    assert tasks.send_mail(str(mail.pk)) is True
    assert tasks.send_mail(str(mail.pk)) is False
    assert len(mailoutbox) == 1
    assert not OutgoingMail.objects.exists()


def test_a_mail_another_worker_is_sending_is_left_alone(owner: User, mailoutbox) -> None:
    mail = services.queue_mail(kind=Kind.PASSWORD_RESET, to=owner.email)
    OutgoingMail.objects.update(next_try_at=timezone.now() + tasks.SENDING)
    assert tasks.send_mail(str(mail.pk)) is False
    assert tasks.send_waiting_mail() == 0
    assert mailoutbox == []


def test_a_mail_whose_worker_died_is_sent_by_the_next(owner: User, mailoutbox) -> None:
    services.queue_mail(kind=Kind.PASSWORD_RESET, to=owner.email)
    OutgoingMail.objects.update(next_try_at=timezone.now() - timedelta(seconds=1))
    assert tasks.send_waiting_mail() == 1
    assert len(mailoutbox) == 1


def test_a_mail_server_that_is_away_gets_it_later(owner: User, no_mail_server) -> None:
    mail = services.queue_mail(kind=Kind.PASSWORD_RESET, to=owner.email)
    assert tasks.send_mail(str(mail.pk)) is False
    mail.refresh_from_db()
    assert mail.attempts == 1
    assert mail.next_try_at > timezone.now() + timedelta(minutes=1)


def test_a_mail_nobody_takes_for_a_day_is_given_up(owner: User, no_mail_server, caplog) -> None:
    mail = services.queue_mail(kind=Kind.PASSWORD_RESET, to=owner.email)
    OutgoingMail.objects.update(created_at=timezone.now() - timedelta(hours=25))
    tasks.send_mail(str(mail.pk))
    assert not OutgoingMail.objects.exists()
    assert "mail_given_up" in caplog.text
    assert owner.email not in caplog.text


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_text_and_an_html_part(owner: User, delivered, kind: Kind) -> None:
    sign_up = SignUp.objects.create(email="new@example.org", password="x")
    to = {
        Kind.SIGN_UP: "new@example.org", Kind.CONFIRM_AGAIN: "new@example.org", Kind.VERIFY_EMAIL: "moved@example.org",
    }.get(kind, owner.email)  # fmt: skip
    if kind == Kind.EXPORT_READY:  # made, it is told of
        exports.make_export(exports.request_export(user=owner).pk)
    elif kind == Kind.ERASURE_BEGUN:
        erasures.request_erasure(user=owner)
    elif kind == Kind.ERASURE_DONE:
        erasures.run_erasure(erasures.request_erasure(user=owner, at_once=True).pk)
    else:
        if kind == Kind.RESTRICTION_ENDS:
            User.objects.filter(pk=owner.pk).update(restriction_ends_at=timezone.now())
        elif kind == Kind.SUSPENDED:
            User.objects.filter(pk=owner.pk).update(is_active=False)
        services.queue_mail(kind=kind, to=to, sign_up=sign_up, user=owner)
    (message,) = delivered()
    assert message.to == [to]
    assert message.subject
    assert "\n" not in message.subject
    assert "{{" not in message.body
    html = message.alternatives[0].content
    assert "<script" not in html
    assert "<img" not in html
    assert f"<h1>{message.subject}</h1>" in html


def test_a_mail_to_somebody_suspended_or_gone_is_not_sent(delivered) -> None:
    user = make_user("ada@example.org")
    services.queue_mail(kind=Kind.VERIFY_EMAIL, to="new@example.org", user=user)
    services.queue_mail(kind=Kind.PASSWORD_RESET, to=user.email)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert delivered() == []
    assert not OutgoingMail.objects.exists()
