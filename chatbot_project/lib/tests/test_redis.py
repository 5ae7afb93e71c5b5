"""Clients of Redis: whatever breaks is a RedisError, which every caller gets along with."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop

from chatbot_project.lib.redis import CONNECTIONS, RedisError, make_redis, open_all
from stress_tests.chaos.proxy import Proxy, to_socket


def test_connection_that_breaks_while_it_is_written_to_is_lost_like_any_other() -> None:
    async def write_to_a_broken_one() -> None:
        client = make_redis()
        connection = client.connection_pool.make_connection()
        await connection.connect()
        connection._writer.transport.abort()
        try:
            with pytest.raises(RedisError):
                await connection.send_command("PING")
            assert await client.ping()
        finally:
            await connection.disconnect(nowait=True)
            await client.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write_to_a_broken_one())


@pytest.fixture
async def link(settings: Any) -> AsyncIterator[Proxy]:
    """What lies between this process and Redis."""
    async with Proxy(to_socket(settings.REDIS_URL.removeprefix("unix://").partition("?")[0])) as proxy:
        settings.REDIS_URL = f"redis://127.0.0.1:{proxy.port}/0"
        yield proxy


async def test_all_connections_are_opened_and_then_used(link: Proxy) -> None:
    async with make_redis() as client:
        await open_all(client)
        assert link.connections == CONNECTIONS
        link.refuses = True  # whoever comes now
        assert all(await asyncio.gather(*(client.ping() for _command in range(3 * CONNECTIONS))))


async def test_where_redis_is_away_connections_are_opened_as_they_are_needed(link: Proxy) -> None:
    link.refuses = True
    async with make_redis() as client:
        await open_all(client)
        link.heal()
        assert await client.ping()
        assert link.connections == 1
