"""Staff lift a pause: the person is told first, and has a say, as Article 18 (3) GDPR asks."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import restriction
from accounts.models import AuditEvent, OutgoingMail, User
from accounts.privacy.tasks import tend_requests
from accounts.tasks import send_waiting_mail
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_admin, make_guest, make_user

pytestmark = pytest.mark.django_db
URL = "privacy/restriction"


@pytest.fixture(autouse=True)
def _whole_site(settings: Any) -> None:
    settings.ROOT_URLCONF = "chatbot_project.urls"


@pytest.fixture
def announced(owner: User, admin: User) -> User:
    """Whose pause by staff is going to be lifted."""
    restriction.restrict(actor=admin, user=owner, reason="disputed")
    return restriction.resume(actor=admin, user=owner, reason="settled")


def is_paused(user: User) -> bool:
    user.refresh_from_db()
    return user.restricted_at is not None


def make_due(user: User) -> None:
    User.objects.filter(pk=user.pk).update(restriction_ends_at=timezone.now() - timedelta(seconds=1))


def test_it_is_announced_and_lifted_days_later(announced: User, mailoutbox: list[Any]) -> None:
    left = announced.restriction_ends_at - timezone.now()
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)
    tend_requests()
    assert is_paused(announced)
    send_waiting_mail()
    (mail,) = mailoutbox
    assert mail.to == [announced.email]
    assert "/privacy/#restriction" in mail.body
    assert refusal(ApiClient.of(announced).post("auth/api-keys", {"name": "x", "scopes": ["read"]})) == (
        403,
        "processing_restricted",
    )
    make_due(announced)
    tend_requests()
    assert not is_paused(announced)
    assert (announced.restricted_by_staff, announced.restriction_ends_at) == (False, None)
    told = AuditEvent.objects.on(announced).filter(action__startswith="processing.").order_by("pk")
    assert [event.action.partition(".")[2] for event in told] == ["restricted", "resuming", "resumed"]


def test_whom_the_mail_has_not_reached_stays_paused(announced: User, mailoutbox: list[Any]) -> None:
    make_due(announced)
    tend_requests()
    assert is_paused(announced)
    send_waiting_mail()
    tend_requests()
    assert not is_paused(announced)


def test_announcing_again_changes_nothing(announced: User, admin: User) -> None:
    again = restriction.resume(actor=admin, user=announced, reason="again")
    assert again.restriction_ends_at == announced.restriction_ends_at
    assert OutgoingMail.objects.filter(kind="restriction_ends").count() == 1


def test_the_person_may_have_it_lifted_at_once(announced: User, mailoutbox: list[Any]) -> None:
    api = ApiClient.of(announced)
    assert api.get(URL).json()["ends_at"]
    assert api.delete(URL).status_code == 204
    assert not is_paused(announced)
    send_waiting_mail()
    assert mailoutbox == []  # there is nothing to announce any more


def test_the_person_may_keep_it_paused_and_then_lifts_it_themselves(announced: User) -> None:
    api = ApiClient.of(announced)
    assert api.post(URL).json()["ends_at"] is None
    tend_requests()
    assert (is_paused(announced), announced.restricted_by_staff) == (True, False)
    assert api.delete(URL).status_code == 204
    assert not is_paused(announced)


def test_staff_may_take_the_announcement_back(announced: User, admin: User) -> None:
    restriction.restrict(actor=admin, user=announced, reason="disputed again")
    tend_requests()
    assert is_paused(announced)
    assert refusal(ApiClient.of(announced).delete(URL)) == (403, "restricted_by_staff")


def test_what_the_person_paused_staff_lift_with_notice_too(owner: User, admin: User) -> None:
    restriction.restrict(actor=owner, user=owner)
    restriction.resume(actor=admin, user=owner, reason="asked for by telephone")
    assert is_paused(owner)
    assert owner.restriction_ends_at is not None


def test_without_days_it_is_lifted_once_the_person_was_told(owner: User, admin: User, settings: Any) -> None:
    settings.RESTRICTION_NOTICE_DAYS = 0
    restriction.restrict(actor=admin, user=owner, reason="disputed")
    restriction.resume(actor=admin, user=owner, reason="settled")
    tend_requests()
    assert is_paused(owner)
    send_waiting_mail()
    tend_requests()
    assert not is_paused(owner)


def test_a_guest_without_an_address_sees_it_on_the_page(admin: User, browser: Any) -> None:
    guest = make_guest()
    restriction.restrict(actor=admin, user=guest, reason="disputed")
    restriction.resume(actor=admin, user=guest, reason="settled")
    assert not OutgoingMail.objects.exists()
    page = browser(guest).get("/privacy/").content.decode()
    assert "Staff of this service lift it on" in page
    make_due(guest)
    tend_requests()
    assert not is_paused(guest)


def test_the_page_offers_both(announced: User, browser: Any) -> None:
    view = browser(announced)
    page = view.get("/privacy/").content.decode()
    assert ("Lift the pause" in page, "Keep it paused" in page) == (True, True)
    view.post("/privacy/restriction/", {"paused": "1"})
    assert is_paused(announced)
    page = view.get("/privacy/").content.decode()
    assert "Keep it paused" not in page
    view.post("/privacy/restriction/", {"paused": "0"})
    assert not is_paused(announced)


def test_what_an_announcement_says_is_in_the_persons_language(announced: User, mailoutbox: list[Any]) -> None:
    OutgoingMail.objects.update(language="de")
    send_waiting_mail()
    assert "Einschränkung" in mailoutbox[0].subject
    assert "Das Team" in mailoutbox[0].body


def test_others_stay_paused(announced: User, admin: User) -> None:
    another = make_user()
    restriction.restrict(actor=admin, user=another, reason="disputed")
    OutgoingMail.objects.all().delete()
    make_due(announced)
    assert restriction.lift_due() == 1
    assert is_paused(another)


@pytest.mark.django_db(transaction=True)
def test_who_decides_to_keep_the_pause_in_the_moment_of_its_end_keeps_it() -> None:
    person, admin = make_user(), make_admin()
    restriction.restrict(actor=admin, user=person, reason="disputed")
    restriction.resume(actor=admin, user=person, reason="settled")
    OutgoingMail.objects.all().delete()
    make_due(person)
    lifted = at_a_lock(
        1, lambda: restriction.restrict(actor=person, user=person), lambda _number: restriction.lift_due()
    )
    assert lifted == [0]
    assert is_paused(person)
