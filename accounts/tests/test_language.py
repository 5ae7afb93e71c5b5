"""The switch of languages: for people it is their profile's, for others the browser's."""

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.factories import make_user

pytestmark = pytest.mark.django_db

SWITCH = "/accounts/language/"


def spoken(page: Client) -> str:
    return page.get("/whoami/", headers={"Accept-Language": "en"}).json()["language"]


def test_a_visitor_chooses_and_the_browser_keeps_it(client: Client) -> None:
    answer = client.post(SWITCH, {"code": "de", "next": "/accounts/sign-in/?next=/help/"})
    assert answer["Location"] == "/accounts/sign-in/?next=/help/"
    assert spoken(client) == "de"
    cookie = client.cookies["nono_language"]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 365 * 24 * 3600)
    client.post(SWITCH, {"code": "en"})
    assert spoken(client) == "en"
    assert spoken(Client()) == "en"


@pytest.mark.parametrize("is_guest", [False, True])
def test_a_persons_choice_is_their_profiles(owner: User, guest: User, other: User, browser, is_guest: bool) -> None:
    person = guest if is_guest else owner
    here, elsewhere = browser(person), browser(person)
    here.post(SWITCH, {"code": "de"})
    assert spoken(here) == spoken(elsewhere) == "de"
    elsewhere.post(SWITCH, {"code": "en"})
    assert spoken(here) == "en"
    person.refresh_from_db()
    other.refresh_from_db()
    assert (person.language, other.language) == ("en", "")


def test_what_the_profile_says_is_what_the_browser_does(browser) -> None:
    page = browser(make_user(username="owner", language="de"))
    page.post(SWITCH, {"code": "de"})
    page.post("/accounts/profile/", {"username": "owner", "language": "", "timezone": ""})
    assert spoken(page) == "en"


@pytest.mark.parametrize("code", ["", "xx yy", "../../", "de;", "x" * 300, "\0"])
def test_what_is_no_language_is_not_kept(owner: User, browser, code: str) -> None:
    page = browser(owner)
    page.cookies["nono_language"] = "de"
    page.post(SWITCH, {"code": code})
    assert not page.cookies["nono_language"].value
    owner.refresh_from_db()
    assert owner.language == ""


def test_one_comes_back_to_where_it_was_chosen(client: Client) -> None:
    here = "http://testserver/help/?q=x"
    assert client.post(SWITCH, {"code": "de"}, headers={"Referer": here})["Location"] == here
    assert client.post(SWITCH, {"code": "de"})["Location"] == "/"


def test_nobody_is_sent_elsewhere(client: Client) -> None:
    evil = "https://evil.example/"
    assert client.post(SWITCH, {"code": "de", "next": evil})["Location"] == "/"
    assert client.post(SWITCH, {"code": "de"}, headers={"Referer": evil})["Location"] == "/"


def test_a_page_that_answers_a_form_leads_to_the_chat(client: Client) -> None:
    html = client.post("/accounts/sign-in/", {}).content.decode()
    assert 'name="next" value="/"' in html


def test_only_our_own_pages_choose(owner: User) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(owner)
    assert page.get(SWITCH).status_code == 405
    assert page.post(SWITCH, {"code": "de"}).status_code == 403


def test_the_switch_stands_on_pages_for_everybody(owner: User, guest: User, client: Client, browser) -> None:
    for page, path in ((client, "sign-in"), (browser(owner), "profile"), (browser(guest), "profile")):
        html = page.get(f"/accounts/{path}/").content.decode()
        assert html.count(f'action="{SWITCH}"') == 1
        assert 'lang="en" aria-pressed="true">English' in html
        assert 'lang="de" aria-pressed="false">Deutsch' in html
