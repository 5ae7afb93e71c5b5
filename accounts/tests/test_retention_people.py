"""What is kept of people for a number of days: accounts without a confirmed address, sign-ins, mail, copies."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import families, services, tasks, tokens
from accounts.models import BrowserSession, DataRequest, OutgoingMail, RefreshFamily, RetentionRun, User
from accounts.privacy import erasures, exports
from accounts.retention import holds, policies, runs
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user

pytestmark = pytest.mark.django_db


def ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


def set_days(data_class: str, days: int) -> None:
    policies.set_policy(actor=make_admin(), data_class=data_class, days=days, reason="x")


def unconfirmed(days: float, **fields: Any) -> User:
    return make_user(email_verified_at=None, last_seen_at=ago(days), **fields)


# --- accounts whose address is not confirmed


def test_only_accounts_that_never_showed_their_address_go_and_only_when_unseen() -> None:
    set_days("unconfirmed", 30)
    gone = unconfirmed(31)
    kept = [
        unconfirmed(29),
        make_user(last_seen_at=ago(4000)),
        make_moderator(email_verified_at=None, last_seen_at=ago(4000)),
        make_guest(last_seen_at=ago(6)),
    ]
    runs.apply()
    assert not User.objects.filter(pk=gone.pk).exists()
    assert User.objects.filter(pk__in=[each.pk for each in kept]).count() == len(kept)
    assert RetentionRun.objects.get().removed == {"unconfirmed_accounts": 1}


def test_without_a_need_to_confirm_none_goes(settings: Any) -> None:
    assert settings.REQUIRE_VERIFIED_EMAIL is False
    unconfirmed(4000)
    assert runs.apply().removed == {}


def test_one_confirmed_late_is_never_removed() -> None:
    set_days("unconfirmed", 30)
    late = unconfirmed(400)
    assert services.confirm_email(token=tokens.email_token(late, late.email)) is not None
    User.objects.filter(pk=late.pk).update(last_seen_at=ago(400))
    runs.apply()
    assert User.objects.filter(pk=late.pk).exists()


def test_one_confirmed_by_a_new_password_is_never_removed() -> None:
    set_days("unconfirmed", 30)
    late = unconfirmed(400)
    assert services.reset_password(token=tokens.reset_token(late), password="a long new password 1") is not None
    runs.apply()
    assert User.objects.filter(pk=late.pk).exists()


def test_what_is_held_and_what_is_being_erased_is_left() -> None:
    set_days("unconfirmed", 30)
    held, leaving = unconfirmed(400), unconfirmed(400)
    holds.place(actor=make_admin(), person=held, reason="court")
    erasures.request_erasure(user=leaving)
    found = runs.apply()
    assert found.removed == {}
    assert found.kept == {"unconfirmed_accounts": 1}


# --- sign-ins


def test_a_browser_not_used_for_as_long_as_the_policy_says_is_signed_out_at_once(client: Client) -> None:
    person = make_user()
    client.force_login(person)
    BrowserSession.objects.update(last_seen_at=ago(5))
    assert signed_in_person(client) == str(person.pk)
    BrowserSession.objects.update(last_seen_at=ago(5))
    set_days("session", 4)
    assert signed_in_person(client) != str(person.pk)
    assert tasks.clear_expired() == 1
    assert not BrowserSession.objects.filter(user=person).exists()


def test_a_program_not_used_for_as_long_as_the_policy_says_gets_no_new_token() -> None:
    pair = families.open_family(user=make_user())
    RefreshFamily.objects.update(last_used_at=ago(3))
    set_days("session", 2)
    assert not families.live_families(pair.family.user).exists()
    with pytest.raises(families.TokenRefused):
        families.refresh(token=pair.refresh)
    tasks.clear_expired()
    assert not RefreshFamily.objects.exists()


# --- mail and copies


def test_mail_whose_time_is_over_is_not_sent_any_more(mailoutbox: list[Any]) -> None:
    person = make_user()
    for days in (2, 0):
        services.queue_mail(kind=OutgoingMail.Kind.PASSWORD_CHANGED, to=person.email, user=person)
        OutgoingMail.objects.filter(created_at__gt=ago(1)).update(created_at=ago(days))
    assert tasks.send_waiting_mail() == 1
    assert len(mailoutbox) == 1
    assert not OutgoingMail.objects.exists()


def test_a_run_removes_mail_that_no_worker_came_for() -> None:
    person = make_user()
    services.queue_mail(kind=OutgoingMail.Kind.PASSWORD_CHANGED, to=person.email, user=person)
    OutgoingMail.objects.update(created_at=ago(2))
    assert runs.apply().removed == {"mails": 1}


def test_a_copy_can_be_fetched_as_long_as_the_policy_says() -> None:
    person = make_user()
    request = exports.request_export(user=person)
    assert exports.make_export(request.pk)
    token = exports.export_token(request)
    assert exports.find_export(user=person, token=token) is not None
    DataRequest.objects.update(finished_at=ago(3))
    set_days("export", 2)
    assert exports.find_export(user=person, token=token) is None
    assert exports.take_export(user=person, request_id=request.pk) is None
    removed = runs.apply().removed
    assert removed["exports"] >= 1
    assert exports.request_export(user=person).pk != request.pk, "another can be asked for"
