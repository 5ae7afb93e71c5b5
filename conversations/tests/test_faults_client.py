"""Clients that drop, reload, close, and several at once: the reply goes on and every tab shows the same."""

import asyncio
import time
from uuid import UUID, uuid4

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Message
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .checker import Crowd, PersistentClient, check, echo
from .client import ChatClient, session_key
from .fault_stack import FaultStack, eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


async def test_the_same_client_id_twenty_times_at_once_over_two_web_processes_is_one_question(
    stack: FaultStack, owner: User
) -> None:
    key = await run_db(session_key, owner)
    tabs = [ChatClient(stack.urls[place % 2], key) for place in range(20)]
    await asyncio.gather(*(tab.connect() for tab in tabs))
    client_id = uuid4().hex
    answers = await asyncio.gather(*(tab.ask("Only once", client_id=client_id) for tab in tabs))
    assert len({(a["conversation"]["id"], a["message"]["id"], a["reply"]["id"]) for a in answers}) == 1
    endings = [await tab.ended(answers[0]["reply"]["id"]) for tab in tabs]
    assert {(e.status, e.text, e.html) for e in endings} == {("reply.completed", endings[0].text, endings[0].html)}
    stored = await run_db(lambda: list(Message.objects.filter(owner=owner).values_list("role", "text")))
    assert sorted(stored) == [("assistant", endings[0].text), ("user", "Only once")]
    await asyncio.gather(*(tab.close() for tab in tabs))


async def test_clients_that_drop_again_and_again_miss_and_double_nothing(
    stack: FaultStack, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    async with Crowd(stack.urls, 20, words=60) as crowd:
        await crowd.ask()
        for turn in range(1, 6):
            gate.release(8)
            for place, talk in enumerate(crowd.talks):
                if (place + turn) % 2:
                    talk.client.drop()
            await crowd.show(8 * turn)
        gate.release()
        await crowd.end()
        assert await crowd.check() == {"completed": 20}
        assert all(len(talk.client.closes) >= 2 for talk in crowd.talks)


async def test_a_reply_goes_on_when_its_only_tab_is_closed(stack: FaultStack, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    async with Crowd(stack.urls, 20) as crowd:
        await crowd.ask()
        gate.release(3)
        await crowd.show()
    gate.release()
    replies = [UUID(talk.reply) for talk in crowd.talks]

    def texts() -> dict[UUID, str]:
        return dict(Message.objects.filter(pk__in=replies, status="completed").values_list("pk", "text"))

    async def all_completed() -> dict[UUID, str] | None:
        found = await run_db(texts)
        return found if len(found) == 20 else None

    stored = await eventually(all_completed, "replies without a tab")
    assert [stored[UUID(talk.reply)] for talk in crowd.talks] == [echo(talk.question) for talk in crowd.talks]
    for talk in crowd.talks[:3]:
        async with ChatClient(stack.urls[1], talk.client.key) as tab:
            await tab.follow(talk.conversation)
            assert tab.replies[talk.reply].text == stored[UUID(talk.reply)]


async def test_tabs_at_two_web_processes_show_the_same(stack: FaultStack, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    async with Crowd(stack.urls[:1], 20) as crowd:
        await crowd.ask()
        gate.release(5)
        await crowd.show()
        others = [PersistentClient(stack.urls[1:], talk.client.key) for talk in crowd.talks]
        await asyncio.gather(*(other.__aenter__() for other in others))
        await asyncio.gather(*(o.follow(t.conversation) for o, t in zip(others, crowd.talks, strict=True)))
        gate.release()
        await crowd.end()
        await crowd.check()
        for other, talk in zip(others, crowd.talks, strict=True):
            mine = await other.ended(talk.reply)
            assert (mine.status, mine.text, mine.html) == (talk.seen.status, talk.seen.text, talk.seen.html)
            assert mine.blocks == talk.seen.blocks
        await asyncio.gather(*(other.close() for other in others))


@pytest.mark.parametrize("place", [0, 1], ids=["same web process", "other web process"])
async def test_stop_from_another_tab_comes_before_the_models_next_token(
    stack: FaultStack, fake_model: FakeModelServer, place: int
) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    async with Crowd(stack.urls[:1], 20) as crowd:
        await crowd.ask()
        gate.release(4)
        await crowd.show(4)
        stoppers = [ChatClient(stack.urls[place], talk.client.key) for talk in crowd.talks]
        await asyncio.gather(*(stopper.connect() for stopper in stoppers))
        began = time.monotonic()
        await asyncio.gather(
            *(s.send(type="reply.stop", reply=t.reply) for s, t in zip(stoppers, crowd.talks, strict=True))
        )
        await crowd.end()
        print(f"20 stops took {(time.monotonic() - began) * 1000:.0f} ms")
        assert await crowd.check("stopped") == {"stopped": 20}
        assert [talk.seen.text for talk in crowd.talks] == [talk.first(4) for talk in crowd.talks]
        fake_model.wait_disconnected(20)
        await asyncio.gather(*(stopper.close() for stopper in stoppers))


async def test_stop_of_a_reply_that_waits_ends_it_in_every_tab(stack: FaultStack, fake_model: FakeModelServer) -> None:
    for worker in stack.workers:
        worker.kill()
    async with Crowd(stack.urls[:1], 3) as crowd:
        await crowd.ask()
        others = [PersistentClient(stack.urls[1:], talk.client.key) for talk in crowd.talks]
        await asyncio.gather(*(other.__aenter__() for other in others))
        for other, talk in zip(others, crowd.talks, strict=True):
            await other.follow(talk.conversation)
            await other.send(type="reply.stop", reply=talk.reply)
        await crowd.end()
        for other, talk in zip(others, crowd.talks, strict=True):
            assert (await other.ended(talk.reply)).status == "reply.stopped"
        assert await check(crowd.talks, "stopped") == {"stopped": 3}
        assert not fake_model.requests
        await asyncio.gather(*(other.close() for other in others))
