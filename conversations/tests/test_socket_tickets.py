"""A program opens the chat socket by a ticket, once, and keeps it as long as what asked for the ticket stands."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from django.db.models import F

from accounts import api_keys, families, tickets
from accounts import services as people
from accounts.credentials import Credential, Kind
from accounts.models import ApiKey, User
from accounts.roles import Role
from accounts.scopes import Scope
from accounts.tests.factories import make_admin, make_guest, make_user
from chatbot_project.lib.db import run_db
from chatbot_project.lib.redis import blocking_redis
from conversations.admission import is_admissible
from conversations.events import CLOSE_SIGNED_OUT
from conversations.models import Conversation
from personas.models import Persona

from .client import ChatClient, session_key
from .raw_socket import RawSocket, own_headers
from .stack import Stack, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

WITHIN = 20.0  # see test_socket_opening.py


def make_ticket(user: User) -> str:
    """One of a program that ``user`` signed in to."""
    family = families.open_family(user=user).family
    return tickets.issue_ticket(user=user, credential=Credential(Kind.FAMILY, str(family.pk)))


async def answer(url: str, query: bytes, *headers: bytes) -> tuple[int, bytes | int | None]:
    """The handshake's status and, where a socket opened, what it said first: an event, or the code of its close."""
    opened = await RawSocket.open(url, [*headers], path=b"/ws/chat/?" + query)
    try:
        if opened.status != 101:
            return opened.status, None
        return 101, await opened.first_frame_or_code()
    finally:
        await opened.close()


def host_of(url: str) -> bytes:
    return b"Host: " + url.removeprefix("http://").encode()


class ByTicket(ChatClient):
    """A program's socket: no cookie, no Origin."""

    def __init__(self, url: str, ticket: str) -> None:
        super().__init__(url, "")
        self.ticket = ticket

    def address(self) -> str:
        return f"{super().address()}?ticket={self.ticket}"

    def opening(self) -> dict[str, Any]:
        return {}


async def api(url: str, path: str, token: str, method: str = "POST", **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{url}/api/v1/{path}", json=body, headers=headers) as reply,
    ):
        return reply.status, await reply.json() if reply.content_type.endswith("json") else {}


async def test_a_program_signs_in_asks_for_a_ticket_and_chats(live_stack: Stack, owner: User, persona: Persona) -> None:
    access = (await run_db(families.open_family, user=owner)).access
    status, body = await api(live_stack.url, "chat/ws-ticket", access)
    assert (status, body["expires_in"]) == (201, 30)
    assert body["url"] == f"{live_stack.url.replace('http', 'ws')}/ws/chat/?ticket={body['ticket']}"
    async with ByTicket(live_stack.url, body["ticket"]) as program:
        await program.send(type="message.send", client_id="a", conversation=None, persona=persona.slug, text="Hello")
        await program.until(lambda: "a" in program.accepted, "the acknowledgement")
    assert await run_db(lambda: Conversation.objects.get().owner_id) == owner.pk


async def test_a_ticket_opens_one_socket_however_many_try_at_once(live_stack: Stack, owner: User) -> None:
    ticket = (await run_db(make_ticket, owner)).encode()
    sockets = await asyncio.gather(
        *(
            RawSocket.open(live_stack.url, [host_of(live_stack.url)], path=b"/ws/chat/?ticket=" + ticket)
            for _ in range(20)
        )
    )
    first = await asyncio.gather(*(socket.first_frame_or_code() for socket in sockets))
    await asyncio.gather(*(socket.close() for socket in sockets))
    assert sorted(str(each) for each in first if each == CLOSE_SIGNED_OUT) == [str(CLOSE_SIGNED_OUT)] * 19
    assert await answer(live_stack.url, b"ticket=" + ticket, host_of(live_stack.url)) == (101, CLOSE_SIGNED_OUT)


async def test_a_ticket_runs_out_after_thirty_seconds(live_stack: Stack, owner: User) -> None:
    ticket = await run_db(make_ticket, owner)
    client = blocking_redis()
    key = tickets._place(ticket)
    assert 25 < client.ttl(key) <= tickets.SECONDS == 30
    assert ticket not in key + client.get(key).decode(), "Redis holds no ticket, only what one is worth"
    client.pexpire(key, 1)
    while client.exists(key):
        await asyncio.sleep(0.001)
    assert await answer(live_stack.url, b"ticket=" + ticket.encode(), host_of(live_stack.url)) == (
        101,
        CLOSE_SIGNED_OUT,
    )


@pytest.mark.parametrize(
    "query",
    [
        b"ticket=", b"ticket", b"ticket=x", b"ticket=%00", b"ticket=%ff", b"ticket=" + b"x" * 4000,
        b"ticket=a&ticket=b", b"&".join([b"ticket=x"] * 50), b"ticket=*", b"ticket=%0d%0aGET",
    ],
)  # fmt: skip
async def test_what_is_no_ticket_opens_nothing(live_stack: Stack, owner: User, query: bytes) -> None:
    host, own, cookie = own_headers(live_stack.url, await run_db(session_key, owner))
    for headers in ((host,), (host, own, cookie)):  # a cookie does not make up for it
        assert await answer(live_stack.url, query, *headers) == (101, CLOSE_SIGNED_OUT)


