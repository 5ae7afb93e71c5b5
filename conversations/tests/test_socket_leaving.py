"""However a socket ends, nothing of it stays: the server's end of one, held by hand."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import get_channel_layer

from accounts import services as people
from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.consumers import ChatConsumer
from conversations.events import CLOSE_SIGNED_OUT
from conversations.hub import Hub, running_hub

from .client import session_key

pytestmark = pytest.mark.django_db(transaction=True)


class Wire:
    """A socket as a server gives it to the product; its client leaves when it is to be sent a message ``leaves_at``."""

    def __init__(self, key: str, leaves_at: str = "") -> None:
        self.leaves_at = leaves_at
        self.sent: list[dict[str, Any]] = []
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received.put_nowait({"type": "websocket.connect"})
        self.changed = asyncio.Event()
        headers = {b"host": b"testserver", b"origin": b"http://testserver", b"cookie": f"sessionid={key}".encode()}
        self.scope = {"type": "websocket", "scheme": "ws", "query_string": b"", "headers": list(headers.items())}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == self.leaves_at:
            raise OSError("The client has left.")
        self.sent.append(message)
        self.changed.set()

    async def until_sent(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while not (found := [message for message in self.sent if message["type"] == kind]):
                self.changed.clear()
                await self.changed.wait()
        return found[0]

    async def run(self) -> None:
        await ChatConsumer()(self.scope, self.received.get, self.send)


@pytest.fixture
async def hub(transactional_db: None) -> AsyncIterator[Hub]:
    """The hub of the test's loop."""
    hub = running_hub()
    yield hub
    await hub.stop()


async def test_a_client_that_leaves_while_it_is_let_in_is_not_counted_any_more(hub: Hub, owner: User) -> None:
    wire = Wire(await run_db(session_key, owner), leaves_at="websocket.accept")
    with pytest.raises(OSError, match="The client has left"):
        await wire.run()
    assert hub.sockets == set()
    assert hub.count_of(owner.pk) == 0
    assert hub.presence._entries == {}


async def test_who_was_signed_out_leaves_nothing_in_the_channel_layer(hub: Hub, owner: User) -> None:
    wire = Wire(await run_db(session_key, owner))
    served = asyncio.create_task(wire.run())
    await wire.until_sent("websocket.send")
    assert len(get_channel_layer().groups) == 1
    await run_db(lambda: people.end_sessions(user=owner))
    assert (await wire.until_sent("websocket.close"))["code"] == CLOSE_SIGNED_OUT
    wire.received.put_nowait({"type": "websocket.disconnect", "code": CLOSE_SIGNED_OUT})
    await served
    assert get_channel_layer().groups == {}
