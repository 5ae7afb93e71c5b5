"""Who may open the chat socket, and for how long they may keep it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone

from accounts import services as people
from accounts.models import BrowserSession, User
from accounts.roles import Role
from accounts.tests.factories import make_admin, make_guest, make_user
from chatbot_project.lib.db import run_db
from conversations import connections
from conversations.events import CLOSE_SIGNED_OUT

from .client import ChatClient, session_key
from .raw_socket import RawSocket, own_headers
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

WITHIN = 20.0  # five seconds are promised; a machine that stands still for some of them breaks no promise of ours


async def status(url: str, *headers: bytes) -> int:
    opened = await RawSocket.open(url, headers)
    await opened.close()
    return opened.status


async def test_only_a_page_of_the_site_itself_opens_a_socket(live_stack: Stack, owner: User) -> None:
    url = live_stack.url
    host, _own, cookie = own_headers(url, await run_db(session_key, owner))
    port = urlsplit(url).port
    assert port
    origins = [
        b"", b"null", b"https://evil.example", b"http://evil.example:%d" % port, b"http://127.0.0.1",
        b"http://127.0.0.1:%d" % (port + 1), b"https://127.0.0.1:%d" % port, b"ws://127.0.0.1:%d" % port,
        b"http://localhost:%d" % port, b"http://127.0.0.1.evil.example:%d" % port, b"http://127.0.0.1:%d.evil" % port,
        b"http://x@127.0.0.1:%d" % port, b"http://127.0.0.1:%d@evil.example" % port, b"127.0.0.1:%d" % port,
        b"http://127.0.0.1:%d/path" % port, b"http://127.0.0.1:%d?x" % port, b"http://[", b"http://[::1", b"http://:::",
        b"http://127.0.0.1:99999", b"http://127.0.0.1:x", b"javascript:alert(1)", b"file://", b"\xff\xfe", b"http://\xc3\xbc",
        b"http://127.0.0.1:%d, http://127.0.0.1:%d" % (port, port), b"http://127.0.0.1:%d http://x" % port,
    ]  # fmt: skip
    answers = {origin: await status(url, host, cookie, b"Origin: " + origin) for origin in origins}
    assert {origin: answer for origin, answer in answers.items() if answer not in (400, 403)} == {}
    assert await status(url, host, cookie) == 403, "no Origin at all"
    own = b"Origin: " + url.encode()
    assert await status(url, host, cookie, own, own) in (400, 403), "two of them"
    assert await status(url, host, cookie, own, b"Origin: null") in (400, 403)
    assert await status(url, host, cookie, own) == 101


async def test_a_host_that_is_not_the_sites_opens_none(live_stack: Stack, owner: User) -> None:
    url = live_stack.url
    host, own, cookie = own_headers(url, await run_db(session_key, owner))
    hosts = [b"evil.example", b"evil.example:80", b"127.0.0.1.evil.example", b"", b"*", b"127.0.0.1:x", b"\xff", b"a b"]
    for name in hosts:
        matching = b"Origin: http://" + name
        assert await status(url, b"Host: " + name, cookie, matching) in (400, 403), name
    assert await status(url, cookie, own) in (400, 403), "no Host at all"
    assert await status(url, host, b"Host: evil.example", cookie, own) in (400, 403)


async def test_odd_header_bytes_neither_break_the_server_nor_name_anybody(live_stack: Stack, owner: User) -> None:
    url = live_stack.url
    key = await run_db(session_key, owner)
    host, own, cookie = own_headers(url, key)
    for odd in (
        b"X-A: a\x0bb",
        b"X-A: a\x85b",
        b"X-A: \x1f",
        b"X-A: a\x00b",
        b"X\x85A: b",
        b"X_A: b",
        b"X-A:" + b"a" * 8000,
    ):
        assert await status(url, host, own, cookie, odd) in (101, 400, 431), odd
    for pretended in (
        b"Cookie_: sessionid=" + key.encode(),
        b"HTTP_COOKIE: sessionid=" + key.encode(),
        b"X_Session: " + key.encode(),
        b"Cookie: a\x0bsessionid=" + key.encode(),
        b"Authorization: Bearer " + key.encode(),
    ):
        opened = await RawSocket.open(url, [host, own, pretended])
        if opened.status == 101:
            assert await opened.close_code() == CLOSE_SIGNED_OUT, pretended
        else:
            assert opened.status == 400, pretended
        await opened.close()
    assert await status(url, host, own, cookie) == 101, "the server is well"


async def test_without_a_session_that_is_good_the_socket_closes_as_signed_out(live_stack: Stack, owner: User) -> None:
    url = live_stack.url

    def make_keys() -> dict[str, str]:
        keys = {name: session_key(make_user()) for name in ("expired", "suspended", "new epoch", "gone")}
        keys["guest"] = session_key(make_guest())
        BrowserSession.objects.filter(session_key=keys["expired"]).update(
            expire_date=timezone.now() - timedelta(seconds=1)
        )
        BrowserSession.objects.filter(session_key=keys["gone"]).delete()
        people_of = {name: BrowserSession.objects.filter(session_key=key).first() for name, key in keys.items()}
        for name, change in {
            "suspended": {"is_active": False},
            "new epoch": {"auth_epoch": F("auth_epoch") + 1},
        }.items():
            User.objects.filter(pk=people_of[name].get_decoded()["_auth_user_id"]).update(**change)
        return keys

    keys = await run_db(make_keys)
    good = keys.pop("guest")
    host, own, _cookie = own_headers(url, good)
    cookies = [
        f"Cookie: sessionid={key}".encode() for key in (*keys.values(), "", "x", "a" * 500, "'; DROP TABLE", "ü")
    ]
    for cookie in (*cookies, b"Cookie: ", b"Cookie: \xff=\xfe", b"Cookie: sessionid", b"X-None: 1"):
        opened = await RawSocket.open(url, [host, own, cookie])
        assert (opened.status, await opened.close_code()) == (101, CLOSE_SIGNED_OUT), cookie
        await opened.close()
    async with ChatClient(url, good) as client:
        assert client.heard[0]["type"] == "ready"


async def test_who_is_signed_out_loses_open_sockets_within_five_seconds(live_stack: Stack, owner: User) -> None:
    url = live_stack.url
    admin = await run_db(make_admin)

    def log_out(_user: User, browser: Client) -> None:
        browser.post("/accounts/sign-out/")

    def unannounced(user: User, _browser: Client) -> None:
        User.objects.filter(pk=user.pk).update(auth_epoch=F("auth_epoch") + 1)

    ways: dict[str, Callable[[User, Client], object]] = {
        "logout": log_out,
        "suspension": lambda user, _b: people.set_suspended(actor=admin, user=user, suspended=True, reason="spam"),
        "password": lambda user, _b: people.change_password(user=user, password="another correct horse"),
        "role": lambda user, _b: people.change_role(actor=admin, user=user, role=Role.MODERATOR, reason="helps"),
        "everywhere": lambda user, _b: people.end_sessions(user=user),
        "a change that nobody announced": unannounced,
    }

    async def closed_after(way: str) -> tuple[str, int | None]:
        user = await run_db(make_user)
        browser = Client()
        await run_db(browser.force_login, user)
        async with ChatClient(url, await run_db(_key, browser)) as tab:
            await run_db(ways[way], user, browser)
            await tab.until(lambda: tab.close_code, f"the close after {way}", WITHIN)
            return way, tab.close_code

    assert connections.SESSIONS_SECONDS <= 2.5
    bystander = ChatClient(url, await run_db(session_key, owner))
    await bystander.connect()
    closed = await asyncio.gather(*(closed_after(way) for way in ways))
    assert closed == [(way, CLOSE_SIGNED_OUT) for way in ways]
    await bystander.send(type="ping")
    await bystander.until(lambda: bystander.heard[-1]["type"] == "pong", "a pong")
    await bystander.close()


async def test_logging_out_in_one_browser_leaves_the_sockets_of_another(live_stack: Stack, owner: User) -> None:
    browser = Client()
    await run_db(browser.force_login, owner)
    here, elsewhere = await run_db(_key, browser), await run_db(session_key, owner)
    async with ChatClient(live_stack.url, here) as tab, ChatClient(live_stack.url, elsewhere) as other_tab:
        await run_db(browser.post, "/accounts/sign-out/")
        await tab.until(lambda: tab.close_code, "the close of the tab that was signed out")
        await other_tab.send(type="ping")
        await other_tab.until(lambda: other_tab.heard[-1]["type"] == "pong", "a pong in the other browser")


def _key(browser: Client) -> str:
    return browser.session.session_key or ""
