"""What the chat socket makes of frames that no page would send: refused with a code, and nobody else notices."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.text import clean_text
from conversations import events
from conversations.consumers import MAX_SOCKETS_PER_PERSON
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .raw_socket import BINARY, CONTINUATION, PING, PONG, TEXT, RawSocket, own_headers
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

TOO_LARGE, NOT_UTF8 = 1009, 1007
MEGABYTE = 1024 * 1024


@pytest.fixture
async def tab(live_stack: Stack, owner: User, persona: Persona) -> AsyncIterator[ChatClient]:
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as client:
        yield client


async def is_well(tab: ChatClient) -> None:
    """The socket answers."""
    before = len(tab.heard)
    await tab.send(type="ping")
    await tab.until(lambda: {"type": "pong"} in tab.heard[before:], "a pong")


async def raw(tab: ChatClient, **options: Any) -> RawSocket:
    """Another socket of the same person, by hand; past ``ready``."""
    opened = await RawSocket.open(tab.url, own_headers(tab.url, tab.key), **options)
    assert opened.status == 101
    assert json.loads((await opened.frame())[1])["type"] == "ready"
    return opened


@pytest.mark.parametrize(
    ("payload", "kind", "code"),
    [
        (b" " * (events.MAX_FRAME_BYTES + 1), 1, TOO_LARGE),
        (b"{}", BINARY, events.CLOSE_BAD_FRAME),
        (b'{"type":"ping"}', BINARY, events.CLOSE_BAD_FRAME),
        (b'{"type":"\xff\xfe"}', 1, NOT_UTF8),
        (b'{"type":"\xed\xa0\x80"}', 1, NOT_UTF8),
    ],
    ids=["too large", "binary", "binary JSON", "no UTF-8", "a surrogate in UTF-8"],
)
async def test_a_bad_frame_closes_its_own_socket_with_a_code(
    tab: ChatClient, payload: bytes, kind: int, code: int
) -> None:
    bad = await raw(tab)
    with contextlib.suppress(ConnectionError):
        bad.send(payload, kind)
        await bad.writer.drain()
    assert await bad.close_code() == code
    await bad.close()
    await is_well(tab)


async def test_a_frame_of_many_megabytes_is_not_taken_in(tab: ChatClient, live_stack: Stack) -> None:
    web = psutil.Process(live_stack.web[0].pid)
    before = web.memory_info().rss
    bad = await raw(tab)
    with contextlib.suppress(ConnectionError):
        bad.send(b" " * (64 * MEGABYTE))
        await bad.writer.drain()
    # Whoever still writes when the connection is closed may lose the close frame to the reset.
    assert await bad.close_code() in (TOO_LARGE, 1006)
    await bad.close()
    assert web.memory_info().rss - before < 16 * MEGABYTE
    await is_well(tab)


async def test_the_largest_frame_allowed_is_a_message(tab: ChatClient) -> None:
    text = "\u00fc" * events.MAX_TEXT
    frame = json.dumps({"type": "message.send", "client_id": "long", "text": text}, ensure_ascii=False)
    await tab.send_raw(frame + " " * (events.MAX_FRAME_BYTES - len(frame.encode())))
    accepted = await tab.answer_to("long")
    assert accepted["message"]["text"] == text


BAD_JSON = [
    "", "{", "nonsense", "NaN", "[]", "null", '{"type":"ping"', '{"type":"ping"}{"type":"ping"}', "\x00", "\ufeff{}",
    "[" * 60_000, '{"a":' * 12_000, '{"type":' + "9" * 5000 + "}", '{"type":"ping","x":' + "1" * 5000 + "}",
    '{"type":"conversation.follow","conversation":NaN}', '{"type":"message.send","client_id":"a","text":Infinity}',
    '{"type":"message.send","client_id":"a","text":"\\ud800"}',
    '{"type":"message.send","client_id":"a","text":"\\udc00x"}',
    '{"type":"message.send","client_id":"\\u0000","text":"x"}',
    '{"type":"message.send","client_id":"a","text":"x","persona":"\\u0000"}',
    '{"type":"message.send","client_id":"a","text":"x","persona":"a b"}', '{"__proto__":{},"type":"ping"}',
]  # fmt: skip


async def test_bad_json_is_answered_by_an_error_and_the_socket_stays(tab: ChatClient) -> None:
    for frame in BAD_JSON:
        before = len(tab.heard)
        await tab.send_raw(frame)
        answer = await tab.until(lambda before=before: tab.heard[before:], f"an answer to {frame[:40]!r}")
        assert (answer[0]["type"], answer[0]["code"]) == ("error", "bad_command"), frame[:80]
    await is_well(tab)
    assert not await run_db(Message.objects.exists)


async def test_names_of_internal_messages_are_unknown_commands(tab: ChatClient, live_stack: Stack) -> None:
    async with ChatClient(live_stack.url, tab.key) as neighbour:
        names = [
            "websocket.disconnect", "websocket.connect", "websocket.receive", "websocket.close", "frame.push",
            "frame_push", "signed.out", "signed_out", "dispatch", "close", "reply.delta", "message.accepted",
        ]  # fmt: skip
        heard = len(neighbour.heard)
        for name in names:
            before = len(tab.heard)
            await tab.send(type=name, frame="eyJ4IjoxfQ==", code=1000)
            answer = await tab.until(lambda before=before: tab.heard[before:], f"an answer to {name}")
            assert (answer[0]["type"], answer[0]["code"]) == ("error", "bad_command"), name
        await is_well(tab)
        await is_well(neighbour)
        assert [event["type"] for event in neighbour.heard[heard:]] == ["pong"]


async def test_a_flood_of_frames_closes_that_socket_alone(tab: ChatClient) -> None:
    flood = await raw(tab)
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            flood.send(b'{"type":"ping"}')
        await flood.writer.drain()
    assert await flood.close_code() == events.CLOSE_TOO_MANY
    assert flood.received < 200 * len('{"type":"pong"}'), "it was not answered to the end"
    await flood.close()
    await is_well(tab)


@pytest.mark.parametrize(
    ("kind", "is_last"), [(PING, True), (PONG, True), (CONTINUATION, False)], ids=["pings", "pongs", "parts"]
)
async def test_a_flood_of_what_is_no_message_closes_that_socket_alone(
    tab: ChatClient, kind: int, is_last: bool
) -> None:
    flood = await raw(tab)
    if kind == CONTINUATION:
        flood.send(b"", TEXT, is_last=False)
    with contextlib.suppress(ConnectionError):
        for _ in range(2000):
            flood.send(b"", kind, is_last=is_last)
        await flood.writer.drain()
    assert await flood.close_code() == events.CLOSE_TOO_MANY
    await flood.close()
    await is_well(tab)


async def test_a_message_may_come_in_parts_with_a_ping_between_them(tab: ChatClient) -> None:
    parted = await raw(tab)
    message = b'{"type":"ping"}'
    for number, byte in enumerate(message):
        parted.send(bytes([byte]), CONTINUATION if number else TEXT, is_last=number == len(message) - 1)
        parted.send(b"", PING)
    answers = [await parted.frame() for _ in range(len(message) + 1)]
    assert sorted(answers) == sorted([(TEXT, b'{"type":"pong"}'), *[(PONG, b"")] * len(message)])
    await parted.close()


async def test_one_person_has_fifty_sockets_and_not_one_more(tab: ChatClient, live_stack: Stack, other: User) -> None:
    more = [await raw(tab) for _ in range(MAX_SOCKETS_PER_PERSON - 1)]
    refused = await RawSocket.open(tab.url, own_headers(tab.url, tab.key))
    assert (refused.status, await refused.close_code()) == (101, events.CLOSE_TOO_MANY)
    async with ChatClient(live_stack.url, await run_db(session_key, other)) as neighbour:
        await is_well(neighbour)
    await is_well(tab)
    for each in (*more, refused):
        await each.close()

    async def opens() -> bool:
        again = await RawSocket.open(tab.url, own_headers(tab.url, tab.key))
        kind, _payload = await again.frame()
        await again.close()
        return kind == 1

    async with asyncio.timeout(10):
        while not await opens():
            pass


@pytest.mark.parametrize(
    "text",
    [
        "a\x00b", "\x1b[31mred\x07", "a\u202eb\u2066c", "e" + "\u0301" * 5000, "\u202e", "cafe\u0301", "a\r\nb\rc",
        "\U0001f469\u200d\U0001f467 \u05e9\u05dc\u05d5\u05dd \u200f!", "\ufeffx\u2028y",
    ],
)  # fmt: skip
async def test_hostile_text_is_refused_or_made_safe_before_it_is_stored(tab: ChatClient, text: str) -> None:
    client_id = uuid4().hex
    await tab.send(type="message.send", client_id=client_id, text=text)
    await tab.until(lambda: client_id in tab.accepted or client_id in tab.errors, "an answer")
    safe = clean_text(text).strip()
    if not safe:
        assert tab.errors[client_id]["code"] == "empty_text"
        return
    accepted = tab.accepted[client_id]
    row = await run_db(Message.objects.get, pk=UUID(accepted["message"]["id"]))
    assert row.text == accepted["message"]["text"] == safe
    assert not set(row.text) & set("\x00\x07\x1b\r\u202e\u2066")
    assert len(row.text) <= 40
    await tab.ended(accepted["reply"]["id"])  # and not in the midst of the next test


async def test_a_cursor_that_cannot_be_is_answered_by_the_whole_text(
    tab: ChatClient, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["One ", "two ", "three ", "four"], gate=gate))
    accepted = await tab.ask("Count")
    reply, conversation = accepted["reply"]["id"], accepted["conversation"]["id"]
    gate.release(3)
    await tab.until(lambda: tab.replies[reply].text == "One two three ", "three tokens")
    epoch = tab.replies[reply].epoch
    cursors = [
        [0, 0], [epoch, 1000], [epoch, -1], [epoch, 2], [-1, -1], [epoch + 1, 0], [epoch + 5, 14], [epoch - 1, 4],
        [2**63, 2**63], [2**62, 1], [-(2**63), 0], [epoch, 2**63],
    ]  # fmt: skip
    for cursor in cursors:
        async with ChatClient(live_stack.url, tab.key) as late:
            await late.send(type="conversation.follow", conversation=conversation, cursors={reply: cursor})
            await late.until(lambda late=late: reply in late.replies and late.replies[reply].events, f"{cursor}")
            assert late.replies[reply].events == ["reply.snapshot"], cursor
            assert late.replies[reply].text == "One two three ", cursor
    gate.release()
    assert (await tab.ended(reply)).text == "One two three four"


async def test_a_cursor_from_before_a_stop_and_a_continuation_is_answered_by_the_whole_text(
    tab: ChatClient, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    gate, second = fake_model.hold(), fake_model.hold()
    fake_model.enqueue(Script(tokens=["One ", "two "], gate=gate), Script(tokens=["three ", "four"], gate=second))
    accepted = await tab.ask("Count")
    reply, conversation = accepted["reply"]["id"], accepted["conversation"]["id"]
    gate.release(1)
    await tab.until(lambda: tab.replies[reply].text == "One ", "a token")
    await tab.send(type="reply.stop", reply=reply)
    await tab.ended(reply)
    await tab.command("reply.continue", reply=reply)
    second.release(1)
    await tab.until(lambda: tab.replies[reply].text == "One three ", "a token of the continuation")
    async with ChatClient(live_stack.url, tab.key) as late:
        await late.send(type="conversation.follow", conversation=conversation, cursors={reply: [1, 2]})
        await late.until(lambda: late.replies.get(reply) and late.replies[reply].events, "an event")
        assert late.replies[reply].events == ["reply.snapshot"]
        second.release()
        assert (await late.ended(reply)).text == "One three four"


async def test_a_reader_that_stops_is_closed_while_its_replies_and_the_other_tabs_go_on(
    tab: ChatClient, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    tokens = [f"{number:05d} " + "\U0001f30d" * 5000 + " " for number in range(150)]
    whole = "".join(tokens)
    gates = [fake_model.hold() for _ in range(2)]  # the system keeps some megabytes for a connection: more than that
    fake_model.enqueue(*(Script(tokens=tokens, gate=gate) for gate in gates))
    asked = [await tab.ask("Say a lot") for _ in gates]
    replies = [accepted["reply"]["id"] for accepted in asked]
    await tab.until(lambda: all("reply.started" in tab.replies[pk].events for pk in replies), "all replies to begin")
    stopped = [await raw(tab, receive_buffer=4096) for _ in range(5)]
    web = psutil.Process(live_stack.web[0].pid)
    for each in stopped:
        for accepted in asked:
            follow = {"type": "conversation.follow", "conversation": accepted["conversation"]["id"]}
            each.send(json.dumps(follow).encode())
        each.reader._transport.pause_reading()  # type: ignore[attr-defined]
    before = web.memory_info().rss
    for gate, reply in zip(gates, replies, strict=True):
        for number in range(10, len(tokens) + 1, 10):
            size = sum(map(len, tokens[:number]))
            gate.release(10)  # no faster than the tab that reads takes it
            await tab.until(lambda size=size, reply=reply: len(tab.replies[reply].text) >= size, "its text")
        seen = await tab.ended(reply)
        assert (seen.status, len(seen.text), seen.text == whole) == ("reply.completed", len(whole), True)
    owed = len(stopped) * len(replies) * 3 * len(whole.encode())  # the deltas, and an ending with text and HTML
    grown = web.memory_info().rss - before
    assert grown < owed * 0.8, f"{grown / MEGABYTE:.0f} MiB, where {owed / MEGABYTE:.0f} MiB were owed"
    for each in stopped:
        each.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert await each.close_code(30) in (events.CLOSE_TOO_SLOW, 1006)
        assert each.received < len(replies) * len(whole.encode()), "closed at the bound"
        await each.close()
    async with ChatClient(live_stack.url, tab.key) as late:
        for accepted in asked:
            snapshot = await late.follow(accepted["conversation"]["id"])
            assert snapshot["messages"][-1]["text"] == whole
