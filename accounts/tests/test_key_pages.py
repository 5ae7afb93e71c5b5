"""The page about one's API keys: what it shows to whom, and that a key's text stands on one page only."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import make_moderator

pytestmark = pytest.mark.django_db

KEYS = "/accounts/keys/"
KEY = re.compile(r"nono_sk_[\w-]{43}")


def make(page: Client, **fields):
    return page.post(KEYS, {"name": "script", "scopes": ["read", "chat"], "days": "30", **fields})


def errors(answer) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["form"].errors)


def test_a_key_is_shown_once_and_works(owner: User, browser, caplog, capsys) -> None:
    page = browser(owner)
    with caplog.at_level("DEBUG"):
        answer = make(page)
    (text,) = set(KEY.findall(answer.content.decode()))
    assert "no-store" in answer["Cache-Control"]
    assert text not in caplog.text + "".join(capsys.readouterr())
    assert ApiClient(text).get("me").json()["id"] == str(owner.pk)
    again = page.get(KEYS)
    assert text not in again.content.decode()
    assert "no-store" in again["Cache-Control"]
    assert text not in str(dict(page.session)) + str(page.cookies)
    key = ApiKey.objects.get()
    assert (key.user, key.name, key.scopes) == (owner, "script", ["chat", "read"])
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)


def test_a_key_may_hold_for_good(owner: User, browser) -> None:
    make(browser(owner), days="")
    assert ApiKey.objects.get().expires_at is None


def test_the_list_says_what_a_key_is_and_when_it_was_used(owner: User, browser) -> None:
    page = browser(owner)
    key, text = api_keys.create_key(user=owner, name="<b>laptop</b>", scopes=[Scope.WRITE])
    html = page.get(KEYS).content.decode()
    assert "&lt;b&gt;laptop&lt;/b&gt;" in html
    assert f"{key.prefix}…" in html
    assert "never used" in html
    assert "Holds for good" in html
    ApiClient(text).get("me")
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    html = page.get(KEYS).content.decode()
    assert "never used" not in html
    assert "Ran out on" in html


def test_one_sees_ones_own_keys_alone(owner: User, other: User, browser) -> None:
    api_keys.create_key(user=owner, name="mine", scopes=[Scope.READ])
    api_keys.create_key(user=other, name="theirs", scopes=[Scope.READ])
    html = browser(owner).get(KEYS).content.decode()
    assert "mine" in html
    assert "theirs" not in html


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "\u202e \u202e"}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": ["staff"]}, "scopes"),
        ({"days": "100000"}, "days"),
    ],
)
def test_what_makes_no_key_is_said_at_its_field(owner: User, browser, fields, field: str) -> None:
    assert list(errors(make(browser(owner), **fields))) == [field]
    assert not ApiKey.objects.exists()


def test_a_page_that_is_sent_twice_makes_one_key(owner: User, browser) -> None:
    page = browser(owner)
    make(page)
    assert list(errors(make(page, name="SCRIPT"))) == ["name"]
    assert ApiKey.objects.count() == 1
    api_keys.revoke_keys(user=owner)
    make(page)
    assert ApiKey.objects.filter(revoked_at=None).count() == 1


def test_the_scope_of_staff_is_offered_to_staff_alone(owner: User, browser) -> None:
    assert 'value="staff"' not in browser(owner).get(KEYS).content.decode()
    page = browser(make_moderator())
    assert 'value="staff"' in page.get(KEYS).content.decode()
    make(page, scopes=["staff"])
    assert ApiKey.objects.get().scopes == ["staff"]


def test_more_keys_than_allowed_are_refused_on_the_page(owner: User, browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MOST", 1)
    page = browser(owner)
    make(page)
    answer = make(page, name="one too many")
    assert answer.status_code == 409
    assert "Revoke a key before you make another one." in answer.content.decode()
    assert not KEY.search(answer.content.decode())


def test_revoking_asks_first(owner: User, browser) -> None:
    page = browser(owner)
    key, text = api_keys.create_key(user=owner, name="laptop", scopes=[Scope.READ])
    address = f"{KEYS}{key.pk}/revoke/"
    question = page.get(address)
    assert "Revoke “laptop”?" in question.content.decode()
    assert ApiClient(text).get("me").status_code == 200
    answer = page.post(address, follow=True)
    assert answer.redirect_chain == [(KEYS, 302)]
    assert "The key is revoked." in answer.content.decode()
    assert "laptop" not in answer.content.decode()
    assert ApiClient(text).get("me").status_code == 401
    assert page.get(address).status_code == page.post(address).status_code == 404


def test_anothers_key_is_as_absent(owner: User, other: User, browser) -> None:
    key, text = api_keys.create_key(user=owner, name="laptop", scopes=[Scope.READ])
    page = browser(other)
    address = f"{KEYS}{key.pk}/revoke/"
    absent = f"{KEYS}00000000-0000-7000-8000-000000000000/revoke/"
    for call in (page.get, page.post):
        assert call(address).status_code == call(absent).status_code == 404
        assert "laptop" not in call(address).content.decode()
    assert ApiClient(text).get("me").status_code == 200


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}00000000-0000-7000-8000-000000000000/revoke/"])
def test_guests_and_nobody_have_no_keys(guest: User, client: Client, browser, path: str) -> None:
    for method in ("get", "post"):
        assert getattr(browser(guest), method)(path)["Location"] == "/accounts/sign-up/"
        assert getattr(client, method)(path)["Location"] == f"/accounts/sign-in/?next={path}"


def test_the_page_takes_no_key_from_another_site(owner: User) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(owner)
    assert make(page).status_code == 403
    assert not ApiKey.objects.exists()


def test_the_profile_leads_here_but_for_guests(owner: User, guest: User, browser) -> None:
    for path in (KEYS, "/accounts/sessions/"):
        assert f'href="{path}"' in browser(owner).get("/accounts/profile/").content.decode()
        assert f'href="{path}"' not in browser(guest).get("/accounts/profile/").content.decode()


def test_the_menu_leads_to_the_api_but_for_guests(owner: User, guest: User, browser) -> None:
    assert 'href="/docs"' in browser(owner).get("/accounts/profile/").content.decode()
    assert 'href="/docs"' not in browser(guest).get("/accounts/profile/").content.decode()
