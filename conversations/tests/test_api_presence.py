"""``GET /api/v1/sessions/active``: for admins alone, in pages, and right when web processes come, go and are killed."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.redis import blocking_redis, make_redis
from conversations.presence import EXPIRY_SECONDS, WEBS_KEY, Presence, who_is_connected
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer, closed_port
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .factories import make_exchange, make_persona
from .fault_stack import FaultStack, eventually
from .http_client import HttpClient
from .stack import Stack

PATH = "sessions/active"


class Tab:
    """An open socket, as far as presence is concerned."""

    def __init__(self, user: UUID, credential: str = "session:x") -> None:
        self.user_id, self.credential = user, credential


def tell(web: str, *tabs: Tab, conversation: UUID | None = None) -> None:
    """What a web process called ``web`` tells of ``tabs``."""

    async def once() -> None:
        redis = make_redis()
        told = Presence(web, redis)
        for tab in tabs:
            told.add(tab, "websocket")
            if conversation:
                told.turned_to(tab, conversation)
        await told._tell()
        await redis.aclose()

    asyncio.run(once())


@pytest.fixture(autouse=True)
def _nobody_is_connected() -> Iterator[None]:
    redis = blocking_redis()
    redis.delete(WEBS_KEY)
    yield
    redis.delete(WEBS_KEY)


@pytest.fixture
def admin(db: None) -> User:
    return make_admin()


def test_an_admin_sees_who_is_connected(admin: User, owner: User, persona: Persona) -> None:
    conversation = make_exchange(owner, persona=persona).conversation
    tell("web-1", Tab(owner.pk, "family:x"), conversation=conversation.pk)
    (item,) = ApiClient.of(admin).get(PATH).json()["items"]
    assert UUID(item.pop("id")).version == 7
    assert item.pop("since").endswith("Z")
    person = {"id": str(owner.pk), "username": owner.username, "email": owner.email, "role": "user"}
    assert item == {
        "user": person, "credential": "family", "transport": "websocket", "persona": persona.slug, "web": "web-1"
    }  # fmt: skip


def test_a_guest_has_no_address_and_who_looks_at_nothing_no_persona(admin: User) -> None:
    tell("web-1", Tab(make_guest().pk))
    (item,) = ApiClient.of(admin).get(PATH).json()["items"]
    assert (item["user"]["email"], item["persona"]) == (None, None)


def test_a_person_who_is_gone_is_not_shown(admin: User, owner: User) -> None:
    tell("web-1", Tab(owner.pk), Tab(uuid7()))
    assert [item["user"]["id"] for item in ApiClient.of(admin).get(PATH).json()["items"]] == [str(owner.pk)]


def test_others_than_admins_are_refused(admin: User, owner: User) -> None:
    assert refusal(ApiClient().get(PATH)) == (401, "signed_out")
    for person in (owner, make_guest(), make_moderator()):
        assert refusal(ApiClient.of(person).get(PATH)) == (403, "forbidden")
    assert refusal(ApiClient.with_key(admin, Scope.READ, Scope.WRITE, Scope.CHAT).get(PATH)) == (403, "scope_missing")
    assert refusal(ApiClient.with_key(make_moderator(), Scope.STAFF).get(PATH)) == (403, "forbidden")
    assert ApiClient.with_key(admin, Scope.STAFF).get(PATH).json() == {"items": [], "next": None}


def test_pages_hold_everyone_once_the_newest_first(admin: User, owner: User, django_assert_max_num_queries) -> None:
    people = [make_user() for _ in range(7)]
    tell("web-1", *(Tab(person.pk) for person in people[:4]))
    tell("web-2", *(Tab(person.pk) for person in people[4:]))
    client, seen, cursor = ApiClient.of(admin), [], ""
    while cursor is not None:
        with django_assert_max_num_queries(5):
            page = client.get(f"{PATH}?limit=3&cursor={cursor}").json()
        seen += [item["user"]["id"] for item in page["items"]]
        cursor = page["next"]
    assert seen == [str(person.pk) for person in reversed(people)]
    assert refusal(client.get(f"{PATH}?cursor=x")) == (400, "invalid")
    assert refusal(client.get(f"{PATH}?limit=101")) == (400, "invalid")


def test_of_a_hundred_the_queries_are_as_many_as_of_one(
    admin: User, persona: Persona, django_assert_max_num_queries
) -> None:
    people = [make_user() for _ in range(100)]
    conversation = make_exchange(people[0], persona=persona).conversation
    tell("web-1", *(Tab(person.pk) for person in people), conversation=conversation.pk)
    client = ApiClient.of(admin)
    with django_assert_max_num_queries(5):
        assert len(client.get(f"{PATH}?limit=100").json()["items"]) == 100


def test_without_redis_nobody_can_tell(admin: User, settings: Any) -> None:
    client = ApiClient.of(admin)
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port()}/0"
    answer = client.get(PATH)
    assert refusal(answer) == (503, "unavailable")
    assert 1 <= int(answer["Retry-After"]) <= 5


# --- the real web processes


def counts() -> dict[str, int]:
    """How many connections each web process tells of."""
    webs = [connection.web for connection in who_is_connected()]
    return {web: webs.count(web) for web in webs}


@pytest.mark.django_db(transaction=True)
async def test_who_waits_for_a_reply_over_http_is_told_of_while_they_wait(
    live_stack: Stack, persona: Persona, fake_model: FakeModelServer, owner: User
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=3, gate=gate))
    key = await run_db(ApiClient.with_key, owner, Scope.CHAT)
    program = HttpClient(live_stack.url, key.headers["Authorization"].removeprefix("Bearer "))
    admin = await run_db(lambda: HttpClient.of(live_stack.url, make_admin()))
    async with program, admin, program.stream("post", "chat/send", {"text": "Hello?"}) as stream:
        await stream.until("message.accepted")
        await eventually(lambda: any(each.entry.conversation for each in who_is_connected()), "the listener")
        _status, page = await admin.call("get", PATH)
        (item,) = page["items"]
        assert item["user"]["id"] == str(owner.pk)
        assert (item["credential"], item["transport"], item["persona"]) == ("key", "http", persona.slug)
        gate.release()
        await stream.rest()
        await eventually(lambda: who_is_connected() == [], "nobody")


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
async def test_two_web_processes_tell_of_theirs_and_a_killed_one_is_gone_when_its_key_expires(
    stack: FaultStack, persona: Persona, fake_model: FakeModelServer, settings: Any
) -> None:
    settings.REDIS_URL = stack.environment["REDIS_URL"]
    other_persona = await run_db(make_persona)
    people = await run_db(lambda: [make_user() for _ in range(10)])
    keys = [await run_db(session_key, person) for person in people]
    program = await run_db(lambda: HttpClient.of(stack.urls[1], make_admin()))
    async with program, AsyncExitStack() as tabs:
        first = [await tabs.enter_async_context(ChatClient(stack.urls[0], key)) for key in keys for _ in range(6)]
        second = [await tabs.enter_async_context(ChatClient(stack.urls[1], key)) for key in keys]
        await eventually(lambda: sorted(counts().values()) == [10, 60], "both processes' connections")
        await first[0].ask("Hello?", persona=persona.slug)
        await second[0].ask("Hello?", persona=other_persona.slug)
        for _again in range(5):  # reconnects leave nothing behind
            first[1].drop()
            await first[1].connect()
        await eventually(
            lambda: sum(bool(each.entry.conversation) for each in who_is_connected()) == 2, "who looks at what"
        )
        await eventually(lambda: sorted(counts().values()) == [10, 60], "the same number as before")
        _status, page = await program.call("get", f"{PATH}?limit=100")
        assert len(page["items"]) == 70
        looked_at = {item["web"]: item["persona"] for item in page["items"] if item["persona"]}
        assert set(looked_at.values()) == {persona.slug, other_persona.slug}
        assert {item["user"]["id"] for item in page["items"]} == {str(person.pk) for person in people}
        (killed,) = [web for web, number in counts().items() if number == 60]
        stack.web[0].kill()
        await eventually(lambda: list(counts().values()) == [10], "its key's expiry", EXPIRY_SECONDS + 5)
        _status, page = await program.call("get", f"{PATH}?limit=100")
        assert len(page["items"]) == 10
        assert killed not in {item["web"] for item in page["items"]}
        stack.web[0].start()
        await asyncio.to_thread(stack.wait_web, stack.ports[0])
        for tab in first[:30]:
            await tab.connect()
        await eventually(lambda: sorted(counts().values()) == [10, 30], "those that came back")
        assert killed not in counts(), "a process that starts is another one"


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
async def test_connections_outlast_a_redis_that_forgets_them(stack: FaultStack, owner: User, settings: Any) -> None:
    settings.REDIS_URL = stack.environment["REDIS_URL"]
    async with ChatClient(stack.urls[0], await run_db(session_key, owner)):
        await eventually(lambda: list(counts().values()) == [1], "a connection")
        blocking_redis().flushall()
        await eventually(lambda: list(counts().values()) == [1], "the connection, told anew")
    await eventually(lambda: counts() == {}, "nobody")
