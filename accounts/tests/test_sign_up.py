import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import SignUp, User
from accounts.retention import policies
from accounts.services import complete_sign_up
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_admin, make_guest, make_user

pytestmark = pytest.mark.django_db
NEW = {"email": "Ada@Example.org", "password": PASSWORD}


def sign_up(browser: Client, **fields: str):
    return browser.post("/accounts/sign-up/", {**NEW, **fields})


def without_chance(response) -> list:
    """All of an answer but the values that are random by design, and the second in which it was given."""
    headers = [(name, value) for name, value in response.items() if name not in ("Set-Cookie", "Expires")]
    cookies = sorted((name, cookie["max-age"], len(cookie.value)) for name, cookie in response.cookies.items())
    return [response.status_code, headers, cookies, re.sub(rb'value="[\w]{64}"', b"", response.content)]


def test_signing_up_makes_no_session_and_no_account_yet(client: Client) -> None:
    response = sign_up(client)
    assert response.status_code == 302
    assert response["Location"] == "/accounts/sign-up/sent/"
    assert signed_in_person(client) is None
    assert not User.objects.exists()
    assert client.get("/accounts/sign-up/sent/").status_code == 200


def test_the_answer_is_the_same_for_an_address_with_an_account(client: Client, owner: User) -> None:
    new, known = sign_up(client), sign_up(Client(), email=owner.email)
    assert without_chance(new) == without_chance(known)
    pages = [browser.get("/accounts/sign-up/sent/") for browser in (client, Client())]
    assert pages[0].status_code == pages[1].status_code == 200


def test_the_work_is_the_same_for_an_address_with_an_account(owner: User, hash_runs) -> None:
    statements, hashes = [], []
    for email in ("nobody@example.org", owner.email):
        with CaptureQueriesContext(connection) as queries:
            hashes.append(hash_runs(lambda email=email: sign_up(Client(), email=email)))
        statements.append([re.sub(r"'[^']*'|s\d+_x\d+", "", query["sql"]) for query in queries])
    assert hashes == [1, 1]
    assert statements[0] == statements[1]
    assert len(statements[0]) > 2


def test_an_address_with_an_account_is_told_by_mail_alone(client: Client, owner: User, delivered) -> None:
    sign_up(client, email=owner.email.upper())
    (message,) = delivered()
    assert message.to == [owner.email]
    assert "already" in message.subject
    assert "/link/" not in message.body
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_the_link_makes_a_verified_account_and_signs_in(client: Client, mailed_link) -> None:
    sign_up(client, username="ada")
    link = mailed_link()
    assert client.get(link).status_code == 200
    assert not User.objects.exists()  # looking is not doing
    response = client.post(link)
    user = User.objects.get()
    assert response.status_code == 302
    assert signed_in_person(client) == str(user.pk)
    assert (user.email, user.username, user.is_guest) == ("ada@example.org", "ada", False)
    assert user.email_verified_at
    assert user.check_password(PASSWORD)


def test_the_link_works_once(client: Client, mailed_link) -> None:
    sign_up(client)
    link = mailed_link()
    client.post(link)
    for again in (client.get(link), client.post(link)):
        assert again.status_code == 400
    assert User.objects.count() == 1


@pytest.mark.parametrize("token", ["x", "a:b:c", "W10:1w:zzz"])
def test_a_forged_link_is_dead(client: Client, token: str) -> None:
    assert client.post(f"/accounts/link/sign-up/{token}/").status_code == 400


def test_in_another_browser_the_link_asks_for_the_password(client: Client, mailed_link) -> None:
    sign_up(client)
    link, elsewhere = mailed_link(), Client()
    assert elsewhere.post(link).status_code == 200
    assert elsewhere.post(link, {"password": "guess"}).status_code == 200
    assert not User.objects.exists()
    assert elsewhere.post(link, {"password": PASSWORD}).status_code == 302
    assert signed_in_person(elsewhere) == str(User.objects.get().pk)


def test_a_stranger_cannot_plant_a_password_in_anothers_account(client: Client, delivered) -> None:
    sign_up(client, email="victim@example.org")  # the stranger's sign-up, the victim's mailbox
    (message,) = delivered()
    link = re.search(r"/accounts/link/\S+", message.body).group()
    Client().post(link)
    assert not User.objects.exists()


def test_a_link_works_as_long_as_the_policy_says_and_no_longer(client: Client, mailed_link) -> None:
    sign_up(client)
    link = mailed_link()
    waiting = SignUp.objects.get()
    SignUp.objects.update(created_at=waiting.created_at - timedelta(days=4))
    assert client.post(link).status_code == 400, "its row is there still"
    policies.set_policy(actor=make_admin(), data_class="sign_up", days=5, reason="x")
    assert client.post(link).status_code == 302


def test_a_sign_up_whose_time_is_over_signs_nobody_in(client: Client, settings, sign_in) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = False
    sign_up(client)
    SignUp.objects.update(created_at=timezone.now() - timedelta(days=4))
    sign_in("ada@example.org", browser=client)
    assert not User.objects.exists()


