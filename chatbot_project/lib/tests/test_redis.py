"""Clients of Redis: whatever breaks is a RedisError, which every caller gets along with."""

import asyncio

import pytest
import uvloop

from chatbot_project.lib.redis import RedisError, make_redis


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
