"""A reply worker that is driven by hand: what it claims, what it holds, what it lets go of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from django.db import OperationalError

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.loops import cancel_until_done
from conversations.models import Message
from conversations.replies import heartbeat
from conversations.replies import worker as workers
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending
from conversations.replies.work import take_up
from conversations.replies.worker import ReplyWorker
from personas.models import Persona

from .factories import ask


@pytest.fixture
async def worker(settings: Any) -> AsyncIterator[ReplyWorker]:
    """One for two providers, which is driven by hand."""
    settings.LLM_PROVIDERS, settings.PROVIDER_SLOTS = {"a": Mock(), "b": Mock()}, {"a": 1, "b": 1}
    made = ReplyWorker(Mock(resting=list))
    yield made
    await made._redis.aclose()


async def test_a_worker_that_hears_again_reads_anew_what_may_have_been_changed(
    worker: ReplyWorker, monkeypatch: Any
) -> None:
    forgets = Mock()
    monkeypatch.setattr(workers, "forget_rules", forgets)
    await worker._heard_again()
    forgets.assert_called_once_with()
    assert worker._bell.is_set()


async def test_a_worker_whose_slots_were_taken_looks_once_more_where_another_was_sooner(
    worker: ReplyWorker, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "run_db", AsyncMock(return_value=[]))
    worker._saturated = True
    await worker._claim()
    assert worker._bell.is_set()
    worker._bell.clear()
    await worker._claim()
    assert not worker._bell.is_set()


async def test_a_worker_whose_slots_of_one_provider_are_taken_looks_as_soon_as_one_is_free(
    worker: ReplyWorker, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "run_db", AsyncMock(return_value=[]))
    worker._used["a"] = 1
    await worker._claim()
    assert worker._saturated


async def test_a_worker_says_what_it_holds_only_while_the_database_takes_no_checkpoints(
    worker: ReplyWorker, monkeypatch: Any, settings: Any
) -> None:
    reply, silent, keeps, answers = uuid7(), uuid7(), [False], asyncio.Queue[bool]()
    settings.REPLY_LEASE_SECONDS = 1
    monkeypatch.setattr(workers, "CHECKPOINT_SECONDS", 0.01)
    worker.live[reply] = Mock(reply=reply, epoch=3, renewing=None, text="Hi", ending=True)
    worker.live[silent] = Mock(reply=silent, epoch=3, renewing=None, text="", ending=True)

    async def checkpoint(*_arguments: Any) -> dict[UUID, bool]:
        if not keeps[0]:
            raise OperationalError
        answers.put_nowait(True)
        return {}

    async def said() -> set[UUID]:
        return await heartbeat.held(worker._redis, {reply: 3, silent: 3})

    monkeypatch.setattr(workers, "run_db", checkpoint)
    loops = [asyncio.create_task(loop) for loop in (worker._beat_loop(), worker._checkpoint_loop())]
    async with asyncio.timeout(10):
        while not (held := await said()):
            await asyncio.sleep(0.05)
        assert held == {reply}
        assert await heartbeat.held(worker._redis, {reply: 2}) == set()
        keeps[0] = True
        await answers.get()
        while await said():
            await asyncio.sleep(0.05)
    await cancel_until_done(loops)


@pytest.mark.django_db(transaction=True)
async def test_what_was_claimed_by_a_statement_whose_answer_was_lost_is_claimed_again(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    row, done, claims = (await run_db(ask, owner)).reply, asyncio.Event(), list[Any]()

    async def in_database(work: Any, *arguments: Any) -> Any:
        found = await run_db(work, *arguments)
        if work is take_up:
            claims.append(found)
            if len(claims) == 1:
                raise OperationalError
        return found

    monkeypatch.setattr(workers, "run_db", in_database)
    monkeypatch.setattr(workers, "POLL_SECONDS", 3600)
    monkeypatch.setattr(worker, "_run_reply", AsyncMock(side_effect=lambda _reply: done.set()))
    claiming = asyncio.create_task(worker._claim_loop())
    async with asyncio.timeout(10):
        await done.wait()
    assert [[claim.epoch for claim, _work in found] for found in claims] == [[1], [2]]
    assert list(worker.live) == [row.pk]
    await worker._claim()
    assert (await run_db(Message.objects.get, pk=row.pk)).status == "streaming"
    await cancel_until_done([claiming])


async def never(*_arguments: Any) -> Any:
    await asyncio.Event().wait()


@pytest.mark.django_db(transaction=True)
async def test_a_reply_that_is_taken_up_again_while_its_first_try_does_not_know_is_held_once(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "answer", never)
    pk = (await run_db(ask, owner)).reply.pk
    await worker._claim()
    first = worker.live[pk]
    await run_db(Message.objects.filter(pk=pk).update, status="queued", epoch=2)
    await worker._claim()
    again = worker.live[pk]
    assert first.task is not None
    assert again.task is not None
    async with asyncio.timeout(5):
        await first.task
    assert (again.epoch, worker.live[pk] is again, worker._used["fake"]) == (3, True, 1)
    worker._cancel(again, "overtaken")
    await again.task
    assert (worker.live, worker._used["fake"]) == ({}, 0)


@pytest.mark.django_db(transaction=True)
async def test_what_is_being_claimed_while_a_worker_is_told_to_end_is_answered(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    claimed = asyncio.Event()

    async def in_database(work: Any, *arguments: Any) -> Any:
        found = await run_db(work, *arguments)
        if work is take_up:
            claimed.set()
            await asyncio.sleep(0.3)
        return found

    async def answered(*_arguments: Any) -> Ending:
        return Ending("completed", "Hi")

    monkeypatch.setattr(workers, "run_db", in_database)
    monkeypatch.setattr(workers, "answer", answered)
    pk = (await run_db(ask, owner)).reply.pk
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        await claimed.wait()
        await worker.drain(5)
    assert (await run_db(Message.objects.get, pk=pk)).status == "completed"
    await cancel_until_done([running])


@pytest.mark.django_db(transaction=True)
async def test_an_ending_that_the_database_does_not_take_ends_as_broken_and_is_not_tried_for_ever(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    async def answered(reply: LiveReply, *_arguments: Any) -> Ending:
        reply.text = "Hi"
        return Ending("completed", "Hi", completion_tokens=2**40)

    monkeypatch.setattr(workers, "answer", answered)
    pk = (await run_db(ask, owner)).reply.pk
    await worker._claim()
    task = worker.live[pk].task
    assert task is not None
    async with asyncio.timeout(10):
        await task
    row = await run_db(Message.objects.get, pk=pk)
    assert (row.status, row.text, row.error_code) == ("interrupted", "Hi", "internal_error")
    assert (worker.live, worker._used["fake"]) == ({}, 0)


@pytest.mark.django_db(transaction=True)
async def test_a_stopped_reply_is_let_go_of_whatever_becomes_of_judging_it(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "answer", never)
    monkeypatch.setattr(workers, "judged_shown", AsyncMock(side_effect=RuntimeError))
    pk = (await run_db(ask, owner)).reply.pk
    await worker._claim()
    reply = worker.live[pk]
    assert reply.task is not None
    await asyncio.sleep(0)
    worker._cancel(reply, "stop")
    with pytest.raises(RuntimeError):
        await reply.task
    assert (worker.live, worker._used["fake"]) == ({}, 0)
