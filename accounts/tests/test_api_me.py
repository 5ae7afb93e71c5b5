"""One's own account and where one is signed in, over the JSON API."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import families, services
from accounts.models import AuditEvent, BrowserSession, User
from accounts.scopes import Scope
from accounts.sockets import still_signed_in
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_admin, make_guest
from chatbot_project.lib.errors import ApplicationError

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


def test_one_sees_oneself_and_no_more(owner: User, other: User) -> None:
    body = ApiClient.of(owner).get("me").json()
    assert (body["id"], body["email"], body["role"]) == (str(owner.pk), owner.email, "user")
    assert not set(body) & {"password", "auth_epoch", "is_active", "last_seen_at"}
    assert ApiClient.of(other).get("me").json()["id"] == str(other.pk)
    assert refusal(ApiClient().get("me")) == (401, "signed_out")


def test_one_changes_only_what_one_sends(owner: User) -> None:
    client = ApiClient.of(owner)
    assert client.patch("me", {"language": "de", "timezone": "Europe/Berlin"}).status_code == 200
    body = client.patch("me", {"username": "new.name"}).json()
    assert (body["username"], body["language"], body["timezone"]) == ("new.name", "de", "Europe/Berlin")
    owner.refresh_from_db()
    assert (owner.username, owner.language, owner.timezone) == ("new.name", "de", "Europe/Berlin")
    assert client.patch("me", {}).json() == body
    assert client.patch("me", {"language": "", "timezone": ""}).json()["language"] == ""


def test_answers_are_in_ones_own_language(owner: User) -> None:
    client = ApiClient.of(owner)
    client.patch("me", {"language": "de"})
    assert client.get("me", **{"Accept-Language": "en"})["Content-Language"] == "de"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "OTHER"}, "username"),
        ({"username": "a b"}, "username"),
        ({"username": ""}, "username"),
        ({"username": "x" * 41}, "username"),
        ({"username": None}, "username"),
        ({"language": "xx"}, "language"),
        ({"timezone": "Nowhere/Here"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ([], "body"),
    ],
)
def test_what_cannot_be_set_is_named(owner: User, other: User, body, field: str) -> None:
    answer = ApiClient.of(owner).patch("me", body)
    assert refusal(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]


def test_nobody_makes_themselves_more_than_they_are(owner: User) -> None:
    more = {
        "role": "admin", "is_staff": True, "is_superuser": True, "is_active": False, "is_guest": True, "id": "x",
        "email": "evil@example.org", "email_verified_at": None, "auth_epoch": 9, "password": "x", "user": "x",
    }  # fmt: skip
    before = User.objects.filter(pk=owner.pk).values().get()
    assert ApiClient.of(owner).patch("me", {**more, "language": "de"}).status_code == 200
    assert User.objects.filter(pk=owner.pk).values().get() == {**before, "language": "de"}


def test_a_guest_sets_a_language_but_has_no_name(db) -> None:
    client = ApiClient.of(make_guest())
    assert client.patch("me", {"language": "de"}).json()["language"] == "de"
    assert refusal(client.patch("me", {"username": "x"})) == (400, "invalid")


def test_a_name_taken_in_this_very_moment_is_a_refusal(owner: User, other: User) -> None:
    with pytest.raises(ApplicationError) as refused:
        services.save_profile(user=owner, changes={"username": other.username.upper()})
    assert (refused.value.code, refused.value.status) == ("username_taken", 409)


# --- closing the account


def test_closing_the_account_takes_the_password_and_ends_everything(owner: User, other: User, browser) -> None:
    client, key, page = ApiClient.of(owner), ApiClient.with_key(owner, *Scope), browser(owner)
    assert refusal(client.delete("me")) == (403, "wrong_password")
    assert refusal(client.delete("me", {"password": "wrong"})) == (403, "wrong_password")
    assert client.get("me").status_code == 200
    assert client.delete("me", {"password": PASSWORD}).status_code == 202
    for gone in (client, key):
        assert refusal(gone.get("me")) == (401, "invalid_token")
    assert signed_in_person(page) is None
    assert ApiClient().post("auth/login", {"email": owner.email, "password": PASSWORD}).status_code == 401
    assert ApiClient.of(other).get("me").status_code == 200
    event = AuditEvent.objects.by(owner).on(owner).get(action="user.deactivated")
    assert event.object_id == str(owner.audit_identity.pseudonym)


def test_keys_of_a_closed_account_stay_dead_when_it_is_opened_again(owner: User) -> None:
    key = ApiClient.with_key(owner, *Scope)
    services.deactivate(user=owner)
    services.set_suspended(actor=make_admin(), user=owner, suspended=False, reason="asked us")
    assert refusal(key.get("me")) == (401, "invalid_token")


def test_a_guest_closes_without_a_password(db) -> None:
    client = ApiClient.of(make_guest())
    assert client.delete("me").status_code == 202
    assert client.get("me").status_code == 401


def test_the_last_admin_stays(admin: User) -> None:
    admin.set_password(PASSWORD)
    admin.save()
    client = ApiClient.of(admin)
    assert refusal(client.delete("me", {"password": PASSWORD})) == (409, "last_admin")
    make_admin()
    assert client.delete("me", {"password": PASSWORD}).status_code == 202


# --- sessions


def sign_in_page(user: User, agent: str = FIREFOX) -> Client:
    page = Client(headers={"User-Agent": agent})
    page.post("/accounts/sign-in/", {"email": user.email, "password": PASSWORD})
    return page


def test_one_sees_where_one_is_signed_in(owner: User, other: User, django_assert_max_num_queries) -> None:
    page = sign_in_page(owner)
    sign_in_page(other)
    here = families.open_family(user=owner, device="script")
    with django_assert_max_num_queries(3):
        answer = ApiClient(here.access).get("sessions")
    items = {item["device"]: item for item in answer.json()["items"]}
    assert set(items) == {"script", "Firefox (Linux)"}
    assert [(items[name]["kind"], items[name]["current"]) for name in ("script", "Firefox (Linux)")] == [
        ("program", True),
        ("browser", False),
    ]
    assert page.session.session_key not in answer.content.decode(), "an id tells nothing about a session's key"
    assert "127.0.0.1" not in answer.content.decode()
    of_page = page.get("/api/v1/sessions").json()["items"]
    assert [item["device"] for item in of_page if item["current"]] == ["Firefox (Linux)"]


def test_sessions_that_have_ended_are_not_listed(owner: User, browser) -> None:
    families.open_family(user=owner)
    browser(owner)
    services.change_password(user=owner, password=PASSWORD)
    owner.refresh_from_db()
    gone = families.open_family(user=owner)
    families.end_family(user=owner, family_id=gone.family.pk)
    here = families.open_family(user=owner, device="here")
    assert [item["device"] for item in ApiClient(here.access).get("sessions").json()["items"]] == ["here"]


def test_a_session_says_since_when_and_when_it_was_last_used(owner: User) -> None:
    page = sign_in_page(owner)
    hours = timedelta(hours=3)
    BrowserSession.objects.update(last_seen_at=timezone.now() - hours)
    (before,) = ApiClient.of(owner).get("sessions").json()["items"][1:]
    page.get("/whoami/")
    (after,) = [item for item in ApiClient.of(owner).get("sessions").json()["items"] if item["kind"] == "browser"]
    assert before["created_at"] == after["created_at"]
    assert before["last_used_at"] < after["last_used_at"]
    assert abs(timezone.now() - timezone.datetime.fromisoformat(after["last_used_at"])) < timedelta(minutes=1)


def test_one_ends_a_browsers_session_and_a_programs(owner: User) -> None:
    page, program, here = sign_in_page(owner), families.open_family(user=owner), ApiClient.of(owner)
    socket = (f"session:{page.session.session_key}", owner.pk, owner.auth_epoch)
    listed = {item["id"]: item for item in here.get("sessions").json()["items"]}
    for session_id, item in listed.items():
        if not item["current"]:
            assert here.delete(f"sessions/{session_id}").status_code == 204
    assert signed_in_person(page) is None
    assert ApiClient(program.access).get("me").status_code == 401
    assert still_signed_in([socket]) == set()
    assert [item["current"] for item in here.get("sessions").json()["items"]] == [True]


def test_anothers_session_is_absent(owner: User, other: User) -> None:
    page, program = sign_in_page(owner), families.open_family(user=owner)
    stranger = ApiClient.of(other)
    missing = stranger.delete("sessions/01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10")
    for item in ApiClient(program.access).get("sessions").json()["items"]:
        answer = stranger.delete(f"sessions/{item['id']}")
        assert refusal(answer) == (404, "not_found")
        assert answer.content == missing.content
    assert signed_in_person(page) == str(owner.pk)
    assert ApiClient(program.access).get("me").status_code == 200


def test_nobody_has_no_sessions(db) -> None:
    assert refusal(ApiClient().get("sessions")) == (401, "signed_out")
    assert refusal(ApiClient().delete("sessions/01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10")) == (401, "signed_out")


def test_a_guest_has_sessions_like_everybody(db) -> None:
    (item,) = ApiClient.of(make_guest()).get("sessions").json()["items"]
    assert item["current"]


def test_a_session_of_somebody_who_goes_in_this_moment_harms_nothing(owner: User, browser) -> None:
    page = browser(owner)
    session = page.session
    owner.delete()
    session["x"] = 1
    session.save(must_create=True)
    assert signed_in_person(page) is None


@pytest.mark.parametrize(
    ("agent", "label"),
    [
        (FIREFOX, "Firefox (Linux)"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome (Windows)"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge (Windows)"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari (iPhone)"),
        ("python-requests/2.32.3", "python-requests"),
        ("curl/8.5.0", "curl"),
        ("", ""),
        ("\x00<script>", ""),
        ("x" * 5000, ""),
    ],
)
def test_a_device_is_a_few_words(owner: User, agent: str, label: str) -> None:
    body = {"email": owner.email, "password": PASSWORD}
    assert ApiClient(**{"User-Agent": agent}).post("auth/login", body).status_code == 200
    assert owner.refresh_families.get().device == label
