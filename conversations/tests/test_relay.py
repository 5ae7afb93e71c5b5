"""What goes from a model's stream into a reply."""

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest

from conversations.replies.live import LiveReply
from conversations.replies.pipeline import relay


@pytest.mark.parametrize("reason", ["stop", "hand_over", "overtaken"])
async def test_a_cancellation_that_was_dropped_on_its_way_ends_the_reply_at_the_next_piece(reason: str) -> None:
    """As ``asyncio.wait_for`` drops one that comes together with its result: see ``cancel_until_done``."""
    reply = Mock(spec=LiveReply, restorer=None, filter=None, text="So far", cancelled_for=reason)
    stream, say = Mock(read=AsyncMock(side_effect=[", and on", ""])), Mock()
    with pytest.raises(asyncio.CancelledError):
        await relay(stream, reply, AsyncMock(), say)
    assert reply.text == "So far"
    say.assert_not_called()


async def test_one_that_goes_on_is_told_to_its_end() -> None:
    reply = Mock(spec=LiveReply, restorer=None, filter=None, text="So far", cancelled_for="")
    stream, next_tick = Mock(read=AsyncMock(side_effect=[", and on", ".", ""])), AsyncMock()
    await relay(stream, reply, next_tick, Mock())
    assert reply.text == "So far, and on."
    assert next_tick.await_count == 2