async def test_anothers_ticket_opens_nothing_in_ones_own_browser(live_stack: Stack, owner: User, other: User) -> None:
    ticket = (await run_db(make_ticket, owner)).encode()
    host, own, cookie = own_headers(live_stack.url, await run_db(session_key, other))
    assert await answer(live_stack.url, b"ticket=" + ticket, host, own, cookie) == (101, CLOSE_SIGNED_OUT)


async def test_a_ticket_is_taken_from_anywhere_but_a_foreign_page(live_stack: Stack, owner: User) -> None:
    url = live_stack.url
    foreign = [b"null", b"https://evil.example", b"http://[", b"\xff", b"javascript:x", b""]
    for origin in foreign:
        ticket = (await run_db(make_ticket, owner)).encode()
        status, _code = await answer(url, b"ticket=" + ticket, host_of(url), b"Origin: " + origin)
        assert status in (400, 403), origin
        await _good(url, ticket, b"Origin: " + url.encode())  # refused unread, so it is good still
    ticket = (await run_db(make_ticket, owner)).encode()
    assert (await answer(url, b"ticket=" + ticket, b"Host: evil.example"))[0] in (400, 403)


def test_another_sites_page_opens_a_socket_only_where_it_is_listed_and_has_a_ticket(settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]

    def handshake(origin: bytes, query: bytes) -> dict[str, Any]:
        headers = [(b"host", b"127.0.0.1:8000"), (b"origin", origin)]
        return {"headers": headers, "query_string": query, "scheme": "ws"}

    listed, other = b"https://app.example.org", b"https://other.example.org"
    assert is_admissible(handshake(listed, b"ticket=x"))
    assert not is_admissible(handshake(listed, b""))
    assert not is_admissible(handshake(other, b"ticket=x"))
    assert is_admissible(handshake(b"http://127.0.0.1:8000", b""))


async def _good(url: str, ticket: bytes, *headers: bytes) -> None:
    opened = await RawSocket.open(url, [host_of(url), *headers], path=b"/ws/chat/?ticket=" + ticket)
    assert await opened.first_frame_or_code() != CLOSE_SIGNED_OUT
    await opened.close()


async def test_a_ticket_of_a_sign_in_that_has_ended_opens_nothing(live_stack: Stack, owner: User) -> None:
    ends: list[Callable[[], object]] = [
        lambda: families.end_family(user=owner, family_id=owner.refresh_families.latest("created_at").pk),
        lambda: User.objects.filter(pk=owner.pk).update(auth_epoch=F("auth_epoch") + 1),
        lambda: User.objects.filter(pk=owner.pk).update(is_active=False),
    ]
    for end in ends:
        await run_db(owner.refresh_from_db)
        ticket = (await run_db(make_ticket, owner)).encode()
        await run_db(end)
        found = await answer(live_stack.url, b"ticket=" + ticket, host_of(live_stack.url))
        assert found == (101, CLOSE_SIGNED_OUT)


async def test_no_token_opens_a_socket_by_its_address_or_gets_into_a_log(live_stack: Stack, owner: User) -> None:
    url = live_stack.url
    pair = await run_db(families.open_family, user=owner)
    key = (await run_db(api_keys.create_key, user=owner, name="x", scopes=list(Scope)))[1]
    ticket = await run_db(make_ticket, owner)
    host, own, cookie = own_headers(url, await run_db(session_key, owner))
    for token in (pair.access, pair.refresh, key):
        for name in (b"token", b"access_token", b"jwt", b"ticket"):
            status, _code = await answer(url, name + b"=" + token.encode(), host, own, cookie)
            assert status == 403, name
        async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v1/me?jwt={token}") as reply:
            assert (reply.status, (await reply.json())["code"]) == (400, "token_in_address")
        async with aiohttp.ClientSession() as session, session.get(f"{url}/?jwt={token}") as reply:
            assert reply.status == 400
    await _good(url, ticket.encode())
    # Something that is logged, with its address: so there is a log to look at.
    foreign = {"Host": "evil.example"}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/x?ticket={ticket}", headers=foreign) as reply:
        assert reply.status == 400
    said = await asyncio.to_thread(_log_with, live_stack, "evil.example")
    for secret in (pair.access, pair.refresh, key, ticket):
        assert secret not in said
        assert secret[-20:] not in said


def _log_with(stack: Stack, words: str) -> str:
    return wait_until(lambda: words in stack.web[0].output() and stack.web[0].output(), "a line in the log")


# --- what a socket is held to while it is open


