"""The load generator's WebSocket client on the bytes of a server."""

import asyncio
import struct

import pytest

from stress_tests.bench_socket import HandshakeRefused, WebSocket

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Wire(asyncio.Transport):
    """Takes what the client writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.written += b"[closed]"


def server_frame(payload: bytes, first: int = 0x81) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


async def fed(*pieces: bytes) -> tuple[list[bytes], bytes, WebSocket]:
    """What the client makes of these pieces after the handshake: the texts, and what it wrote."""
    texts: list[bytes] = []
    wire = Wire()
    client = WebSocket(lambda text, now: texts.append(text), lambda code: None)
    client.connection_made(wire)
    client.data_received(UPGRADED)
    for piece in pieces:
        client.data_received(piece)
    await client.opened
    return texts, wire.written, client


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
async def test_frames_of_every_length_come_whole_however_they_are_cut(size: int) -> None:
    stream = server_frame(b"a" * size) + server_frame(b"next")
    step = max(1, len(stream) // 50)
    texts, _, _ = await fed(*(stream[at : at + step] for at in range(0, len(stream), step)))
    assert texts == [b"a" * size, b"next"]


async def test_fragments_are_joined() -> None:
    texts, _, _ = await fed(server_frame(b"one ", first=0x01), server_frame(b"text", first=0x80))
    assert texts == [b"one text"]


async def test_ping_is_answered_with_its_payload() -> None:
    _, written, _ = await fed(server_frame(b"hi", first=0x89))
    assert written == b"\x8a\x82\x00\x00\x00\x00hi"


async def test_frame_that_comes_with_the_handshake_is_not_lost() -> None:
    texts: list[bytes] = []
    client = WebSocket(lambda text, now: texts.append(text), lambda code: None)
    client.connection_made(Wire())
    client.data_received(UPGRADED + server_frame(b"ready"))
    assert texts == [b"ready"]


async def test_refused_upgrade_names_the_answer() -> None:
    client = WebSocket(lambda text, now: None, lambda code: None)
    client.connection_made(Wire())
    client.data_received(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    with pytest.raises(HandshakeRefused, match="403"):
        await client.opened
