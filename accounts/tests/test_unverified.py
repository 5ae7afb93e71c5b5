"""The notice that one's address is not confirmed, and sending it away."""

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db

LATER = "/accounts/confirm/later/"
NOTICE = "Your e-mail address is not confirmed yet"


@pytest.fixture
def unconfirmed(db) -> User:
    return make_user(email_verified_at=None)


def test_the_profile_shows_it_to_whom_it_concerns(unconfirmed: User, owner: User, guest: User, browser) -> None:
    for person, shows in ((unconfirmed, True), (owner, False), (guest, False)):
        assert (NOTICE in browser(person).get("/accounts/profile/").content.decode()) is shows


def test_the_profile_shows_it_also_after_it_was_sent_away(unconfirmed: User, browser) -> None:
    page = browser(unconfirmed)
    answer = page.post(LATER, headers={"Referer": "http://testserver/help/"})
    assert answer["Location"] == "http://testserver/help/"
    assert NOTICE in page.get("/accounts/profile/").content.decode()


def test_only_our_own_page_sends_it_away(unconfirmed: User, client: Client) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(unconfirmed)
    assert page.get(LATER).status_code == 405
    assert page.post(LATER).status_code == 403
    assert client.post(LATER)["Location"] == "/"
    assert "sessionid" not in client.cookies
