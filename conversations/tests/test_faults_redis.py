"""Redis restarted, emptied, gone, full or hung in mid-stream: degraded, never stuck, and nothing lost."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .checker import Crowd, PersistentClient
from .client import ChatClient
from .fault_stack import FaultStack

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

CROWD = 24


@pytest.fixture
def gate(fake_model: FakeModelServer) -> Iterator[Gate]:
    """Every reply says its question, as many tokens of it as are let through; in the end nothing is held back."""
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    yield gate
    gate.release()


@pytest.fixture
def redis(stack: FaultStack) -> Iterator[Any]:
    """A client of the processes' Redis."""
    with Redis.from_url(stack.environment["REDIS_URL"]) as client:
        yield client


@asynccontextmanager
async def streaming(stack: FaultStack, gate: Gate) -> AsyncIterator[Crowd]:
    """A crowd in mid-stream; afterwards all replies must be whole."""
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        yield crowd
        gate.release()
        await crowd.end()
        assert await crowd.check() == {"completed": CROWD}


async def one_more(stack: FaultStack) -> None:
    """A new question is accepted and answered."""
    async with Crowd(stack.urls, 1) as fresh:
        await fresh.ask()
        await fresh.end()
        await fresh.check()


async def test_restarted_in_mid_stream_every_reply_goes_on_under_a_new_epoch(stack: FaultStack, gate: Gate) -> None:
    async with streaming(stack, gate) as crowd:
        stack.redis.stop()
        stack.redis.start()
        at = time.monotonic()
        gate.release(6)
        await crowd.show(12)
        print(f"{CROWD} streams went on {time.monotonic() - at:.1f} s after Redis was back")
        for talk in crowd.talks:  # what is said before its worker knows that the log is gone is still of the old one
            await talk.client.until(lambda t=talk: t.seen.epoch > 1, "a new epoch")
        await live_again(crowd, gate, 12)


def refused(client: PersistentClient) -> bool:
    """Whether a question of this client was turned away for now."""
    return any(event["type"] == "error" and event["code"] == "unavailable" for event in client.heard)


async def live_again(crowd: Crowd, gate: Gate, tokens: int) -> None:
    """The stream is a stream again, not a row of checkpoints: further tokens come as deltas."""
    for _attempt in range(5):
        heard = [len(talk.client.heard) for talk in crowd.talks]
        gate.release(1)
        tokens += 1
        await crowd.show(tokens)
        kinds = [{e["type"] for e in t.client.heard[n:]} for t, n in zip(crowd.talks, heard, strict=True)]
        if all("reply.delta" in each for each in kinds):
            return
    raise AssertionError("no deltas")


async def test_emptied_in_mid_stream_every_reply_goes_on_under_a_new_epoch(
    stack: FaultStack, gate: Gate, redis: Any
) -> None:
    async with streaming(stack, gate) as crowd:
        redis.flushall()
        gate.release(6)
        await crowd.show(12)
        for talk in crowd.talks:
            await talk.client.until(lambda t=talk: t.seen.epoch > 1, "a new epoch")
        async with ChatClient(stack.urls[1], crowd.talks[0].client.key) as tab:
            await tab.follow(crowd.talks[0].conversation)
            await tab.until(lambda: tab.replies[crowd.talks[0].reply].text == crowd.talks[0].seen.text, "the text")
        redis.flushall()
        await live_again(crowd, gate, 12)


async def test_away_for_seconds_replies_are_shown_from_their_checkpoints_and_end(stack: FaultStack, gate: Gate) -> None:
    async with streaming(stack, gate) as crowd, Crowd(stack.urls, 2) as halted, Crowd(stack.urls, 4) as fresh:
        await halted.ask()
        stack.redis.stop()
        at = time.monotonic()
        gate.release(4)
        await crowd.show(10)
        gate.release(4)
        await crowd.show(14)
        print(f"two steps were shown within {time.monotonic() - at:.1f} s without Redis")
        await asyncio.gather(*(t.client.send(type="reply.stop", reply=t.reply) for t in halted.talks))
        await asyncio.gather(*(t.ended() for t in halted.talks))
        assert await halted.check("stopped") == {"stopped": 2}
        # No model is asked uncounted: new questions are turned away, and sent again until it is back.
        await asyncio.gather(*(talk.submit() for talk in fresh.talks))
        for talk in fresh.talks:
            await talk.client.until(lambda t=talk: refused(t.client), "a refusal for now")
            assert talk.client.accepted == {}
        stack.redis.start()
        back = time.monotonic()
        await live_again(crowd, gate, 14)
        print(f"live again {time.monotonic() - back:.1f} s after Redis was back")
        gate.release()
        await fresh.accept()
        await fresh.end()
        assert await fresh.check() == {"completed": 4}


async def test_ended_while_it_is_away_replies_are_whole_for_everybody(stack: FaultStack, gate: Gate) -> None:
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        stack.redis.stop()
        gate.release()
        at = time.monotonic()
        await crowd.end()
        print(f"{CROWD} endings were shown within {time.monotonic() - at:.1f} s without Redis")
        assert await crowd.check() == {"completed": CROWD}
        stack.redis.start()
        await one_more(stack)


async def test_full_it_refuses_writes_and_replies_are_shown_from_their_checkpoints(
    stack: FaultStack, gate: Gate, redis: Any
) -> None:
    async with streaming(stack, gate) as crowd:
        redis.config_set("maxmemory", "1")
        try:
            gate.release(6)
            await crowd.show(12)
        finally:
            redis.config_set("maxmemory", "256mb")
        await live_again(crowd, gate, 12)


async def test_hung_it_delays_but_no_reply_loses_its_lease(stack: FaultStack, gate: Gate, redis: Any) -> None:
    async with streaming(stack, gate) as crowd:
        pid = redis.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            at = time.monotonic()
            gate.release(6)
            await crowd.show(12)
            gate.release(6)
            await crowd.show(18)
            print(f"two steps were shown within {time.monotonic() - at:.1f} s of a hung Redis")
        finally:
            os.kill(pid, signal.SIGCONT)
        await live_again(crowd, gate, 18)
