"""What a web process tells Redis of who is connected, and what is read of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest

from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.loops import cancel_until_done
from chatbot_project.lib.redis import RedisError, blocking_redis, make_redis
from conversations import presence
from conversations.presence import EXPIRY_SECONDS, WEBS_KEY, Presence, presence_key, who_is_connected
from stress_tests.fake_model import closed_port

from .fault_stack import eventually


class Tab:
    """An open socket, as far as presence is concerned."""

    def __init__(self, credential: str = "session:secret-of-a-session") -> None:
        self.credential = credential
        self.user_id: UUID = uuid7()


@pytest.fixture(autouse=True)
def _nobody_is_connected() -> Iterator[None]:
    blocking_redis().delete(WEBS_KEY)
    yield
    blocking_redis().delete(WEBS_KEY)


@pytest.fixture
async def redis() -> AsyncIterator[Any]:
    client = make_redis()
    yield client
    await client.aclose()


@pytest.fixture
async def web(redis: Any) -> AsyncIterator[Presence]:
    """A web process that tells."""
    told = Presence("web-1", redis)
    telling = asyncio.create_task(told.keep_telling())
    yield told
    await cancel_until_done([telling])
    await told.leave()


def people() -> list[UUID]:
    return [each.entry.user for each in who_is_connected()]


async def test_who_comes_is_told_at_once_and_who_goes_soon(web: Presence) -> None:
    tabs = [Tab(), Tab("family:x"), Tab("key:y")]
    for tab in tabs:
        web.add(tab, "websocket")
    await eventually(lambda: people() == [tab.user_id for tab in reversed(tabs)], "all three, the newest first")
    assert [each.entry.credential for each in who_is_connected()] == ["key", "family", "session"]
    assert {each.web for each in who_is_connected()} == {"web-1"}
    web.remove(tabs[1])
    await eventually(lambda: people() == [tabs[2].user_id, tabs[0].user_id], "the two that stayed")


async def test_what_is_told_names_no_credential(web: Presence) -> None:
    web.add(Tab(), "websocket")
    await eventually(people, "a connection")
    assert b"secret" not in (blocking_redis().get(presence_key("web-1")) or b"")


async def test_the_conversation_that_was_looked_at_last_is_told(web: Presence) -> None:
    tab, first, second = Tab(), uuid7(), uuid7()
    web.add(tab, "http")
    for conversation in (first, second):
        web.turned_to(tab, conversation)
    await eventually(lambda: [each.entry.conversation for each in who_is_connected()] == [second], "the second one")
    web.turned_to(Tab(), first)  # one that has gone meanwhile


async def test_an_idle_connection_costs_a_renewal_and_no_more(web: Presence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(presence, "CHANGES_SECONDS", 0.01)
    tab = Tab()
    web.add(tab, "websocket")
    await eventually(people, "a connection")
    key, redis_now = presence_key("web-1"), blocking_redis()
    redis_now.set(key, b"untouched")  # and with it, without an expiry
    await eventually(lambda: 0 < redis_now.ttl(key) <= EXPIRY_SECONDS, "a renewal")
    assert redis_now.get(key) == b"untouched"
    web.turned_to(tab, uuid7())
    await eventually(people, "a change, with which all is told")


async def test_what_redis_has_lost_is_told_anew(web: Presence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(presence, "CHANGES_SECONDS", 0.05)
    tab = Tab()
    web.add(tab, "websocket")
    await eventually(people, "a connection")
    blocking_redis().delete(presence_key("web-1"), WEBS_KEY)
    await eventually(lambda: people() == [tab.user_id], "the connection again")


async def test_a_process_without_connections_tells_nothing(web: Presence) -> None:
    tab = Tab()
    web.add(tab, "websocket")
    await eventually(people, "a connection")
    web.remove(tab)
    await eventually(lambda: not blocking_redis().exists(presence_key("web-1"), WEBS_KEY), "nothing left")


async def test_a_process_that_ends_is_gone_at_once(redis: Any) -> None:
    told = Presence("web-2", redis)
    telling = asyncio.create_task(told.keep_telling())
    told.add(Tab(), "websocket")
    await eventually(people, "a connection")
    await cancel_until_done([telling])
    await told.leave()
    assert people() == []


async def test_redis_that_is_away_ends_nothing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "CHANGES_SECONDS", 0.05)
    there, settings.REDIS_URL = settings.REDIS_URL, f"redis://127.0.0.1:{closed_port()}/0"
    client = make_redis()
    told = Presence("web-3", client)
    telling = asyncio.create_task(told.keep_telling())
    tab = Tab()
    told.add(tab, "websocket")
    with pytest.raises(RedisError):
        who_is_connected()
    await eventually(lambda: told._away, "a try that failed")
    settings.REDIS_URL = there
    told._redis = make_redis()
    await eventually(lambda: people() == [tab.user_id], "the connection, once Redis is back")
    await cancel_until_done([telling])
    await told.leave()
    await told._redis.aclose()
    await client.aclose()


async def test_a_telling_that_breaks_is_followed_by_another(web: Presence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "CHANGES_SECONDS", 0.05)
    tell, tries = web._tell, iter([True])

    async def breaking() -> None:
        if next(tries, False):
            raise ValueError("nobody thought of this")
        await tell()

    monkeypatch.setattr(web, "_tell", breaking)
    tab = Tab()
    web.add(tab, "websocket")
    await eventually(lambda: people() == [tab.user_id], "the connection, told by the next one")
    assert next(tries, None) is None


async def test_what_another_version_told_is_passed_over(web: Presence) -> None:
    tab = Tab()
    web.add(tab, "websocket")
    await eventually(people, "a connection")
    blocking_redis().set(presence_key("older"), b"\x92what", ex=5)
    blocking_redis().zadd(WEBS_KEY, {"older": 1, "expired": 2})
    assert people() == [tab.user_id]