def test_where_verifying_is_not_required_the_password_signs_in_at_once(
    client: Client, settings, sign_in, mailed_link
) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = False
    sign_up(client)
    assert b"sign in with your new password" in client.get("/accounts/sign-up/sent/").content
    sign_in("ada@example.org", browser=client)
    user = User.objects.get()
    assert signed_in_person(client) == str(user.pk)
    assert user.email_verified_at is None
    assert b"not confirmed yet" in client.get("/accounts/profile/").content
    assert client.post(mailed_link()).status_code == 302  # and the mailed link still verifies
    user.refresh_from_db()
    assert user.email_verified_at
    assert b"not confirmed yet" not in client.get("/accounts/profile/").content


def test_where_verifying_is_required_the_password_alone_does_not_sign_in(settings, sign_in) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = True
    sign_up(Client())
    fresh, unknown = sign_in("ada@example.org"), sign_in("nobody@example.org")
    assert signed_in_person(fresh) is None
    assert fresh.answer.status_code == unknown.answer.status_code == 200
    plain = [page.answer.content.replace(b"ada@", b"nobody@") for page in (fresh, unknown)]
    tokens = rb'(content|value)="\w{64}"'
    assert re.sub(tokens, b"", plain[0]) == re.sub(tokens, b"", plain[1])


def test_of_two_sign_ups_with_one_address_the_first_confirmed_wins() -> None:
    first = SignUp.objects.create(email="ada@example.org", password="x")
    second = SignUp.objects.create(email="ada@example.org", password="y")
    assert complete_sign_up(second.pk, verified=True)
    assert complete_sign_up(first.pk, verified=True) is None
    assert User.objects.get().password == "y"


@pytest.mark.django_db(transaction=True)
def test_a_sign_up_completed_many_times_at_once_makes_one_account() -> None:
    waiting = SignUp.objects.create(email="ada@example.org", password="x")
    rival = SignUp.objects.create(email="ada@example.org", password="y")

    def complete(number: int) -> bool:
        try:
            return complete_sign_up((waiting if number % 2 else rival).pk, verified=True) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(complete, range(8))).count(True) == 1
    assert User.objects.count() == 1


def test_a_username_taken_meanwhile_gets_an_ending() -> None:
    waiting = SignUp.objects.create(email="ada@example.org", password="x", username="Ada")
    make_user(username="ada")
    user = complete_sign_up(waiting.pk, verified=True)
    assert user.username.startswith("Ada-")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"), ("email", "a@example.org\x00"), ("email", ""), ("password", "12345678"),
        ("password", "short"), ("password", ""), ("username", "a b"), ("username", "a/b"), ("username", "x" * 41),
        ("username", "OWNER"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_said_on_the_form(client: Client, owner: User, field: str, value: str) -> None:
    response = sign_up(client, **{field: value})
    assert response.status_code == 200
    assert response.context["form"].errors[field]
    assert not SignUp.objects.exists()


def test_nothing_but_the_listed_fields_can_be_set(client: Client, mailed_link) -> None:
    sign_up(client, role="admin", is_staff="1", is_superuser="1", email_verified_at="2020-01-01", is_guest="1")
    client.post(mailed_link())
    user = User.objects.get()
    assert (user.role, user.is_staff, user.is_guest) == ("user", False, False)


def test_a_guest_who_signs_up_keeps_their_row(browser: Callable[[User], Client], mailed_link) -> None:
    guest = make_guest()
    page = browser(guest)
    old_key = page.session.session_key
    sign_up(page)
    assert signed_in_person(page) == str(guest.pk)
    page.post(mailed_link())
    guest.refresh_from_db()
    assert (guest.email, guest.is_guest, guest.username) == ("ada@example.org", False, "ada")
    assert signed_in_person(page) == str(guest.pk)
    assert page.session.session_key != old_key


def test_a_guest_row_that_is_gone_does_not_stop_the_sign_up(browser, mailed_link) -> None:
    guest = make_guest()
    page = browser(guest)
    sign_up(page)
    guest.delete()
    page.post(mailed_link())
    assert User.objects.get().email == "ada@example.org"


def test_a_member_is_not_asked_to_sign_up(browser, owner: User) -> None:
    assert browser(owner).get("/accounts/sign-up/").status_code == 302


def test_the_confirmation_can_be_sent_again_without_telling_who_exists(client: Client, owner: User, delivered) -> None:
    sign_up(client)
    delivered()
    answers = [
        client.post("/accounts/confirm/", {"email": email})
        for email in ("ada@example.org", owner.email, "nobody@example.org")
    ]
    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, "/accounts/confirm/sent/")}
    assert [message.to for message in delivered()] == [["ada@example.org"]]


def test_mail_to_one_address_is_limited(client: Client) -> None:
    answers = [sign_up(client) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [302] * 6 + [429]
    assert int(answers[-1]["Retry-After"]) > 0


def test_in_a_local_installation_the_page_says_where_the_mail_is(client: Client, settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert b"log/celery.log" in client.get("/accounts/sign-up/sent/").content
    settings.IS_LOCAL = False
    assert b"celery.log" not in client.get("/accounts/sign-up/sent/").content
