"""The socket of the live tile, ``/ws/figures/``, on the running product."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from websockets import ConnectionClosed
from websockets.asyncio.client import connect

from accounts import services
from accounts.models import User
from accounts.roles import Role
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from analytics import consumers
from chatbot_project.lib.db import run_db
from conversations.presence import who_is_connected
from conversations.tests.client import ChatClient, session_key
from conversations.tests.fault_stack import eventually
from conversations.tests.stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


def socket_to(stack: Stack, key: str, *, origin: str | None = None, query: str = "") -> Any:
    address = stack.url.replace("http", "ws", 1) + f"/ws/figures/{query}"
    headers = {"Cookie": f"sessionid={key}"} if key else {}
    return connect(address, additional_headers=headers, origin=origin or stack.url, open_timeout=10)


async def heard(socket: Any, kind: str) -> dict[str, Any]:
    """The next event of that kind."""
    async with asyncio.timeout(30):
        while (event := json.loads(await socket.recv()))["type"] != kind:
            pass
    return dict(event)


async def close_code(socket: Any) -> int | None:
    try:
        async with asyncio.timeout(30):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


async def test_it_tells_staff_what_is_going_on_and_of_changes(live_stack: Stack) -> None:
    await eventually(lambda: run_db(lambda: not who_is_connected()), "the leaving of those of tests before")
    key = await run_db(lambda: session_key(make_moderator()))
    async with socket_to(live_stack, key) as socket:
        assert json.loads(await socket.recv()) == {"type": "ready"}
        before = await heard(socket, "live")
        assert set(before) == {"type", "people", "streaming", "waiting"}
        async with ChatClient(live_stack.url, await run_db(lambda: session_key(make_user()))):
            while (await heard(socket, "live"))["people"] != before["people"] + 1:
                pass
        while (await heard(socket, "live"))["people"] != before["people"]:
            pass


async def test_it_answers_a_ping_and_takes_nothing_else(live_stack: Stack) -> None:
    key = await run_db(lambda: session_key(make_admin()))
    for bad in ('{"type": "stop"}', "no json", "[" * 90, "x" * 1000, b"\x00"):
        async with socket_to(live_stack, key) as socket:
            await socket.send('{"type": "ping"}')
            assert await heard(socket, "pong")
            await socket.send(bad)
            assert await close_code(socket) == 4400, bad


@pytest.mark.parametrize(
    ("who", "code"), [("nobody", 4401), ("user", 4403), ("guest", 4403), ("suspended", 4401), ("gone", 4401)]
)
async def test_others_are_told_nothing(live_stack: Stack, who: str, code: int) -> None:
    def key_of() -> str:
        if who == "nobody":
            return ""
        person = {"user": make_user, "guest": make_guest}.get(who, make_moderator)()
        key = session_key(person)
        if who == "suspended":
            User.objects.filter(pk=person.pk).update(is_active=False)
        return key if who != "gone" else "x" * 32

    async with socket_to(live_stack, await run_db(key_of)) as socket:
        assert await close_code(socket) == code


async def test_only_a_page_of_this_site_opens_it(live_stack: Stack) -> None:
    key = await run_db(lambda: session_key(make_moderator()))
    for origin, query in (("https://elsewhere.example", ""), (live_stack.url, "?ticket=x")):
        with pytest.raises(Exception, match="403"):
            async with socket_to(live_stack, key, origin=origin, query=query):
                pass


async def test_who_loses_the_right_or_signs_out_is_sent_away(live_stack: Stack) -> None:
    admin, moderator, other = await run_db(lambda: (make_admin(), make_moderator(), make_moderator()))
    async with (
        socket_to(live_stack, await run_db(session_key, moderator)) as demoted,
        socket_to(live_stack, await run_db(session_key, other)) as signed_out,
    ):
        for socket in (demoted, signed_out):
            await heard(socket, "live")
        await run_db(lambda: User.objects.filter(pk=moderator.pk).update(role=Role.USER))
        await run_db(lambda: services.set_suspended(actor=admin, user=other, suspended=True, reason="x"))
        assert await close_code(demoted) == 4403
        assert await close_code(signed_out) == 4401


async def test_one_person_opens_few(live_stack: Stack) -> None:
    key = await run_db(lambda: session_key(make_moderator()))
    sockets = []
    try:
        for _number in range(consumers.MAX_SOCKETS_PER_PERSON):
            sockets.append(await socket_to(live_stack, key))
            await heard(sockets[-1], "ready")
        sockets.append(await socket_to(live_stack, key))
        assert await close_code(sockets[-1]) == 4429
        await sockets.pop(0).close()
        assert await has_room(live_stack, key)
    finally:
        for socket in sockets:
            await socket.close()


async def test_who_leaves_before_it_is_ready_is_not_counted_any_more(transactional_db: None) -> None:
    key = await run_db(lambda: session_key(make_moderator()))
    headers = {b"host": b"testserver", b"origin": b"http://testserver", b"cookie": f"sessionid={key}".encode()}
    scope = {"type": "websocket", "scheme": "ws", "query_string": b"", "headers": list(headers.items())}
    asked: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"} if not asked else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        asked.append(message["type"])
        if message["type"] == "websocket.send":
            raise OSError("The client has left.")

    with pytest.raises(OSError, match="The client has left"):
        await consumers.FiguresConsumer()(scope, receive, send)
    assert asked == ["websocket.accept", "websocket.send"]
    assert not consumers._open


async def has_room(stack: Stack, key: str) -> bool:
    """Whether there is soon one more: the one that left is counted out when the server has heard of it."""
    for _attempt in range(100):
        async with socket_to(stack, key) as socket:
            with suppress(ConnectionClosed):
                return bool(await heard(socket, "ready"))
    return False
