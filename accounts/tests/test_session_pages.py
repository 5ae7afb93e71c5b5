"""The page that says where one is signed in, and ends one sign-in."""

import re

import pytest
from django.test import Client

from accounts import families
from accounts.models import BrowserSession, User
from accounts.tests.api_client import ApiClient
from accounts.tests.conftest import signed_in_person

pytestmark = pytest.mark.django_db

SESSIONS = "/accounts/sessions/"


def addresses(page: Client) -> list[str]:
    """Where the buttons of the page lead that end something."""
    return re.findall(rf'action="({SESSIONS}[\w-]+/end/)"', page.get(SESSIONS).content.decode())


def test_browsers_and_programs_are_listed_and_this_one_is_marked(owner: User, sign_in) -> None:
    sign_in(owner.email, HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0")
    ApiClient().post("auth/login", {"email": owner.email, "password": "correct horse battery", "device": "Shell"})
    here = sign_in(owner.email, HTTP_USER_AGENT="Mozilla/5.0 (iPhone) Safari/604.1")
    answer = here.get(SESSIONS)
    html = answer.content.decode()
    assert re.findall(r'entry-name">([^<]*)<', html) == [each.device for each in answer.context["sign_ins"]]
    assert {each.device for each in answer.context["sign_ins"]} == {"Safari (iPhone)", "Firefox (Linux)", "Shell"}
    assert html.count("this one</strong>") == 1
    assert len(addresses(here)) == 2
    assert "no-store" in answer["Cache-Control"]
    assert here.session.session_key not in html


def test_ending_a_browser_signs_it_out_and_no_other(owner: User, browser) -> None:
    here, elsewhere = browser(owner), browser(owner)
    (address,) = addresses(here)
    answer = here.post(address, follow=True)
    assert answer.redirect_chain == [(SESSIONS, 302)]
    assert "That session has ended." in answer.content.decode()
    assert signed_in_person(elsewhere) is None
    assert signed_in_person(here) == str(owner.pk)
    assert addresses(here) == []
    assert here.post(address).status_code == 404


def test_ending_a_program_ends_its_tokens(owner: User, browser) -> None:
    client = ApiClient()
    pair = client.post("auth/login", {"email": owner.email, "password": "correct horse battery"}).json()
    here = browser(owner)
    (address,) = addresses(here)
    here.post(address)
    assert ApiClient(pair["access"]).get("me").status_code == 401
    assert not families.live_families(owner).exists()


def test_ending_this_one_signs_out(owner: User, browser) -> None:
    here = browser(owner)
    (mine,) = here.get(SESSIONS).context["sign_ins"]
    assert here.post(f"{SESSIONS}{mine.id}/end/")["Location"] == "/accounts/sign-in/"
    assert signed_in_person(here) is None
    assert not BrowserSession.objects.filter(user=owner).exists()


def test_anothers_session_is_as_absent(owner: User, other: User, browser) -> None:
    page, stranger = browser(owner), browser(other)
    (mine,) = page.get(SESSIONS).context["sign_ins"]
    assert stranger.post(f"{SESSIONS}{mine.id}/end/").status_code == 404
    assert stranger.post(f"{SESSIONS}00000000-0000-7000-8000-000000000000/end/").status_code == 404
    assert signed_in_person(page) == str(owner.pk)


def test_ending_needs_a_post_of_our_own_page(owner: User, browser) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(owner)
    (mine,) = page.get(SESSIONS).context["sign_ins"]
    address = f"{SESSIONS}{mine.id}/end/"
    assert page.get(address).status_code == 405
    assert page.post(address).status_code == 403
    assert signed_in_person(page) == str(owner.pk)


def test_guests_and_nobody_have_no_such_page(guest: User, client: Client, browser) -> None:
    end = f"{SESSIONS}00000000-0000-7000-8000-000000000000/end/"
    assert browser(guest).get(SESSIONS)["Location"] == browser(guest).post(end)["Location"] == "/accounts/sign-up/"
    assert client.get(SESSIONS)["Location"] == f"/accounts/sign-in/?next={SESSIONS}"
    assert client.post(end)["Location"] == f"/accounts/sign-in/?next={end}"
