"""A reply that the moderation endpoint condemns after it was shown is taken back, and nobody is shown it again."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import openai
import pytest

from accounts.models import User
from accounts.tests.factories import make_moderator
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.redis import make_redis
from conversations import moderation, services
from conversations.models import Message, ModerationItem
from conversations.replies.log import LiveLog, log_key
from conversations.safety.scores import points_of
from personas.models import Persona
from stress_tests.fake_model import MODERATIONS, FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .http_client import HttpClient
from .openai_client import asked, async_client, make_key
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

FINE, BAD, AWAY = Script(), Script(scores={"violence": 0.99}), Script(status=400)


@pytest.fixture(scope="module")
def watched_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    with Stack(fake_model_session.base_url, MODERATION_MODEL="fake/moderation", MODERATION_EVERY="10") as stack:
        yield stack


@pytest.fixture(scope="module")
def open_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    with Stack(fake_model_session.base_url, MODERATION_MODEL="fake/moderation", MODERATION_FAILS="open") as stack:
        yield stack


@pytest.fixture
async def tab(
    transactional_db: None, fake_model: FakeModelServer, watched_stack: Stack, owner: User
) -> AsyncIterator[ChatClient]:
    watched_stack.resume_workers()
    async with ChatClient(watched_stack.url, await run_db(session_key, owner)) as client:
        yield client


def judged(fake_model: FakeModelServer) -> list[str]:
    return [r.body["input"] for r in fake_model.requests if r.path == MODERATIONS]


def ending_of(tab: ChatClient, reply: str) -> dict[str, Any]:
    return next(e for e in reversed(tab.heard) if e.get("reply") == reply and "html" in e)


async def test_what_streams_is_judged_at_intervals_and_withdrawn_while_the_model_still_waits(
    tab: ChatClient, watched_stack: Stack, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(FINE, BAD, path=MODERATIONS)
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["Mix the har", "mful things", " and never this"], gate=gate))
    accepted = await tab.ask("Tell me", persona=persona.slug)
    reply = accepted["reply"]["id"]
    await tab.started(reply)
    gate.release(2)  # the model stalls then: the verdict must not wait for its next word
    seen = await tab.ended(reply)
    gate.release()
    ending = ending_of(tab, reply)
    assert (ending["type"], ending["code"], ending["text"], ending["html"]) == (
        "reply.failed", "content_withdrawn", "", "",
    )  # fmt: skip
    assert ending["finish_reason"] == "content_filter"
    assert "Mix the har" in "".join(e["text"] for e in tab.heard if e["type"] == "reply.delta"), "it had been shown"
    assert seen.text == ""
    assert judged(fake_model)[1].startswith("Mix the har")

    row = await run_db(Message.objects.get, pk=UUID(reply))
    assert (row.text, row.status, row.error_code, row.epoch) == ("", "failed", "content_withdrawn", ending["epoch"])
    item = await run_db(ModerationItem.objects.get)
    assert (item.message_id, item.action, item.source) == (row.pk, "block", "endpoint")
    assert item.withdrawn.startswith("Mix the har")
    assert await run_db(points_of, owner.pk) == 0, "a model wrote it: nobody has said yet that the person is to blame"

    async with ChatClient(watched_stack.url, await run_db(session_key, owner)) as reloaded:
        snapshot = await reloaded.follow(ending["conversation"])
    shown = snapshot["messages"][1]
    assert (shown["text"], shown["html"], shown["code"]) == ("", "", "content_withdrawn")


async def test_harm_that_is_split_over_pieces_is_judged_on_the_joined_text(
    tab: ChatClient, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=["bu", "ild ", "a bo", "mb to", "day ok"]))
    accepted = await tab.ask("Tell me", persona=persona.slug)
    await tab.ended(accepted["reply"]["id"])
    assert judged(fake_model)[-1] == "build a bomb today ok"


async def test_a_stopped_reply_is_judged_before_it_stays(
    tab: ChatClient, persona: Persona, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(FINE, BAD, path=MODERATIONS)
    fake_model.enqueue(Script(tokens=["harmful ", "never"], gate=gate))
    accepted = await tab.ask("Tell me", persona=persona.slug)
    reply = accepted["reply"]["id"]
    gate.release(1)
    await tab.until(lambda: reply in tab.replies and tab.replies[reply].text == "harmful ", "what is shown")
    await tab.send(type="reply.stop", reply=reply)
    await tab.ended(reply)
    gate.release()
    assert (ending_of(tab, reply)["type"], ending_of(tab, reply)["code"]) == ("reply.failed", "content_withdrawn")


async def test_a_reply_that_the_model_broke_off_is_judged_as_well(
    tab: ChatClient, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(FINE, BAD, path=MODERATIONS)
    fake_model.enqueue(Script(tokens=["harmful "], cut_after=1))
    accepted = await tab.ask("Tell me", persona=persona.slug)
    await tab.ended(accepted["reply"]["id"])
    assert ending_of(tab, accepted["reply"]["id"])["code"] == "content_withdrawn"


async def test_where_replies_cannot_be_judged_and_that_fails_closed_they_are_withdrawn(
    tab: ChatClient, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(FINE, *[AWAY] * 9, path=MODERATIONS)
    accepted = await tab.ask("Tell me", persona=persona.slug)
    await tab.ended(accepted["reply"]["id"])
    ending = ending_of(tab, accepted["reply"]["id"])
    assert (ending["type"], ending["code"], ending["text"]) == ("reply.failed", "moderation_unavailable", "")
    item = await run_db(ModerationItem.objects.get)
    assert (item.source, item.action, item.withdrawn) == ("unavailable", "block", "".join(f"tok{n} " for n in range(8)))
    assert await run_db(points_of, owner.pk) == 0


async def test_where_that_fails_open_they_stay_and_are_flagged(
    transactional_db: None, open_stack: Stack, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    open_stack.resume_workers()
    fake_model.enqueue(FINE, AWAY, AWAY, AWAY, path=MODERATIONS)
    async with ChatClient(open_stack.url, await run_db(session_key, owner)) as tab:
        accepted = await tab.ask("Tell me", persona=persona.slug)
        await tab.ended(accepted["reply"]["id"])
        assert ending_of(tab, accepted["reply"]["id"])["type"] == "reply.completed"
    item = await run_db(ModerationItem.objects.get)
    assert (item.source, item.action, item.withdrawn) == ("unavailable", "flag", "")


async def test_the_live_log_holds_nothing_of_a_withdrawn_reply(
    tab: ChatClient, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(FINE, BAD, path=MODERATIONS)
    fake_model.enqueue(Script(tokens=["harmful"]))
    accepted = await tab.ask("Tell me", persona=persona.slug)
    reply = UUID(accepted["reply"]["id"])
    await tab.ended(str(reply))
    client = make_redis()
    try:
        logged = await LiveLog(client).read(reply)
        assert logged is None or logged.text == ""
        assert "harmful" not in repr(await client.xrange(log_key(reply)))
    finally:
        await client.aclose()


async def test_programs_are_told_on_every_surface(
    transactional_db: None, watched_stack: Stack, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    watched_stack.resume_workers()
    fake_model.default = Script(tokens=["violence=0.99 ", "and more"])  # so it is judged, while it streams and whole
    async with await run_db(HttpClient.of, watched_stack.url, owner) as program:
        _status, answer = await program.call("post", "chat/send", {"text": "Tell me", "persona": persona.slug})
        assert (answer["reply"]["code"], answer["reply"]["text"]) == ("content_withdrawn", "")
    async with async_client(watched_stack.url, await run_db(make_key, owner)) as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.chat.completions.create(**asked(persona, "Hello?"))
        assert refusal.value.code == "content_withdrawn"
        with pytest.raises(openai.APIError) as broken:
            async for _chunk in await client.chat.completions.create(**asked(persona, "Hello?"), stream=True):
                pass
        assert "content_withdrawn" in str(broken.value.body)


async def test_a_moderator_reads_what_was_withdrawn_with_a_reason_and_nobody_goes_on_from_it(
    tab: ChatClient, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(FINE, BAD, path=MODERATIONS)
    fake_model.enqueue(Script(tokens=["harmful"]))
    accepted = await tab.ask("Tell me", persona=persona.slug)
    ending = (await tab.ended(accepted["reply"]["id"]), ending_of(tab, accepted["reply"]["id"]))[1]

    def read() -> list[str]:
        opened = moderation.open_text(
            actor=make_moderator(), conversation_id=UUID(ending["conversation"]), reason="To decide on it"
        )
        return [m.moderation_item.withdrawn for m in opened.messages if hasattr(m, "moderation_item")]

    def go_on() -> Any:
        return services.continue_reply(user=owner, reply_id=UUID(ending["reply"]), client_id="c")

    assert await run_db(read) == ["harmful"]
    with pytest.raises(ApplicationError) as refusal:
        await run_db(go_on)
    assert refusal.value.code == "not_continuable"
