from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings as django_settings
from django.test import Client, RequestFactory

from accounts.credentials import Credential, Kind
from accounts.devices import COOKIE, device_of
from accounts.limits import Bucket, TooManyTries, give_back, sign_in_buckets, take
from accounts.models import User
from accounts.sources import client_address, client_source
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_user
from accounts.tickets import issue_ticket
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.tests.counting import refusals

WRONG = "not the password"


def taken(bucket: Bucket) -> bool:
    try:
        take([bucket])
    except TooManyTries:
        return False
    return True


def test_of_a_hundred_at_once_exactly_the_limit_gets_through() -> None:
    bucket, before = Bucket("test", 10, 3600), refusals("tries")
    with ThreadPoolExecutor(20) as threads:
        results = list(threads.map(lambda _: taken(bucket), range(100)))
    assert results.count(True) == 10
    assert refusals("tries") == before + 90


def test_it_says_when_to_come_back() -> None:
    bucket = Bucket("test", 2, 1000)
    take([bucket])
    take([bucket])
    with pytest.raises(TooManyTries) as refusal:
        take([bucket])
    assert 900 <= refusal.value.retry_after <= 1000
    assert refusal.value.status == 429


def test_a_full_bucket_takes_from_no_other() -> None:
    full, other = Bucket("full", 1, 100), Bucket("other", 1, 100)
    take([full])
    assert not any(taken_both(full, other) for _ in range(3))
    assert taken(other)


def taken_both(*buckets: Bucket) -> bool:
    try:
        take(buckets)
    except TooManyTries:
        return False
    return True


def test_a_try_given_back_can_be_taken_again() -> None:
    bucket = Bucket("test", 2, 100)
    take([bucket])
    take([bucket])
    give_back([bucket])
    assert taken(bucket)
    assert not taken(bucket)


