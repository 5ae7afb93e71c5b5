"""Signing up, in and out over the JSON API."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import families, services, tokens
from accounts.models import SignUp, User
from accounts.scopes import Scope
from accounts.signals import guest_merged
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_admin, make_guest, make_user

pytestmark = pytest.mark.django_db

NOBODY = "ghost@example.org"


@pytest.fixture
def api() -> ApiClient:
    return ApiClient()


def token_of(link: str) -> str:
    return link.rstrip("/").rpartition("/")[2]


def login(email: str, password: str = PASSWORD, **more: str):
    return ApiClient().post("auth/login", {"email": email, "password": password, **more})


# --- signing up


def test_signing_up_confirming_and_signing_in(api: ApiClient, mailed_link, settings) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = True
    answer = api.post("auth/register", {"email": " New@Example.org", "password": PASSWORD, "username": "newcomer"})
    assert (answer.status_code, list(answer.json())) == (202, ["detail"])
    assert login("new@example.org").status_code == 401, "not before the address is confirmed"
    confirmed = api.post("auth/verify-email", {"token": token_of(mailed_link()), "password": PASSWORD})
    assert confirmed.status_code == 204
    me = login("new@example.org").json()["user"]
    assert (me["username"], me["email"], me["email_verified"]) == ("newcomer", "new@example.org", True)


def test_a_sign_up_is_not_confirmed_without_its_password(api: ApiClient, mailed_link) -> None:
    api.post("auth/register", {"email": "new@example.org", "password": PASSWORD})
    token = token_of(mailed_link())
    assert refusal(api.post("auth/verify-email", {"token": token})) == (401, "sign_in_failed")
    assert refusal(api.post("auth/verify-email", {"token": token, "password": "wrong"})) == (401, "sign_in_failed")
    assert not User.objects.exists()
    assert api.post("auth/verify-email", {"token": token, "password": PASSWORD}).status_code == 204
    assert refusal(api.post("auth/verify-email", {"token": token, "password": PASSWORD})) == (404, "dead_link")


def test_guessing_a_sign_ups_password_is_slowed(api: ApiClient, mailed_link) -> None:
    api.post("auth/register", {"email": "new@example.org", "password": PASSWORD})
    token = token_of(mailed_link())
    codes = [refusal(api.post("auth/verify-email", {"token": token, "password": f"guess {n}"})) for n in range(7)]
    assert codes == [(401, "sign_in_failed")] * 6 + [(429, "too_many_tries")]


def test_registering_tells_nothing_about_who_has_an_account(api: ApiClient, owner: User, hash_runs) -> None:
    answers, work = [], []
    for email in (owner.email, NOBODY):
        with CaptureQueriesContext(connection) as queries:
            hashed = hash_runs(
                lambda email=email: answers.append(api.post("auth/register", {"email": email, "password": PASSWORD}))
            )
        work.append((hashed, [re.sub(r"'[^']*'|_x\d+", "", query["sql"]) for query in queries]))
    assert answers[0].status_code == answers[1].status_code == 202
    assert answers[0].content == answers[1].content
    assert work[0] == work[1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "no address", "password": PASSWORD}, "email"),
        ({"email": NOBODY, "password": "short"}, "password"),
        ({"email": NOBODY, "password": "12345678901"}, "password"),
        ({"email": NOBODY, "password": "password"}, "password"),
        ({"email": NOBODY, "password": NOBODY}, "password"),
        ({"email": NOBODY}, "password"),
        ({"password": PASSWORD}, "email"),
        ({"email": NOBODY, "password": PASSWORD, "username": "a b"}, "username"),
        ({"email": NOBODY, "password": PASSWORD, "username": "OWNER"}, "username"),
        ({"email": ["x"], "password": PASSWORD}, "email"),
    ],
)
def test_what_does_not_do_is_named_by_its_field(api: ApiClient, owner: User, body: dict, field: str) -> None:
    answer = api.post("auth/register", body)
    assert refusal(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]
    assert not SignUp.objects.exists()


def test_nobody_registers_as_more_than_a_user(api: ApiClient, mailed_link) -> None:
    more = {
        "is_staff": True, "is_superuser": True, "role": "admin", "user": 1, "id": "x", "is_guest": True, "guest": "x",
        "email_verified_at": "2020-01-01", "auth_epoch": 99, "consent": True,
    }  # fmt: skip
    api.post("auth/register", {"email": "new@example.org", "password": PASSWORD, **more})
    api.post("auth/verify-email", {"token": token_of(mailed_link()), "password": PASSWORD, **more})
    user = User.objects.get()
    assert (user.role, user.is_staff, user.is_superuser, user.is_guest, user.auth_epoch) == (
        "user",
        False,
        False,
        False,
        1,
    )


def test_a_guest_who_registers_keeps_everything(mailed_link) -> None:
    guest = make_guest()
    ApiClient.of(guest).post("auth/register", {"email": "new@example.org", "password": PASSWORD})
    ApiClient().post("auth/verify-email", {"token": token_of(mailed_link()), "password": PASSWORD})
    guest.refresh_from_db()
    assert (guest.email, guest.is_guest) == ("new@example.org", False)


# --- confirming another address


def test_a_new_address_is_confirmed_by_its_owner_alone(owner: User, other: User, mailed_link) -> None:
    services.request_email(user=owner, email="moved@example.org")
    body = {"token": token_of(mailed_link())}
    assert refusal(ApiClient().post("auth/verify-email", body)) == (401, "signed_out")
    assert refusal(ApiClient.of(other).post("auth/verify-email", body)) == (404, "dead_link")
    assert refusal(ApiClient.with_key(owner, *Scope).post("auth/verify-email", body)) == (404, "dead_link")
    assert ApiClient.of(owner).post("auth/verify-email", body).status_code == 204
    owner.refresh_from_db()
    assert owner.email == "moved@example.org"
    assert refusal(ApiClient.of(owner).post("auth/verify-email", body)) == (404, "dead_link")


@pytest.mark.parametrize("token", ["x", "a:b:c", "ü", "x" * 2000])
def test_a_forged_link_confirms_nothing(api: ApiClient, token: str) -> None:
    assert refusal(api.post("auth/verify-email", {"token": token, "password": PASSWORD})) == (404, "dead_link")


def test_a_reset_token_confirms_no_address(api: ApiClient) -> None:
    user = make_user("new@example.org", PASSWORD, email_verified_at=None)
    answer = api.post("auth/verify-email", {"token": tokens.reset_token(user), "password": PASSWORD})
    assert refusal(answer) == (404, "dead_link")


# --- signing in


def test_signing_in_gives_tokens_and_says_who_one_is(owner: User) -> None:
    answer = login("OWNER@example.org", device="  my\u202escript  ")
    body = answer.json()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert set(body) == {"access", "refresh", "token_type", "expires_in", "refresh_expires_in", "user"}
    assert (body["expires_in"], body["refresh_expires_in"]) == (1800, 604800)
    assert set(body["user"]) == {
        "id", "email", "email_verified", "username", "role", "language", "timezone", "is_guest", "created_at"
    }  # fmt: skip
    assert owner.refresh_families.get().device == "myscript"
    assert ApiClient(body["access"]).get("me").json()["id"] == str(owner.pk)
    assert "sessionid" not in answer.cookies


def test_every_reason_not_to_sign_in_looks_alike(owner: User, other: User, settings) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = True
    services.set_suspended(actor=make_admin(), user=other, suspended=True, reason="x")
    unverified = make_user("unverified@example.org", PASSWORD, email_verified_at=None)
    answers = [
        login(owner.email, "not the password"),
        login(NOBODY, "not the password"),
        login(other.email),
        login(unverified.email),
        login(make_user("passwordless@example.org").email, "x"),
    ]
    assert [refusal(answer) for answer in answers] == [(401, "sign_in_failed")] * 5
    assert len({answer.content for answer in answers}) == 1
    headers = [{name: value for name, value in answer.items() if "limit" not in name.lower()} for answer in answers]
    assert all(each == headers[0] for each in headers)


def test_the_work_of_a_failed_sign_in_is_the_same(owner: User, hash_runs) -> None:
    login("warm-up@example.org", "x")
    work = []
    for email in (owner.email, NOBODY):
        with CaptureQueriesContext(connection) as queries:
            hashed = hash_runs(lambda email=email: login(email, "not the password"))
        work.append((hashed, [re.sub(r"'[^']*'|_x\d+", "", query["sql"]) for query in queries]))
    assert work[0][0] == 1
    assert work[0] == work[1]


def test_the_page_and_the_api_count_the_same_tries(owner: User, sign_in) -> None:
    for _ in range(3):
        assert login(owner.email, "wrong").status_code == 401
        sign_in(owner.email, "wrong")
    answer = login(owner.email)
    assert refusal(answer) == (429, "too_many_tries")
    assert int(answer["Retry-After"]) > 0
    assert sign_in(owner.email).answer.status_code == 429


def test_a_program_that_keeps_its_cookie_is_not_locked_out_by_strangers(owner: User, settings) -> None:
    settings.TRUSTED_PROXY_HOPS = 1
    mine = ApiClient()
    assert mine.post("auth/login", {"email": owner.email, "password": PASSWORD}).status_code == 200
    for number in range(40):
        stranger = ApiClient(**{"X-Forwarded-For": f"10.0.0.{number}"})
        answer = stranger.post("auth/login", {"email": owner.email, "password": "x"})
    assert answer.status_code == 429
    assert mine.post("auth/login", {"email": owner.email, "password": PASSWORD}).status_code == 200


def test_a_guest_who_signs_in_hands_over_what_they_have(owner: User) -> None:
    guest = make_guest()
    token = families.open_family(user=guest).access
    moved = []

    def receiver(guest: User, user: User, **_: object) -> None:
        moved.append((guest.pk, user.pk))

    guest_merged.connect(receiver)
    try:
        ApiClient(token).post("auth/login", {"email": owner.email, "password": "wrong"})
        assert moved == []
        assert ApiClient(token).post("auth/login", {"email": owner.email, "password": PASSWORD}).status_code == 200
    finally:
        guest_merged.disconnect(receiver)
    assert moved == [(guest.pk, owner.pk)]
    assert refusal(ApiClient(token).get("me")) == (401, "invalid_token")


def test_signing_in_looks_at_no_other_credential(owner: User, other: User) -> None:
    body = {"email": owner.email, "password": PASSWORD}
    for client in (ApiClient("x"), ApiClient.of(other), ApiClient("nono_sk_" + "x" * 43)):
        assert client.post("auth/login", body).json()["user"]["id"] == str(owner.pk)


# --- guests


def test_a_guest_comes_by_one_call(api: ApiClient, settings) -> None:
    settings.ALLOW_GUESTS = True
    answer = api.post("auth/guest")
    assert answer.status_code == 201
    assert answer.json()["user"]["is_guest"]
    assert ApiClient(answer.json()["access"]).get("me").json()["email"] is None


def test_guests_can_be_kept_out(api: ApiClient, settings) -> None:
    settings.ALLOW_GUESTS = False
    assert refusal(api.post("auth/guest")) == (403, "guests_not_allowed")
    assert not User.objects.exists()


# --- signing out


def test_signing_out_ends_this_sign_in_alone(owner: User, other: User) -> None:
    here, elsewhere, stranger = (families.open_family(user=user) for user in (owner, owner, other))
    assert ApiClient(here.access).post("auth/logout").status_code == 204
    assert refusal(ApiClient(here.access).get("me")) == (401, "invalid_token")
    assert refusal(ApiClient().post("auth/refresh", {"refresh": here.refresh})) == (401, "invalid_token")
    for pair in (elsewhere, stranger):
        assert ApiClient(pair.access).get("me").status_code == 200


def test_signing_out_everywhere_ends_browsers_too(owner: User, other: User, browser) -> None:
    here, elsewhere, page = families.open_family(user=owner), families.open_family(user=owner), browser(owner)
    bystander = browser(other)
    assert ApiClient(here.access).post("auth/logout", {"all": True}).status_code == 204
    for pair in (here, elsewhere):
        assert ApiClient(pair.access).get("me").status_code == 401
    assert signed_in_person(page) is None
    assert signed_in_person(bystander) == str(other.pk)


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_refresh_token_signs_out_where_the_access_token_has_run_out(owner: User, everywhere: bool) -> None:
    here, elsewhere = families.open_family(user=owner), families.open_family(user=owner)
    body = {"refresh": here.refresh, "all": everywhere}
    assert ApiClient().post("auth/logout", body).status_code == 204
    assert ApiClient(here.access).get("me").status_code == 401
    assert ApiClient(elsewhere.access).get("me").status_code == (401 if everywhere else 200)


def test_an_old_refresh_token_signs_out_nobody_elsewhere(owner: User) -> None:
    here, elsewhere = families.open_family(user=owner), families.open_family(user=owner)
    families.refresh(token=here.refresh)
    ApiClient().post("auth/logout", {"refresh": here.refresh, "all": True})
    assert ApiClient(elsewhere.access).get("me").status_code == 200


def test_nobody_cannot_sign_out(api: ApiClient) -> None:
    assert refusal(api.post("auth/logout")) == (401, "signed_out")
    assert refusal(api.post("auth/logout", {"refresh": "x"})) == (401, "invalid_token")


def test_the_page_signs_out_over_the_api(owner: User, browser) -> None:
    page = browser(owner)
    assert page.post("/api/v1/auth/logout", {}, content_type="application/json").status_code == 204
    assert signed_in_person(page) is None


# --- poisoned hosts


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "Forwarded", "X-Host"])
def test_a_poisoned_host_gets_into_no_mail(owner: User, delivered, settings, name: str) -> None:
    client = ApiClient(**{name: "evil.example"})
    settings.BASE_URL = "http://127.0.0.1:8000"
    for path, body in {
        "auth/register": {"email": "new@example.org", "password": PASSWORD},
        "auth/password/reset": {"email": owner.email},
    }.items():
        answer = client.post(path, body)
        assert answer.status_code == (400 if name == "Host" else 202)
    mails = delivered()
    assert len(mails) == (0 if name == "Host" else 2)
    for message in mails:
        assert "http://127.0.0.1:8000/accounts/link/" in message.body
        assert "evil.example" not in str(message.message())
