import asyncio
import importlib
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.apps import apps
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.models import BrowserSession, User
from accounts.roles import Role
from accounts.sockets import announce_sign_out, session_user, still_signed_in
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_admin, make_user
from chatbot_project.lib.errors import ApplicationError

BACKEND = "accounts.backends.EmailBackend"
pytestmark = pytest.mark.django_db


def key_of(page: Client) -> str:
    return page.session.session_key


def name_of(page: Client) -> str:
    return f"session:{key_of(page)}"


def socket(page: Client, user: User) -> tuple:
    return (name_of(page), user.pk, user.auth_epoch)


ENDINGS = {
    "sign out everywhere": lambda user: services.end_sessions(user=user),
    "suspension": lambda user: services.set_suspended(actor=make_admin(), user=user, suspended=True, reason="spam"),
    "role": lambda user: services.change_role(actor=make_admin(), user=user, role=Role.MODERATOR, reason="helps"),
    "password": lambda user: services.change_password(user=user, password="another good one"),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_every_session_ends(owner: User, other: User, browser, end) -> None:
    pages, bystander = [browser(owner), browser(owner)], browser(other)
    sockets = [socket(page, owner) for page in pages]
    assert still_signed_in([*sockets, socket(bystander, other)]) == {name_of(page) for page in [*pages, bystander]}
    end(owner)
    assert still_signed_in([*sockets, socket(bystander, other)]) == {name_of(bystander)}
    assert [session_user(key) for key, _, _ in sockets] == [None, None]
    assert [signed_in_person(page) for page in pages] == [None, None]
    assert signed_in_person(bystander) == str(other.pk)


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_open_sockets_are_told_after_the_commit(
    owner: User, end, django_capture_on_commit_callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(services, "announce_sign_out", lambda user: told.append(user.pk))
    with django_capture_on_commit_callbacks() as callbacks:
        end(owner)
    assert told == []
    for callback in callbacks:
        callback()
    assert told == [owner.pk]


def test_signing_out_ends_this_session_alone(owner: User, browser) -> None:
    here, elsewhere = browser(owner), browser(owner)
    sockets = [socket(here, owner), socket(elsewhere, owner)]
    here.post("/accounts/sign-out/")
    assert still_signed_in(sockets) == {name_of(elsewhere)}


def test_signing_out_everywhere_is_a_button(owner: User, browser, client: Client) -> None:
    here, elsewhere = browser(owner), browser(owner)
    assert here.get("/accounts/sign-out/everywhere/").status_code == 405
    here.post("/accounts/sign-out/everywhere/")
    assert signed_in_person(here) is None
    assert signed_in_person(elsewhere) is None
    assert client.post("/accounts/sign-out/everywhere/")["Location"] == "/accounts/sign-in/"


@pytest.mark.parametrize("page", ["/accounts/sign-out/", "/admin/logout/"])
def test_any_page_that_signs_out_tells_the_sockets_once_the_session_is_gone(
    browser, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    admin = make_admin()
    here = browser(admin)
    credential = socket(here, admin)
    left_open = []
    monkeypatch.setattr(
        "accounts.middleware.announce_sign_out", lambda user: left_open.append(still_signed_in([credential]))
    )
    here.post(page)
    assert left_open == [set()]


def test_the_session_of_a_suspended_person_is_removed(owner: User, browser) -> None:
    page = browser(owner)
    User.objects.filter(pk=owner.pk).update(is_active=False)
    key = key_of(page)
    assert signed_in_person(page) is None
    assert not type(page.session)().exists(key)


def test_a_reinstated_person_signs_in_again(owner: User, sign_in) -> None:
    admin = make_admin()
    services.set_suspended(actor=admin, user=owner, suspended=True, reason="spam")
    assert signed_in_person(sign_in(owner.email)) is None
    services.set_suspended(actor=admin, user=owner, suspended=False, reason="was not")
    assert signed_in_person(sign_in(owner.email)) == str(owner.pk)


def test_a_socket_finds_its_person_in_two_queries(owner: User, browser, django_assert_num_queries) -> None:
    key = key_of(browser(owner))
    with django_assert_num_queries(2):
        assert session_user(key) == owner


@pytest.mark.parametrize("key", ["", "x" * 32, "x" * 500, "\x00", "ünïcode"])
def test_a_socket_without_a_session_has_no_person(owner: User, key: str) -> None:
    assert session_user(key) is None


def test_a_session_without_sign_in_has_no_person(client: Client) -> None:
    session = client.session
    session["x"] = 1
    session.save()
    assert session_user(session.session_key) is None


def test_any_number_of_sockets_is_checked_in_one_query(owner: User, browser, django_assert_num_queries) -> None:
    mine = socket(browser(owner), owner)
    strangers = [(f"session:{number:032}", uuid.uuid4(), 0) for number in range(3000)]
    with django_assert_num_queries(1):
        assert still_signed_in([mine, *strangers]) == {mine[0]}
    with django_assert_num_queries(0):
        assert still_signed_in([]) == set()


def test_an_expired_session_keeps_no_socket_open(owner: User, browser) -> None:
    page = browser(owner)
    session = page.session
    session.set_expiry(-1)
    session.save()
    assert still_signed_in([socket(page, owner)]) == set()


async def test_the_sockets_of_a_person_hear_of_it() -> None:
    user = User(email="x@example.org")
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(user.socket_group, channel)
    await sync_to_async(announce_sign_out)(user)
    assert await asyncio.wait_for(layer.receive(channel), 5) == {"type": "signed.out"}
    await layer.group_discard(user.socket_group, channel)


def test_a_lost_channel_layer_stops_no_sign_out(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    class Lost:
        async def group_send(self, group: str, message: dict) -> None:
            raise ConnectionError("gone")

    monkeypatch.setattr("accounts.sockets.get_channel_layer", Lost)
    announce_sign_out(User(email="x@example.org"))
    assert "sign_out_not_announced" in caplog.text


def test_who_may_suspend_whom(owner: User, other: User, moderator: User, admin: User) -> None:
    for actor, user in ((owner, other), (moderator, admin), (moderator, make_user(role="moderator")), (admin, admin)):
        with pytest.raises(ApplicationError, match="may not suspend"):
            services.set_suspended(actor=actor, user=user, suspended=True, reason="x")
    services.set_suspended(actor=moderator, user=owner, suspended=True, reason="x")
    services.set_suspended(actor=admin, user=moderator, suspended=True, reason="x")


def test_who_may_change_roles(owner: User, moderator: User, admin: User, guest: User) -> None:
    for actor, user in ((owner, owner), (moderator, owner), (admin, admin), (admin, guest)):
        with pytest.raises(ApplicationError, match="may not change"):
            services.change_role(actor=actor, user=user, role=Role.ADMIN, reason="x")


def test_the_password_is_kept_when_its_hash_is_renewed(owner: User, sign_in, settings) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher", "accounts.tests.conftest.CountedHasher",
    ]  # fmt: skip
    browser = sign_in(owner.email, PASSWORD)
    assert signed_in_person(browser) == str(owner.pk)
    owner.refresh_from_db()
    assert owner.password.startswith("md5$")


@pytest.mark.parametrize("zone", ["", "Nowhere/Here", "../../etc/passwd"])
def test_a_time_zone_that_is_none_is_the_installations(browser, zone: str) -> None:
    page = browser(make_user(timezone=zone))
    assert page.get("/whoami/").json()["time_zone"] == "UTC"


def test_without_a_language_of_ones_own_the_browser_decides(browser) -> None:
    page = browser(make_user())
    assert page.get("/whoami/", headers={"Accept-Language": "de"}).json()["language"] == "de"
    mine = browser(make_user(language="en"))
    answer = mine.get("/whoami/", headers={"Accept-Language": "de"})
    assert (answer.json()["language"], answer["Content-Language"]) == ("en", "en")


def test_browsers_that_were_signed_in_before_the_table_of_their_own_stay_so(owner: User) -> None:
    migration = importlib.import_module("accounts.migrations.0003_move_sessions")
    store = DatabaseStore()
    content = {
        SESSION_KEY: str(owner.pk),
        HASH_SESSION_KEY: owner.get_session_auth_hash(),
        BACKEND_SESSION_KEY: BACKEND,
    }
    hour = timedelta(hours=1)
    for key, data, expires in (
        ("k" * 32, content, hour), ("n" * 32, {"nobody": 1}, hour), ("x" * 32, {SESSION_KEY: "x"}, hour),
        ("o" * 32, content, -hour), ("b" * 32, None, hour),
    ):  # fmt: skip
        Session.objects.create(
            session_key=key,
            session_data="broken" if data is None else store.encode(data),
            expire_date=timezone.now() + expires,
        )
    migration.BATCH = 2
    migration.move(apps, None)
    assert not Session.objects.exists()
    moved = {session.session_key[0]: session.user_id for session in BrowserSession.objects.all()}
    assert moved == {"k": owner.pk, "n": None, "x": None, "b": None}
    assert session_user("k" * 32) == owner
    migration.move_back(apps, None)
    assert (Session.objects.count(), BrowserSession.objects.count()) == (4, 0)