async def test_a_socket_closes_when_what_opened_it_ends(live_stack: Stack, owner: User) -> None:
    url = live_stack.url
    admin = await run_db(make_admin)

    def sign_out(user: User, pair: families.Pair) -> object:
        return families.end_family(user=user, family_id=pair.family.pk)

    ways: dict[str, Callable[[User, families.Pair], object]] = {
        "sign-out": sign_out,
        "replay": lambda _u, pair: _replay(pair),
        "suspension": lambda user, _p: people.set_suspended(actor=admin, user=user, suspended=True, reason="spam"),
        "password": lambda user, _p: people.change_password(user=user, password="another correct horse"),
        "role": lambda user, _p: people.change_role(actor=admin, user=user, role=Role.MODERATOR, reason="helps"),
        "everywhere": lambda user, _p: people.end_sessions(user=user),
        "closed": lambda user, _p: people.deactivate(user=user),
        "unannounced": lambda _u, pair: type(pair.family).objects.filter(pk=pair.family.pk).delete(),
    }

    async def closed_after(way: str) -> tuple[str, int | None]:
        user = await run_db(make_user)
        pair = await run_db(families.open_family, user=user)
        _status, body = await api(url, "chat/ws-ticket", pair.access)
        async with ByTicket(url, body["ticket"]) as program:
            await run_db(ways[way], user, pair)
            await program.until(lambda: program.close_code, f"the close after {way}", WITHIN)
            return way, program.close_code

    bystander = ByTicket(url, await run_db(make_ticket, owner))
    await bystander.connect()
    closed = await asyncio.gather(*(closed_after(way) for way in ways))
    assert closed == [(way, CLOSE_SIGNED_OUT) for way in ways]
    await bystander.send(type="ping")
    await bystander.until(lambda: bystander.heard[-1]["type"] == "pong", "a pong")
    await bystander.close()


def _replay(pair: families.Pair) -> None:
    families.refresh(token=pair.refresh)
    with pytest.raises(families.TokenRefused):
        families.refresh(token=pair.refresh)


async def test_refreshing_leaves_the_socket_open(live_stack: Stack, owner: User) -> None:
    pair = await run_db(families.open_family, user=owner)
    _status, body = await api(live_stack.url, "chat/ws-ticket", pair.access)
    async with ByTicket(live_stack.url, body["ticket"]) as program:
        await run_db(families.refresh, token=pair.refresh)
        await run_db(families.open_family, user=owner)
        other = await run_db(families.open_family, user=owner)
        await run_db(families.end_family, user=owner, family_id=other.family.pk)  # announced to this socket too
        await program.send(type="ping")
        await program.until(lambda: program.heard[-1]["type"] == "pong", "a pong")
        assert program.close_code is None


async def test_a_keys_socket_closes_when_the_key_is_revoked(live_stack: Stack, owner: User) -> None:
    key, text = await run_db(api_keys.create_key, user=owner, name="x", scopes=list(Scope))
    _status, body = await api(live_stack.url, "chat/ws-ticket", text)
    async with ByTicket(live_stack.url, body["ticket"]) as program:
        await run_db(api_keys.revoke_key, user=owner, key_id=key.pk)
        await program.until(lambda: program.close_code, "the close", WITHIN)
        assert program.close_code == CLOSE_SIGNED_OUT


async def test_a_keys_socket_closes_when_the_key_runs_out(live_stack: Stack, owner: User) -> None:
    key, text = await run_db(api_keys.create_key, user=owner, name="x", scopes=list(Scope))
    _status, body = await api(live_stack.url, "chat/ws-ticket", text)
    async with ByTicket(live_stack.url, body["ticket"]) as program:
        await run_db(ApiKey.objects.filter(pk=key.pk).update, expires_at=key.created_at)
        await program.until(lambda: program.close_code, "the close", WITHIN)
        assert program.close_code == CLOSE_SIGNED_OUT


async def test_a_key_that_only_reads_writes_nothing(live_stack: Stack, owner: User, persona: Persona) -> None:
    _key, text = await run_db(api_keys.create_key, user=owner, name="x", scopes=[Scope.READ])
    _status, body = await api(live_stack.url, "chat/ws-ticket", text)
    some = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"
    writes = [
        {"type": "message.send", "conversation": None, "persona": persona.slug, "text": "Hello"},
        {"type": "message.edit", "message": some, "text": "x"},
        {"type": "reply.regenerate", "reply": some},
        {"type": "reply.continue", "reply": some},
    ]
    async with ByTicket(live_stack.url, body["ticket"]) as program:
        for number, command in enumerate(writes):
            await program.send(client_id=f"c{number}", **command)
            await program.until(lambda number=number: f"c{number}" in program.errors, "the refusal")
            assert program.errors[f"c{number}"]["code"] == "scope_missing"
        await program.send(type="reply.stop", reply=some)
        await program.until(lambda: program.heard[-1].get("code") == "scope_missing", "the refusal of a stop")
        await program.send(type="ping")
        await program.until(lambda: program.heard[-1]["type"] == "pong", "a pong")
    assert not await run_db(Conversation.objects.exists)


async def test_who_gets_a_ticket(live_stack: Stack, owner: User) -> None:
    guest = await run_db(make_guest)
    for token, expected in {
        (await run_db(families.open_family, user=guest)).access: 201,
        (await run_db(api_keys.create_key, user=owner, name="x", scopes=[Scope.CHAT]))[1]: 403,
        (await run_db(api_keys.create_key, user=owner, name="x", scopes=[Scope.READ]))[1]: 201,
        "x": 401,
    }.items():
        assert (await api(live_stack.url, "chat/ws-ticket", token))[0] == expected
