"""A person sees who looked at their data, and nobody else does."""

import pytest
from django.test import Client

from accounts import audit
from accounts.access_log import LOOKED_AT, looks_at
from accounts.models import AuditEvent, User
from accounts.services import record_audit
from accounts.tests.factories import make_guest, make_moderator

pytestmark = pytest.mark.django_db

PAGE = "/accounts/access-log/"


def text(view: Client) -> str:
    return view.get(PAGE).content.decode()


def look(who: User, person: User, action: str = "user.shown", reason: str = "") -> AuditEvent:
    return record_audit(actor=who, action=action, obj=person, reason=reason, details={"role": who.role})


def test_without_a_session_one_is_asked_to_sign_in(client: Client) -> None:
    assert client.get(PAGE)["Location"] == f"/accounts/sign-in/?next={PAGE}"


def test_the_owner_sees_it_and_another_does_not(owner: User, other: User, moderator: User, browser) -> None:
    look(moderator, owner, reason="Complaint 12 <b>")
    theirs = text(browser(owner))
    for told in (moderator.username, "Moderator", "Opened your account", "Complaint 12 &lt;b&gt;"):
        assert told in theirs
    assert "Nobody has looked at your data." in text(browser(other))
    assert "no-store" in browser(owner).get(PAGE)["Cache-Control"]


def test_a_guest_sees_it_too(moderator: User, browser) -> None:
    guest = make_guest()
    look(moderator, guest)
    assert moderator.username in text(browser(guest))


def test_what_one_does_oneself_and_what_is_no_look_is_left_out(owner: User, moderator: User) -> None:
    look(owner, owner)
    record_audit(actor=moderator, action="user.suspended", obj=owner, reason="spam")
    assert looks_at(owner) == []


def test_a_look_by_somebody_who_is_gone_keeps_its_role(owner: User, browser) -> None:
    gone = make_moderator()
    look(gone, owner, reason="a reason")
    audit.forget(gone)
    theirs = text(browser(owner))
    assert "Somebody whose account is gone" in theirs
    assert "Moderator" in theirs
    assert "a reason" in theirs


def test_the_newest_come_first_and_they_are_bounded(owner: User, moderator: User, monkeypatch) -> None:
    monkeypatch.setattr("accounts.access_log.MOST", 3)
    ids = [look(moderator, owner, action=action).pk for action in LOOKED_AT]
    assert [each.entry.id for each in looks_at(owner)] == ids[:-4:-1]


def test_the_profile_leads_here(owner: User, guest: User, browser) -> None:
    for person in (owner, guest):
        assert f'href="{PAGE}"' in browser(person).get("/accounts/profile/").content.decode()


def test_in_german(owner: User, moderator: User, browser) -> None:
    look(moderator, owner)
    page = browser(owner).get(PAGE, headers={"Accept-Language": "de"}).content.decode()
    assert "Wer Ihre Daten angesehen hat" in page
    assert "Hat Ihr Konto geöffnet" in page


def test_the_page_asks_few_queries(owner: User, moderator: User, browser, django_assert_max_num_queries) -> None:
    for _ in range(20):
        look(moderator, owner, reason="why")
    view = browser(owner)
    view.get(PAGE)
    with django_assert_max_num_queries(5):
        view.get(PAGE)
