"""What a client sends over a WebSocket beside messages; floods over a real socket are in test_socket_frames.py."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from chatbot_project.lib import frames
from chatbot_project.lib.frames import BoundedFrames

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a.b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\0\0\0\0"
PING, FIRST_PART, PART, LAST_PART = (bytes([head, 0x80]) + MASK for head in (0x89, 0x01, 0x00, 0x80))


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


@pytest.fixture
async def connection() -> BoundedFrames:
    """An open one, with what it writes in ``transport.write``."""
    config = uvicorn.Config(accepting, ws=BoundedFrames, log_config=None, lifespan="off")
    config.load()
    made = BoundedFrames(config=config, server_state=ServerState(), app_state={})
    made.connection_made(Mock(get_extra_info=Mock(return_value=None), is_closing=Mock(return_value=False)))
    made.data_received(HANDSHAKE)
    async with asyncio.timeout(5):
        while not made.handshake_complete:
            await asyncio.sleep(0)
    made.stop_keepalive()
    made.transport.write.reset_mock()
    return made


def closed_with(connection: BoundedFrames) -> int | None:
    sent = connection.conn.close_sent
    return None if sent is None else sent.code


async def test_of_a_flood_that_came_at_once_what_stands_behind_the_bound_is_not_looked_at(
    connection: BoundedFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "PIECE_BYTES", 60)
    monkeypatch.setattr(frames, "monotonic", lambda: connection._counted_at)  # none is allowed anew meanwhile
    parsed = Mock(wraps=connection.conn.receive_data)
    monkeypatch.setattr(connection.conn, "receive_data", parsed)
    connection.data_received(PING * 10_000)
    assert closed_with(connection) == 1008
    assert parsed.call_count == frames.FRAMES_AT_ONCE * len(PING) // 60 + 1
    before = connection.transport.write.call_count
    connection.data_received(PING)
    assert (parsed.call_count, connection.transport.write.call_count) == (31, before)


async def test_a_message_in_ever_more_parts_is_refused_however_slowly_they_come(
    connection: BoundedFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "FRAMES_AT_ONCE", 1e9)
    connection._allowed = 1e9
    connection.data_received(FIRST_PART + PART * (frames.PARTS - 2) + LAST_PART)
    assert closed_with(connection) is None
    connection.data_received(FIRST_PART + PART * (frames.PARTS - 1))
    assert closed_with(connection) is None
    connection.data_received(PART)
    assert closed_with(connection) == 1008


async def test_who_stays_below_the_rate_may_go_on_for_ever(
    connection: BoundedFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [connection._counted_at]
    monkeypatch.setattr(frames, "monotonic", lambda: clock[0])
    for _ping in range(2000):
        clock[0] += 1 / frames.FRAMES_PER_SECOND
        connection.data_received(PING)
    assert closed_with(connection) is None
    assert connection.transport.write.call_count == 2000
