import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import services, tokens
from accounts.models import OutgoingMail, User
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
NEW = "another good one"


def forgot(email: str, **extra: str):
    return Client(**extra).post("/accounts/password/forgot/", {"email": email})


def test_asking_for_a_reset_answers_and_works_alike_for_known_and_unknown(owner: User) -> None:
    work, answers = [], []
    for email in (owner.email, "ghost@example.org"):
        with CaptureQueriesContext(connection) as queries:
            answers.append(forgot(email))
        work.append([re.sub(r"'[^']*'|s\d+_x\d+", "", query["sql"]) for query in queries])
    assert work[0] == work[1]
    known, unknown = (dict(answer.headers) for answer in answers)
    for headers in (known, unknown):
        assert headers.pop("Expires")  # the second in which it was answered
    assert known == unknown
    assert [(answer.status_code, answer.content) for answer in answers] == [(302, b"")] * 2
    assert answers[0]["Location"] == "/accounts/password/forgot/sent/"


def test_only_an_account_gets_a_reset_mail(owner: User, other: User, delivered) -> None:
    User.objects.filter(pk=other.pk).update(is_active=False)
    for email in (owner.email, other.email, "ghost@example.org"):
        forgot(email)
    assert [message.to for message in delivered()] == [[owner.email]]
    assert not OutgoingMail.objects.exists()


def test_a_reset_ends_all_sessions_and_signs_in_here(owner: User, browser, sign_in, mailed_link) -> None:
    elsewhere = browser(owner)
    forgot(owner.email)
    here, link = Client(), mailed_link()
    assert here.get(link).status_code == 200
    assert here.post(link, {"new_password": NEW}).status_code == 302
    assert signed_in_person(here) == str(owner.pk)
    assert signed_in_person(elsewhere) is None
    assert signed_in_person(sign_in(owner.email, PASSWORD)) is None
    assert signed_in_person(sign_in(owner.email, NEW)) == str(owner.pk)


def test_a_reset_link_works_once(owner: User, mailed_link) -> None:
    forgot(owner.email)
    link = mailed_link()
    Client().post(link, {"new_password": NEW})
    second = Client()
    assert second.post(link, {"new_password": "yet another one"}).status_code == 400
    assert second.get(link).status_code == 400
    owner.refresh_from_db()
    assert owner.check_password(NEW)


@pytest.mark.django_db(transaction=True)
def test_of_many_uses_of_a_reset_link_at_once_one_succeeds() -> None:
    token = tokens.reset_token(make_user("ada@example.org", PASSWORD))

    def use(number: int) -> bool:
        try:
            return services.reset_password(token=token, password=f"{NEW} {number}") is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(8))).count(True) == 1


def test_the_links_host_is_the_settings_not_the_requests(owner: User, delivered, settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    settings.BASE_URL = "https://nono.example"
    forgot(owner.email, HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="evil.example")
    (message,) = delivered()
    bodies = message.body + message.alternatives[0].content
    assert "evil.example" not in bodies
    assert bodies.count("https://nono.example/accounts/link/reset/") == 3


def test_a_reset_link_dies_with_the_next_password_change_or_sign_out_everywhere(owner: User) -> None:
    token = tokens.reset_token(owner)
    services.end_sessions(user=owner)
    assert tokens.read_reset_token(token) is None


def test_a_reset_link_runs_out(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.reset_token(owner)
    assert tokens.read_reset_token(token) == owner
    monkeypatch.setattr("accounts.tokens.RESET_SECONDS", -1)
    assert tokens.read_reset_token(token) is None


def test_a_token_for_one_thing_does_nothing_else(owner: User) -> None:
    assert tokens.read_reset_token(tokens.email_token(owner, "x@example.org")) is None
    assert tokens.read_email_token(tokens.reset_token(owner)) is None
    assert tokens.read_sign_up_token(tokens.reset_token(owner)) is None


def test_a_reset_verifies_the_address_it_was_mailed_to(mailed_link) -> None:
    user = make_user("new@example.org", PASSWORD, email_verified_at=None)
    forgot(user.email)
    Client().post(mailed_link(), {"new_password": NEW})
    user.refresh_from_db()
    assert user.email_verified_at


def test_a_weak_new_password_is_refused_and_the_link_lives_on(owner: User, mailed_link) -> None:
    forgot(owner.email)
    link = mailed_link()
    assert Client().post(link, {"new_password": "12345678"}).status_code == 200
    assert Client().post(link, {"new_password": NEW}).status_code == 302


def test_changing_the_password_ends_all_sessions_but_this_one(owner: User, browser, delivered) -> None:
    here, elsewhere = browser(owner), browser(owner)
    key = here.session.session_key
    answer = here.post("/accounts/password/", {"password": PASSWORD, "new_password": NEW})
    assert answer.status_code == 302
    assert signed_in_person(here) == str(owner.pk)
    assert here.session.session_key != key
    assert signed_in_person(elsewhere) is None
    owner.refresh_from_db()
    assert owner.check_password(NEW)
    assert [message.subject for message in delivered()] == ["Your password was changed"]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"password": "wrong", "new_password": NEW}, "password"),
        ({"password": PASSWORD, "new_password": "password"}, "new_password"),
        ({"password": PASSWORD}, "new_password"),
        ({"new_password": NEW}, "password"),
    ],
)
def test_a_change_needs_the_present_and_a_good_new_password(owner: User, browser, form: dict, field: str) -> None:
    answer = browser(owner).post("/accounts/password/", form)
    assert answer.context["form"].errors[field]
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_a_stolen_session_cannot_guess_the_password_quickly(owner: User, browser) -> None:
    page = browser(owner)
    answers = [
        page.post("/accounts/password/", {"password": f"guess {n}", "new_password": NEW}).status_code for n in range(12)
    ]
    assert answers[-1] == 429
