"""A reader that does not read costs a fixed amount of memory; one that reads gets everything in order."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from accounts.credentials import Credential, Kind
from accounts.models import User
from conversations import events
from conversations.listening import ReplyListener
from conversations.outbox import MAX_BYTES, Outbox

KILOBYTE = b"x" * 1024


class Transport:
    """Takes frames while ``open`` is set."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.open = asyncio.Event()
        self.overflows = 0
        self.changed = asyncio.Event()

    async def send(self, message: dict[str, Any]) -> None:
        await self.open.wait()
        self.sent.append(message["text"].encode())
        self.changed.set()

    def overflowed(self) -> None:
        self.overflows += 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def transport() -> Transport:
    return Transport()


@pytest.fixture
async def outbox(transport: Transport) -> Any:
    made = Outbox(transport.send, transport.overflowed)
    yield made
    made.close()


async def test_frames_are_sent_in_order(outbox: Outbox, transport: Transport) -> None:
    transport.open.set()
    frames = [str(number).encode() for number in range(100)]
    for frame in frames[:50]:
        outbox.offer(frame)
    await transport.until(50)
    for frame in frames[50:]:
        outbox.offer(frame)
    await transport.until(100)
    assert transport.sent == frames


async def test_a_reader_that_keeps_up_may_be_sent_any_amount(outbox: Outbox, transport: Transport) -> None:
    transport.open.set()
    for number in range(1, 4 * MAX_BYTES // len(KILOBYTE)):
        outbox.offer(KILOBYTE)
        await transport.until(number)
    assert transport.overflows == 0


async def test_above_the_bound_all_is_dropped_and_said_once(outbox: Outbox, transport: Transport) -> None:
    for _ in range(2 * MAX_BYTES // len(KILOBYTE)):
        outbox.offer(KILOBYTE)
    assert (transport.overflows, outbox.overflowed) == (1, True)
    transport.open.set()
    await outbox.flush(0.01)
    assert len(transport.sent) <= 1


@pytest.mark.parametrize("before", [0, 1])
async def test_one_frame_larger_than_the_bound_goes_out_with_what_is_around_it(
    outbox: Outbox, transport: Transport, before: int
) -> None:
    frames = [b"ready"] * before + [b"s" * (3 * MAX_BYTES)] + [KILOBYTE] * 100
    for frame in frames:
        outbox.offer(frame)
    transport.open.set()
    await transport.until(len(frames))
    assert transport.sent == frames
    assert transport.overflows == 0


async def test_two_such_frames_at_once_are_too_much(outbox: Outbox, transport: Transport) -> None:
    for _ in range(3):  # the first may be on its way
        outbox.offer(b"s" * (3 * MAX_BYTES))
    assert transport.overflows == 1


async def test_flushing_waits_for_what_was_offered_and_not_for_ever(outbox: Outbox, transport: Transport) -> None:
    outbox.offer(b"last words")
    await outbox.flush(0.02)
    assert transport.sent == []
    waiting = asyncio.create_task(outbox.flush(5))
    transport.open.set()
    await waiting
    assert transport.sent == [b"last words"]
    await outbox.flush(0)


async def test_a_closed_outbox_sends_nothing_more(outbox: Outbox, transport: Transport) -> None:
    transport.open.set()
    outbox.close()
    outbox.offer(b"late")
    await outbox.flush(0)
    assert transport.sent == []
    assert transport.overflows == 0


def test_who_waits_for_the_ending_is_not_woken_by_text() -> None:
    person = User(username="ada")
    listener = ReplyListener(person, Credential(Kind.SESSION, "s"), endings_only=True)
    of_it = {"conversation": uuid4(), "reply": uuid4(), "epoch": 1}
    listener.offer(events.encode(events.ReplyDelta(**of_it, seq=3, text="one")))
    assert not listener._frames
    ending = events.encode(events.ReplyCompleted(**of_it, seq=3, text="one", html=""))
    listener.offer(ending)
    assert list(listener._frames) == [ending]
