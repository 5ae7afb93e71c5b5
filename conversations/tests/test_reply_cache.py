"""Replies that answer the same question of others: exactly when, and never otherwise. Through real processes."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations import services
from conversations.models import CachedReply, Message
from conversations.replies.cache import entries, joining
from conversations.replies.cache.asking import Asked, asked_of
from conversations.replies.cache.entries import Seen
from conversations.replies.cache.joining import ReplyCache
from conversations.replies.cache.questions import is_general, normalised
from conversations.replies.live import LiveReply
from conversations.replies.prompt import Turn
from conversations.replies.queue import Ending, hand_over
from conversations.replies.work import take_up
from conversations.safety.rules import RuleSet
from personas.sources import Source
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .endings import QUESTION, asked, begun, ended
from .factories import ask, make_persona
from .openai_client import asked as openai_asked
from .openai_client import async_client, make_key
from .stack import Stack

ASKED = {"role": "user", "content": QUESTION}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def tab(live_stack: Stack, owner: User) -> Any:
    await run_db(make_persona, cache_hours=24)
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as client:
        yield client


@pytest.fixture
async def other_tab(live_stack: Stack, other: User) -> Any:
    async with ChatClient(live_stack.url, await run_db(session_key, other)) as client:
        yield client


async def test_the_same_question_of_somebody_else_is_answered_as_before(
    tab: ChatClient, other_tab: ChatClient, fake_model: FakeModelServer
) -> None:
    first = await asked(tab)
    again = await asked(other_tab, "  what is a TREE ")
    assert len(fake_model.requests) == 1
    assert first["cached_at"] is None
    assert (again["type"], again["text"], again["usage"]) == ("reply.completed", first["text"], None)
    assert again["cached_at"] is not None
    kept = await run_db(Message.objects.get, pk=UUID(again["reply"]))
    assert kept.cached_at is not None
    assert kept.status == "completed"


async def test_a_question_in_other_words_gets_the_same_and_one_that_asks_something_else_does_not(
    tab: ChatClient, other_tab: ChatClient, fake_model: FakeModelServer
) -> None:
    first = await asked(tab, "How do I grow a tree?")
    again = await asked(other_tab, "how do I grow the tree")
    assert (again["text"], again["cached_at"] is not None) == (first["text"], True)
    for another in ("How do I not grow a tree?", "How do I grow 2 trees?", "How did I grow a tree?"):
        assert (await asked(other_tab, another))["cached_at"] is None
    assert len(fake_model.requests) == 4


async def test_many_who_ask_at_once_get_the_answer_of_one(
    tab: ChatClient, other_tab: ChatClient, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(tokens=["A ", "plant."], gate=gate)
    accepted = [(who, await who.ask(QUESTION)) for who in (tab, other_tab) * 4]
    await asyncio.to_thread(fake_model.wait_requests, 1)
    gate.release()
    endings = [await ended(who, each) for who, each in accepted]
    assert {each["text"] for each in endings} == {"A plant."}
    assert len(fake_model.requests) == 1


async def test_where_the_first_fails_another_one_asks_for_all(
    tab: ChatClient, other_tab: ChatClient, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=4, gate=gate, cut_after=2))
    accepted = [(who, await who.ask(QUESTION)) for who in (tab, other_tab, tab)]
    await asyncio.to_thread(fake_model.wait_requests, 1)
    gate.release()
    kinds = sorted([(await ended(who, each))["type"] for who, each in accepted])
    assert kinds == ["reply.completed", "reply.completed", "reply.interrupted"]
    assert len(fake_model.requests) == 2


@pytest.mark.parametrize(
    "text", ["My address is ada@example.org. Is it a good one?", "Long. " * 60], ids=["personal data", "long"]
)
async def test_what_may_tell_of_a_person_is_always_put_to_the_model(
    tab: ChatClient, fake_model: FakeModelServer, text: str
) -> None:
    await asked(tab, text)
    await asked(tab, text)
    assert len(fake_model.requests) == 2
    assert not await run_db(CachedReply.objects.exists)


async def test_a_reply_with_personal_data_a_cut_one_and_one_not_helpful_are_given_to_nobody(
    tab: ChatClient, owner: User, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=4, cut_after=2), Script(tokens=["Ask ", "ada@example.org."]))
    for _ in range(2):
        assert (await asked(tab))["cached_at"] is None
    await run_db(CachedReply.objects.all().delete)  # that it was for nobody else
    ending = await asked(tab)
    assert ending["cached_at"] is None
    assert len(fake_model.requests) == 3
    await run_db(services.give_feedback, user=owner, message_id=UUID(ending["reply"]), value=-1)
    assert (await asked(tab))["cached_at"] is None


async def test_where_the_first_reply_is_for_nobody_else_all_ask_at_once_and_nobody_waits_for_the_next(
    tab: ChatClient, other_tab: ChatClient, fake_model: FakeModelServer
) -> None:
    first, others = fake_model.hold(), fake_model.hold()
    fake_model.enqueue(Script(tokens=["Ask ", "ada@example.org."], gate=first))
    fake_model.default = Script(tokens=["A ", "plant."], gate=others)
    accepted = [(who, await who.ask(QUESTION)) for who in (tab, other_tab) * 2]
    await asyncio.to_thread(fake_model.wait_requests, 1)
    first.release()
    await asyncio.to_thread(fake_model.wait_requests, 4)  # while none of the three has an answer
    accepted.append((tab, await tab.ask(QUESTION)))
    await asyncio.to_thread(fake_model.wait_requests, 5)
    others.release()
    assert [(await ended(who, each))["cached_at"] for who, each in accepted] == [None] * 5


async def test_who_wants_it_anew_gets_it_from_the_model(tab: ChatClient, fake_model: FakeModelServer) -> None:
    await asked(tab)
    assert (await asked(tab, bypass_cache=True))["cached_at"] is None
    again = await asked(tab)
    assert again["cached_at"] is not None
    assert len(fake_model.requests) == 2


async def test_a_new_version_and_a_persona_that_does_not_allow_it_begin_anew(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    plain = await run_db(make_persona, cache_hours=0)
    await asked(tab, persona=plain.slug)
    await asked(tab, persona=plain.slug)
    assert len(fake_model.requests) == 2


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        ("What is Nono?", " what is  NONO", True),
        ("Can I?", "Can't I?", False),
        ("print(A) == x", "print(a) == x", False),
        ("¿?", "?", False),
    ],
)
def test_questions_are_the_same_however_they_are_written(one: str, other: str, are_equal: bool) -> None:
    assert (normalised(one) == normalised(other)) is are_equal


def test_personal_data_makes_a_question_nobody_elses() -> None:
    assert is_general("When are you open?")
    assert not is_general("Call me at +49 30 901820, please")


async def test_programs_by_openais_protocol_share_it_and_may_ask_past_it(
    live_stack: Stack, owner: User, fake_model: FakeModelServer
) -> None:
    persona = await run_db(make_persona, cache_hours=24)
    async with async_client(live_stack.url, await run_db(make_key, owner)) as client:
        create = client.chat.completions.create
        first = await create(**openai_asked(persona, QUESTION))
        again = await create(**openai_asked(persona, QUESTION))
        assert (again.model_extra or {})["nono"]["cached_at"]
        assert "cached_at" not in (first.model_extra or {})["nono"]
        assert again.choices[0].message.content == first.choices[0].message.content
        assert again.usage is not None
        assert again.usage.total_tokens == 0
        for no_cache in ("no-cache", "max-age=0, No-Store"):
            anew = await create(**openai_asked(persona, QUESTION), extra_headers={"Cache-Control": no_cache})
            assert "cached_at" not in (anew.model_extra or {})["nono"]
        for more in ({"max_tokens": 5}, {"messages": [{"role": "system", "content": "Be brief."}, ASKED]}):
            told = await create(**openai_asked(persona, QUESTION) | more)
            assert "cached_at" not in (told.model_extra or {})["nono"], more
    assert len(fake_model.requests) == 5


@pytest.fixture
async def led(owner: User, monkeypatch: pytest.MonkeyPatch) -> tuple[Asked, UUID]:
    """A question, and the reply that is being made to answer all who ask it."""
    monkeypatch.setattr(joining, "LOOK_SECONDS", 0.01)
    question, leader = await run_db(begun, owner, await run_db(make_persona, cache_hours=24), "k" * 64)
    assert await run_db(entries.lead, question, leader.pk)
    return question, leader.pk


async def fails(leader: UUID) -> None:
    """It ends with nothing for anybody."""
    await run_db(Message.objects.filter(pk=leader).update, status="failed")


class Looking(ReplyCache):
    """Says when it has seen that somebody leads."""

    def __init__(self) -> None:
        super().__init__()
        self.has_seen = asyncio.Event()

    async def _look(self, key: str) -> Seen:
        seen = await super()._look(key)
        if seen.leader is not None:
            self.has_seen.set()
        return seen


async def joins(question: Asked, owner: User) -> list["asyncio.Task[tuple[Seen, bool]]"]:
    """Three others who ask it, each on a worker of its own, which have seen that somebody leads."""
    persona = await run_db(make_persona, cache_hours=24)
    replies = [(await run_db(begun, owner, persona, "other"))[1].pk for _ in range(3)]
    caches = [Looking() for _reply in replies]
    waits = [asyncio.create_task(cache.join(question, pk)) for cache, pk in zip(caches, replies, strict=True)]
    async with asyncio.timeout(10):
        await asyncio.gather(*(cache.has_seen.wait() for cache in caches))
    return waits


async def test_whoever_joins_in_the_moment_that_a_look_ends_waits_for_the_next(led: tuple[Asked, UUID]) -> None:
    """One that is over would answer at once, again and again: nothing else of the worker would run any more."""
    question, leader = led
    cache = ReplyCache()
    waits = asyncio.gather(*(cache.join(question, uuid4()) for _ in range(5)))
    ends = asyncio.create_task(asyncio.sleep(0.5))
    while not waits.done():
        assert not any(look.done() for look in cache.looks.values())
        await asyncio.sleep(0)
        if ends.done():
            await run_db(entries.leave_alone, question, leader)
    assert await waits == [(Seen(None, None, alone=True), False)] * 5


async def test_who_waits_does_so_for_as_long_as_the_first_reply_is_being_made(
    led: tuple[Asked, UUID], settings: Any
) -> None:
    settings.RESPONSE_CACHE_WAIT_SECONDS = 0
    question, leader = led
    waits = asyncio.gather(*(ReplyCache().join(question, uuid4()) for _ in range(3)))
    await asyncio.wait([waits], timeout=0.5)
    assert not waits.done()
    await run_db(entries.keep, question, leader, Ending("completed", "A plant.", model="fake/echo"))
    assert [(seen.entry and seen.entry.text, leads) for seen, leads in await waits] == [("A plant.", False)] * 3


async def test_where_the_first_fails_after_long_one_who_waits_leads_and_the_others_wait_no_more(
    led: tuple[Asked, UUID], owner: User, settings: Any
) -> None:
    settings.RESPONSE_CACHE_WAIT_SECONDS = 0
    question, leader = led
    waits = await joins(question, owner)
    await fails(leader)
    async with asyncio.timeout(10):
        assert sorted(leads for _seen, leads in await asyncio.gather(*waits)) == [False, False, True]


async def test_a_first_reply_that_is_taken_up_again_is_made_for_all_again(owner: User) -> None:
    """Its worker handed it over, or died: nobody waits for itself."""
    await run_db(ask, owner, QUESTION, persona=await run_db(make_persona, cache_hours=24))
    cache = ReplyCache()
    for _ in range(2):
        ((claim, work),) = await run_db(take_up, "w", {"fake": 1}, 0, 8.0)
        reply = LiveReply.of(claim, work)
        async with asyncio.timeout(10):
            assert await cache.answered_before(reply, RuleSet(()), "") is None
        assert reply.shared is not None
        assert (await run_db(entries.look, reply.shared.key)).leader == reply.reply
        cache.settled(reply)
        await run_db(hand_over, reply.reply, reply.epoch, Ending("queued", ""))


async def test_nobody_waits_for_a_first_reply_that_goes_on_since_it_was_stopped(
    led: tuple[Asked, UUID], owner: User
) -> None:
    question, leader = led
    row = Message.objects.filter(pk=leader)
    await run_db(row.update, status="stopped", text="A pl")
    await run_db(services.continue_reply, user=owner, client_id="c", reply_id=leader)
    await run_db(row.update, status="streaming", lease_expires_at=timezone.now() + timedelta(seconds=30))
    assert (await run_db(entries.look, question.key)).leader is None
    assert await run_db(entries.lead, question, uuid4())


async def test_where_the_first_fails_soon_the_others_wait_for_the_next(led: tuple[Asked, UUID], owner: User) -> None:
    question, leader = led
    waits = await joins(question, owner)
    await fails(leader)
    done, waiting = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert [task.result()[1] for task in done] == [True]
    await asyncio.wait(waiting, timeout=0.3)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_for_a_while_after_a_reply_that_is_for_nobody_else_no_other_leads(led: tuple[Asked, UUID]) -> None:
    question, leader = led
    await run_db(entries.leave_alone, question, uuid4())  # one that does not lead says nothing
    assert (await run_db(entries.look, question.key)).leader == leader
    await run_db(entries.leave_alone, question, leader)
    await fails(leader)
    assert not await run_db(entries.lead, question, uuid4())
    await run_db(CachedReply.objects.update, expires_at=timezone.now())
    assert await run_db(entries.lead, question, uuid4())


def test_a_near_question_must_have_found_the_same_approved_answers() -> None:
    """One of them may be over since: nothing else would tell."""
    version = SimpleNamespace(pk=uuid4(), cache_hours=1)
    work: Any = SimpleNamespace(turns=[Turn("user", "How do I grow a tree?")], version=version, models=["fake/echo"])
    one, two = (Source(number, uuid4(), "Q", "", 0.9) for number in (1, 2))
    near = [asked_of(work, seen="", sources=sources, language="en").near for sources in ([one, two], [two, one], [one])]
    assert near[0] == near[1] != near[2]
