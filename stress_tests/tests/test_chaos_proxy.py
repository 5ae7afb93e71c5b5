"""The proxy of chaos runs: passes everything on, and spoils it as it is told."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from stress_tests.chaos.proxy import Proxy, to_port
from stress_tests.fake_model import closed_port

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that says everything back."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(to_port(server.sockets[0].getsockname()[1])) as proxy:
        yield proxy
    server.close()


@pytest.fixture
async def ends(proxy: Proxy) -> AsyncIterator[Ends]:
    """A connection through the proxy that has passed something on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    yield reader, writer
    writer.close()


async def test_everything_passes_in_order(ends: Ends) -> None:
    reader, writer = ends
    said = bytes(range(256)) * 2000
    writer.write(said)
    assert await reader.readexactly(len(said)) == said
    writer.write_eof()
    assert await reader.read() == b""


@pytest.mark.parametrize(("name", "value"), [("delay", 0.01), ("rate", 4000.0)])
async def test_slow_or_throttled_everything_arrives_all_the_same(
    proxy: Proxy, ends: Ends, name: str, value: float
) -> None:
    setattr(proxy, name, value)
    ends[1].write(b"x" * 500)
    assert await ends[0].readexactly(500) == b"x" * 500


async def test_stalled_it_keeps_everything_until_healed(proxy: Proxy, ends: Ends) -> None:
    reader, writer = ends
    proxy.stall()
    writer.write(b"later")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(5), 0.05)
    proxy.heal()
    assert await reader.readexactly(5) == b"later"


async def test_half_open_it_swallows_and_healing_resets_what_it_met(proxy: Proxy, ends: Ends) -> None:
    reader, writer = ends
    proxy.swallows = True
    writer.write(b"gone")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(4), 0.05)
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        await reader.read(4)


async def test_reset_ends_connections_and_takes_new_ones(proxy: Proxy, ends: Ends) -> None:
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await ends[0].read(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"
    writer.close()


async def test_torn_it_breaks_in_the_midst_of_what_is_said(proxy: Proxy, ends: Ends) -> None:
    reader, writer = ends
    proxy.tear(3)
    writer.write(b"hello")
    assert await reader.readexactly(3) == b"hel"
    with pytest.raises(ConnectionResetError):
        await reader.read(1)


async def test_healed_nothing_is_torn_any_more(proxy: Proxy, ends: Ends) -> None:
    reader, writer = ends
    proxy.tear(3)
    proxy.heal()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"


async def test_refusing_or_without_a_server_it_resets_who_connects(proxy: Proxy) -> None:
    proxy.refuses = True
    async with Proxy(to_port(closed_port())) as alone:
        for port in (proxy.port, alone.port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            writer.close()
