import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.signals import guest_merged
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_guest, make_user

pytestmark = pytest.mark.django_db


def without_tokens(content: bytes) -> bytes:
    return re.sub(rb'(content|value)="\w{64}"', b"", content)


@pytest.mark.parametrize("email", ["owner@example.org", "OWNER@Example.org", "  owner@example.org "])
def test_the_address_signs_in_without_regard_to_case(owner: User, sign_in, email: str) -> None:
    browser = sign_in(email)
    assert browser.answer.status_code == 302
    assert signed_in_person(browser) == str(owner.pk)


def test_the_username_does_not_sign_in(owner: User, sign_in) -> None:
    assert signed_in_person(sign_in("owner")) is None


def test_the_answer_is_the_same_for_wrong_unknown_and_suspended(owner: User, other: User, sign_in) -> None:
    User.objects.filter(pk=other.pk).update(is_active=False)
    wrong = sign_in(owner.email, "not the password").answer
    unknown = sign_in("ghost@example.org", "not the password").answer
    suspended = sign_in(other.email, PASSWORD).answer
    pages = [
        without_tokens(answer.content.replace(email.encode(), b""))
        for answer, email in ((wrong, owner.email), (unknown, "ghost@example.org"), (suspended, other.email))
    ]
    assert [answer.status_code for answer in (wrong, unknown, suspended)] == [200] * 3
    assert pages[0] == pages[1] == pages[2]
    assert wrong.context["form"].non_field_errors()


@pytest.mark.parametrize("required", [True, False])
def test_the_work_is_the_same_for_known_and_unknown_addresses(
    owner: User, sign_in, hash_runs, settings, required
) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = required
    make_user("passwordless@example.org")
    sign_in("warm-up@example.org")  # the stand-in password is hashed once per process
    work = []
    for email in (owner.email, "ghost@example.org", "passwordless@example.org"):
        with CaptureQueriesContext(connection) as queries:
            hashed = hash_runs(lambda email=email: sign_in(email, "not the password"))
        work.append((hashed, [re.sub(r"'[^']*'", "", query["sql"]) for query in queries]))
    assert work[0][0] == 1
    assert work[0] == work[1] == work[2]


def test_an_unverified_account_gets_the_mail_again_where_verifying_is_required(settings, sign_in, mailed_link) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = True
    user = make_user("new@example.org", PASSWORD, email_verified_at=None)
    browser = sign_in("new@example.org")
    assert signed_in_person(browser) is None
    browser.post(mailed_link())
    assert signed_in_person(sign_in("new@example.org")) == str(user.pk)


def test_the_session_key_is_a_new_one(owner: User, sign_in) -> None:
    browser = Client()
    browser.post("/accounts/guest/")
    before = browser.session.session_key
    sign_in(owner.email, browser=browser)
    assert browser.session.session_key != before
    assert not type(browser.session)().exists(before)


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [
        ("/accounts/profile/", "/accounts/profile/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\\evil.example", "/"),
    ],
)
def test_next_leads_nowhere_but_to_this_site(owner: User, target: str, goes_to: str) -> None:
    answer = Client().post("/accounts/sign-in/", {"email": owner.email, "password": PASSWORD, "next": target})
    assert answer["Location"] == goes_to


def test_signing_out_takes_a_post(browser, owner: User) -> None:
    page = browser(owner)
    assert page.get("/accounts/sign-out/").status_code == 200
    assert signed_in_person(page) == str(owner.pk)
    page.post("/accounts/sign-out/")
    assert signed_in_person(page) is None


def test_a_guest_is_warned_before_leaving(browser) -> None:
    assert b"no way back" in browser(make_guest()).get("/accounts/sign-out/").content


@pytest.mark.parametrize("path", ["profile/", "password/", "email/", "sign-out/"])
def test_strangers_are_asked_to_sign_in(client: Client, path: str) -> None:
    answer = client.get(f"/accounts/{path}")
    assert answer["Location"] == f"/accounts/sign-in/?next=/accounts/{path}"


@pytest.mark.parametrize("path", ["password/", "email/"])
def test_guests_are_asked_to_sign_up(browser, path: str) -> None:
    assert browser(make_guest()).get(f"/accounts/{path}")["Location"] == "/accounts/sign-up/"


def test_forms_need_their_token(owner: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    for path in ("sign-in/", "sign-up/", "guest/", "password/forgot/", "sign-out/everywhere/"):
        assert strict.post(f"/accounts/{path}", {"email": owner.email, "password": PASSWORD}).status_code == 403


def test_the_admin_sends_to_the_page_that_signs_in(sign_in) -> None:
    make_user("plain@example.org", PASSWORD)
    make_user("root@example.org", PASSWORD, role="admin")
    door = Client().get("/admin/accounts/user/", follow=True)
    assert [where for where, _ in door.redirect_chain] == [
        "/admin/login/?next=/admin/accounts/user/",
        "/accounts/sign-in/?next=%2Fadmin%2Faccounts%2Fuser%2F",
    ]
    plain, root = sign_in("plain@example.org"), sign_in("root@example.org")
    assert root.get("/admin/").status_code == 200
    assert root.get("/admin/login/")["Location"] == "/admin/"
    refused = plain.get("/admin/", follow=True, headers={"Accept": "text/html"})
    assert refused.status_code == 403
    assert "Sign out first" in refused.content.decode()


def test_signing_in_from_a_guest_hands_over_what_the_guest_has(owner: User, sign_in, browser: Callable) -> None:
    seen = []

    def receiver(sender, guest, user, **kwargs) -> None:
        seen.append((guest.pk, user.pk))

    guest = make_guest()
    guest_merged.connect(receiver)
    try:
        page = sign_in(owner.email, browser=browser(guest))
    finally:
        guest_merged.disconnect(receiver)
    assert signed_in_person(page) == str(owner.pk)
    assert seen == [(guest.pk, owner.pk)]
    guest.refresh_from_db()
    assert not guest.is_active


def test_signing_in_from_no_guest_merges_nobody(owner: User, other: User, sign_in, browser) -> None:
    def receiver(**kwargs) -> None:
        raise AssertionError

    guest_merged.connect(receiver)
    try:
        sign_in(owner.email)
        page = browser(other)
        page.post("/accounts/sign-in/", {"email": owner.email, "password": PASSWORD})
    finally:
        guest_merged.disconnect(receiver)
