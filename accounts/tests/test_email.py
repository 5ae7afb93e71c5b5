import pytest
from django.core import mail as django_mail
from django.test import Client

from accounts import tokens
from accounts.models import User
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
CHANGE = {"email": "New@Example.org", "password": PASSWORD}


def test_a_new_address_counts_once_its_link_is_opened(owner: User, browser, mailed_link, delivered, sign_in) -> None:
    page = browser(owner)
    assert page.post("/accounts/email/", CHANGE)["Location"] == "/accounts/confirm/sent/"
    owner.refresh_from_db()
    assert owner.email == "owner@example.org"
    link = mailed_link()
    assert django_mail.outbox[0].to == ["new@example.org"]
    page.get(link)
    owner.refresh_from_db()
    assert owner.email == "owner@example.org"  # looking is not doing
    page.post(link)
    owner.refresh_from_db()
    assert owner.email == "new@example.org"
    assert [message.to for message in delivered()] == [["owner@example.org"]]  # the former address is told
    assert signed_in_person(sign_in("new@example.org")) == str(owner.pk)
    assert page.post(link).status_code == 400


def test_a_change_needs_the_password(owner: User, browser, delivered) -> None:
    answer = browser(owner).post("/accounts/email/", {**CHANGE, "password": "wrong"})
    assert answer.context["form"].errors["password"]
    assert delivered() == []


def test_asking_for_anothers_address_answers_alike_and_changes_nothing(
    owner: User, other: User, browser, delivered
) -> None:
    page = browser(owner)
    answers = [page.post("/accounts/email/", {**CHANGE, "email": email}) for email in ("free@example.org", other.email)]
    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, "/accounts/confirm/sent/")}
    subjects = {message.to[0]: message for message in delivered()}
    assert "/link/" in subjects["free@example.org"].body
    assert "/link/" not in subjects[other.email].body


def test_an_address_taken_meanwhile_is_refused(owner: User, browser) -> None:
    link = f"/accounts/link/email/{tokens.email_token(owner, 'late@example.org')}/"
    make_user("late@example.org")
    assert browser(owner).post(link).status_code == 400
    owner.refresh_from_db()
    assert owner.email == "owner@example.org"


def test_nobody_but_the_account_itself_opens_the_link_to_a_new_address(owner: User, other: User, browser) -> None:
    link = f"/accounts/link/email/{tokens.email_token(owner, 'victim@example.org')}/"
    assert Client().post(link)["Location"].startswith("/accounts/sign-in/?next=/accounts/link/email/")
    assert browser(other).post(link).status_code == 400
    owner.refresh_from_db()
    assert owner.email == "owner@example.org"


def test_the_device_stays_known_under_the_new_address(owner: User, browser) -> None:
    page = browser(owner)
    page.post(f"/accounts/link/email/{tokens.email_token(owner, 'new@example.org')}/")
    page.post("/accounts/sign-out/")
    answers = [page.post("/accounts/sign-in/", {"email": "new@example.org", "password": "x"}) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 8  # a stranger is stopped after 6


def test_a_suspended_persons_link_is_dead(owner: User) -> None:
    token = tokens.email_token(owner, owner.email)
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert tokens.read_email_token(token) is None


def test_the_profile_saves_what_one_may_set_and_nothing_else(owner: User, browser) -> None:
    page = browser(owner)
    form = {"username": "Ada", "language": "de", "timezone": "Europe/Berlin", "role": "admin", "email": "x@example.org"}
    assert page.post("/accounts/profile/", form).status_code == 302
    owner.refresh_from_db()
    assert (owner.username, owner.language, owner.timezone) == ("Ada", "de", "Europe/Berlin")
    assert (owner.role, owner.email) == ("user", "owner@example.org")
    person = page.get("/whoami/").json()
    assert (person["language"], person["time_zone"]) == ("de", "Europe/Berlin")


@pytest.mark.parametrize(
    ("field", "value"),
    [("username", "OTHER"), ("username", ""), ("language", "xx"), ("timezone", "Mars/Base"), ("timezone", "../x")],
)
def test_the_profile_refuses_what_cannot_be(owner: User, other: User, browser, field: str, value: str) -> None:
    form = {"username": "owner", "language": "", "timezone": "", field: value}
    answer = browser(owner).post("/accounts/profile/", form)
    assert answer.context["form"].errors[field]


def test_a_guest_sets_language_and_time_zone_but_no_name(guest: User, browser) -> None:
    browser(guest).post("/accounts/profile/", {"username": "boss", "language": "de", "timezone": "Asia/Tokyo"})
    name = guest.username
    guest.refresh_from_db()
    assert (guest.username, guest.language, guest.timezone) == (name, "de", "Asia/Tokyo")