def test_without_redis_nothing_is_let_through(settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    with pytest.raises(ApplicationError) as refusal:
        take([Bucket("test", 10, 1)])
    assert (refusal.value.code, refusal.value.status) == ("unavailable", 503)


def test_a_try_that_cannot_be_given_back_fails_nobodys_sign_in(settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    give_back([Bucket("test", 10, 1)])
    assert "limits_not_given_back" in caplog.text


def test_without_redis_no_ticket_is_given_out(settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    with pytest.raises(ApplicationError) as refusal:
        issue_ticket(user=User(), credential=Credential(Kind.FAMILY, "1"))
    assert (refusal.value.code, refusal.value.status) == ("unavailable", 503)


@pytest.mark.django_db
def test_without_redis_signing_in_says_so(owner: User, settings, sign_in) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    browser = sign_in(owner.email)
    assert browser.answer.status_code == 503
    assert b"Try again in a minute" in browser.answer.content
    assert signed_in_person(browser) is None


@pytest.mark.django_db
def test_guessing_one_account_from_one_source_is_slowed(owner: User, sign_in) -> None:
    answers = [sign_in(owner.email, WRONG).answer.status_code for _ in range(7)]
    assert answers == [200] * 6 + [429]
    refused = sign_in(owner.email, PASSWORD).answer
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 30


@pytest.mark.django_db
def test_guessing_is_slowed_alike_for_an_address_without_account(sign_in) -> None:
    answers = [sign_in("ghost@example.org", WRONG).answer.status_code for _ in range(7)]
    assert answers == [200] * 6 + [429]


@pytest.mark.django_db
def test_another_source_is_not_slowed_by_it(owner: User, sign_in) -> None:
    for _ in range(7):
        sign_in(owner.email, WRONG, REMOTE_ADDR="192.0.2.1")
    assert sign_in(owner.email, REMOTE_ADDR="192.0.2.2").answer.status_code == 302


@pytest.mark.django_db
def test_one_source_guessing_many_accounts_is_slowed(sign_in, rf: RequestFactory) -> None:
    for number in range(39):  # not by requests: every 15 seconds there is a try more, and a slow machine takes so long
        take(sign_in_buckets(rf.post("/"), f"ghost-{number}@example.org"))
    answers = [sign_in(f"ghost-{number}@example.org", WRONG).answer.status_code for number in (39, 40)]
    assert answers == [200, 429]


@pytest.mark.django_db
def test_many_sources_guessing_one_account_are_slowed_and_its_owner_still_gets_in(
    owner: User, sign_in, rf: RequestFactory
) -> None:
    home = sign_in(owner.email, REMOTE_ADDR="198.51.100.7")
    home.post("/accounts/sign-out/")
    for number in range(18):  # not by requests, as above
        take(sign_in_buckets(rf.post("/", REMOTE_ADDR=f"192.0.2.{number}"), owner.email))
    answers = [sign_in(owner.email, WRONG, REMOTE_ADDR=f"192.0.2.{n}").answer.status_code for n in range(18, 22)]
    assert answers == [200, 200, 429, 429]
    # Not even from the source that the guesses come from is the owner's own device slowed.
    assert sign_in(owner.email, browser=home, REMOTE_ADDR="192.0.2.1").answer.status_code == 302
    assert signed_in_person(home) == str(owner.pk)


@pytest.mark.django_db
def test_a_known_device_has_its_own_limit(owner: User, sign_in) -> None:
    home = sign_in(owner.email)
    home.post("/accounts/sign-out/")
    answers = [sign_in(owner.email, WRONG, browser=home).answer.status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]


@pytest.mark.django_db
def test_a_device_known_to_one_account_is_a_stranger_to_another(owner: User, other: User, sign_in) -> None:
    mine = sign_in(owner.email)
    mine.post("/accounts/sign-out/")
    answers = [sign_in(other.email, WRONG, browser=mine).answer.status_code for _ in range(7)]
    assert answers[-1] == 429


@pytest.mark.django_db
def test_a_forged_device_cookie_counts_for_nothing(owner: User, sign_in) -> None:
    browser = sign_in(owner.email)
    value = browser.cookies[COOKIE].value
    forged = RequestFactory(headers={"Cookie": f"{COOKIE}=x{value}"}).get("/")
    genuine = RequestFactory(headers={"Cookie": f"{COOKIE}={value}"}).get("/")
    assert device_of(forged) is None
    assert device_of(genuine).knows(owner.email.upper())
    assert owner.email not in value


@pytest.mark.django_db
def test_a_reset_by_mail_gets_the_owner_in_while_the_account_is_slowed(owner: User, sign_in, mailed_link) -> None:
    for n in range(25):
        sign_in(owner.email, WRONG, REMOTE_ADDR=f"192.0.2.{n}")
    browser = sign_in(owner.email, REMOTE_ADDR="198.51.100.7")
    assert browser.answer.status_code == 429
    browser.post("/accounts/password/forgot/", {"email": owner.email})
    browser.post(mailed_link(), {"new_password": "another good one"})
    assert signed_in_person(browser) == str(owner.pk)
    browser.post("/accounts/sign-out/")
    assert sign_in(owner.email, "another good one", browser=browser).answer.status_code == 302


@pytest.mark.django_db
def test_signing_in_rightly_uses_up_no_tries(owner: User, sign_in) -> None:
    answers = [sign_in(owner.email).answer.status_code for _ in range(30)]
    assert answers == [302] * 30


@pytest.mark.django_db
def test_pages_and_programs_are_slowed_alike(owner: User, sign_in) -> None:
    for _ in range(6):
        sign_in(owner.email, WRONG)
    page = sign_in(owner.email, WRONG, HTTP_ACCEPT="text/html").answer
    program = Client().post(
        "/accounts/sign-in/",
        {"email": owner.email, "password": WRONG},
        headers={"Accept": "application/json"},
    )
    assert page.status_code == program.status_code == 429
    assert int(page["Retry-After"]) > 0
    assert program.json()["code"] == "too_many_tries"
    assert int(program["Retry-After"]) > 0


@pytest.mark.django_db
def test_keys_in_redis_hold_no_address(owner: User, sign_in) -> None:
    sign_in(owner.email, WRONG)
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        keys = [key.decode() for key in client.scan_iter("limit:*")]
    assert keys
    assert not any("owner" in key for key in keys)


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (2, "203.0.113.9", "192.0.2.1"),
        (1, "", "unknown"),
        (1, "garbage", "unknown"),
    ],
)
def test_only_what_trusted_proxies_say_is_believed(settings, hops: int, forwarded: str, address: str) -> None:
    settings.TRUSTED_PROXY_HOPS = hops
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == address


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
    ],
)
def test_one_subscriber_is_one_source(address: str, source: str) -> None:
    assert client_source(RequestFactory().get("/", REMOTE_ADDR=address)) == source


@pytest.mark.django_db
def test_a_spoofed_forwarding_header_does_not_escape_the_limit(sign_in) -> None:
    make_user("target@example.org", PASSWORD)
    answers = [
        sign_in("target@example.org", WRONG, HTTP_X_FORWARDED_FOR=f"203.0.113.{n}").answer.status_code for n in range(7)
    ]
    assert answers[-1] == 429
