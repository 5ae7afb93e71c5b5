"""What happens once a part is back: it is used at once, and what was missed meanwhile is made up for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from redis import Redis

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.loops import cancel_until_done
from chatbot_project.lib.redis import make_redis
from conversations import hub as hubs
from conversations.hub import Hub
from conversations.models import Message
from conversations.replies import worker as workers
from conversations.replies.log import END, Entry, unpack_entries, web_channel
from conversations.replies.worker import ReplyWorker
from personas.models import Persona
from stress_tests.chaos.proxy import Proxy, to_socket

from .factories import ask, end
from .test_hub import Reader

REDIS_SOCKET = django_settings.REDIS_URL.removeprefix("unix://").partition("?")[0]


@pytest.fixture
async def link(settings: Any) -> AsyncIterator[Proxy]:
    """What lies between this process and Redis."""
    async with Proxy(to_socket(REDIS_SOCKET)) as proxy:
        settings.REDIS_URL = f"redis://127.0.0.1:{proxy.port}/0"
        yield proxy


async def test_endings_that_redis_did_not_take_are_sent_once_it_is_back(link: Proxy) -> None:
    worker = ReplyWorker(Mock())
    reply = uuid7()
    reader = make_redis(timeout=None)
    pubsub = reader.pubsub()
    try:
        link.refuses = True
        worker._endings.append((Entry(reply, 1, 0, 3, END, b"{}"), {"web"}))
        await worker._send()
        link.heal()
        await pubsub.subscribe(web_channel("web"))
        async with asyncio.timeout(5):
            while (heard := await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.05)) is None:
                await worker._send()
        assert [(entry.reply, entry.kind) for entry in unpack_entries(heard["data"])] == [(reply, END)]
        assert not worker._endings
    finally:
        await pubsub.aclose()
        await reader.aclose()
        await worker._redis.aclose()


async def test_of_endings_that_redis_does_not_take_only_the_last_are_kept(link: Proxy, monkeypatch: Any) -> None:
    monkeypatch.setattr(workers, "KEPT_ENDINGS", 3)
    worker = ReplyWorker(Mock())
    replies = [uuid7() for _reply in range(5)]
    link.refuses = True
    worker._endings.extend((Entry(reply, 1, 0, 3, END, b"{}"), set[str]()) for reply in replies)
    await worker._send()
    await worker._send()
    assert [entry.reply for entry, _followers in worker._endings] == replies[2:]
    await worker._redis.aclose()


async def test_a_worker_looks_for_work_as_soon_as_the_database_is_back(monkeypatch: Any) -> None:
    monkeypatch.setattr(workers, "POLL_SECONDS", 3600)
    worker = ReplyWorker(Mock())
    looks = asyncio.Queue[int]()

    async def claim() -> None:
        looks.put_nowait(0)
        if looks.qsize() < 3:
            raise OperationalError

    monkeypatch.setattr(worker, "_claim", claim)
    claiming = asyncio.create_task(worker._claim_loop())
    async with asyncio.timeout(5):
        while looks.qsize() < 3:
            await asyncio.sleep(0.01)
    await cancel_until_done([claiming])
    await worker._redis.aclose()


@pytest.mark.django_db(transaction=True)
async def test_a_reply_that_ended_unheard_is_told_as_soon_as_the_hub_hears_again(
    owner: User, persona: Persona, monkeypatch: Any
) -> None:
    for name in ("SILENT_SECONDS", "UNCLAIMED_SECONDS"):
        monkeypatch.setattr(hubs, name, 3600)  # nothing is looked up just because it is silent
    hub = Hub()
    hub.start()
    try:
        row = (await run_db(ask, owner)).reply
        await run_db(Message.objects.filter(pk=row.pk).update, status="streaming", epoch=1)
        reader = Reader(hub)
        hub.follow(reader, row.conversation_id, row.pk)
        await run_db(end, row, "Whole.")
        with Redis.from_url(django_settings.REDIS_URL) as redis:
            redis.client_kill_filter(_type="pubsub")
        await reader.until(lambda: reader.heard == ["reply.completed"])
    finally:
        await hub.stop()
