"""Replies that come of the FAQ, through real processes: from sources, as they stand, offline, or not at all."""

from typing import Any
from uuid import UUID

import pytest

from accounts.models import User
from accounts.tests.factories import make_admin, make_user
from chatbot_project.lib.db import run_db
from conversations.models import Citation, Message
from faqs.tests.factories import make_faq, make_index
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .knowledge_stack import FEE_ANSWER, PIN_ANSWER, fences, make_knowing_persona, make_knowledge, system_prompts
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)
PIN, OFF_TOPIC = "How do I reset the PIN of my card?", "Which volcano on Iceland erupted last winter?"


@pytest.fixture
async def tab(live_stack: Stack, owner: User) -> Any:
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as client:
        yield client


async def stored(reply: str) -> Message:
    return await run_db(Message.objects.get, pk=UUID(reply))


async def asked(tab: ChatClient, text: str, **fields: Any) -> dict[str, Any]:
    """The ending of the reply to ``text``."""
    accepted = await tab.ask(text, **fields)
    await tab.ended(accepted["reply"]["id"])
    return next(e for e in reversed(tab.heard) if e.get("reply") == accepted["reply"]["id"] and "text" in e)


async def test_a_model_answers_from_sources_and_only_what_it_named_is_cited(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    pin, _fee = await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    fake_model.enqueue(Script(tokens=["Choose ", "Reset ", "PIN ", "[1]."]))
    ending = await asked(tab, PIN)
    cited = [{"number": 1, "faq": str(pin.pk), "question": pin.question}]
    assert (ending["type"], ending["source"], ending["citations"]) == ("reply.completed", "model", cited)
    assert ending["offers"] == []
    sources = fences(system_prompts(fake_model)[0])
    assert PIN_ANSWER in sources[0]
    kinds = [event["type"] for event in tab.heard if event.get("reply") == ending["reply"]]
    assert kinds[-2:] == ["reply.citations", "reply.completed"]
    row = await stored(ending["reply"])
    assert (row.source, row.offers) == ("model", None)
    citation = await run_db(Citation.objects.get)
    assert (citation.message_id, citation.faq_id, citation.number) == (row.pk, pin.pk, 1)
    assert citation.question == pin.question
    assert 0 < citation.score <= 1
    snapshot = await tab.follow(ending["conversation"])
    assert snapshot["messages"][1]["citations"] == cited
    assert snapshot["messages"][1]["source"] == "model"


async def test_a_model_that_names_nothing_is_cited_by_its_words_or_not_at_all(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    pin, _fee = await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    fake_model.enqueue(Script(tokens=["A letter with the new number ", "arrives within five working days."]))
    assert [c["faq"] for c in (await asked(tab, PIN))["citations"]] == [str(pin.pk)]
    fake_model.enqueue(Script(tokens=["Nobody ", "knows ", "[9]."]))
    silent = await asked(tab, PIN)
    assert (silent["source"], silent["citations"]) == ("model", [])


async def test_where_nothing_is_approved_no_model_is_asked(tab: ChatClient, fake_model: FakeModelServer) -> None:
    await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    ending = await asked(tab, OFF_TOPIC)
    assert (ending["type"], ending["source"], ending["citations"]) == ("reply.completed", "unknown", [])
    assert ending["text"].startswith("I do not know")
    assert ending["offers"] == [
        {"kind": "rephrase", "text": "", "done": False},
        {"kind": "contact", "text": "help@example.com", "done": False},
        {"kind": "handover", "text": "", "done": False},
    ]
    assert not fake_model.requests
    snapshot = await tab.follow(ending["conversation"])
    assert snapshot["messages"][1]["offers"] == ending["offers"]


async def test_a_sure_match_is_given_as_it_stands(tab: ChatClient, fake_model: FakeModelServer) -> None:
    pin, _fee = await run_db(make_knowledge)
    await run_db(make_knowing_persona, "direct")
    ending = await asked(tab, PIN)
    assert (ending["text"], ending["source"]) == (PIN_ANSWER, "faq")
    assert [c["faq"] for c in ending["citations"]] == [str(pin.pk)]
    assert "<strong>Reset PIN</strong>" in ending["html"]
    assert not fake_model.requests


async def test_a_match_that_is_not_sure_goes_to_the_model(tab: ChatClient, fake_model: FakeModelServer) -> None:
    await run_db(make_knowledge)
    await run_db(make_knowing_persona, "direct")
    ending = await asked(tab, "I want to change something about my card, is there a number for it?")
    assert ending["source"] == "model"
    assert len(fences(system_prompts(fake_model)[0])) >= 1


async def test_without_a_model_the_approved_answer_stands_in(tab: ChatClient, fake_model: FakeModelServer) -> None:
    pin, _fee = await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    fake_model.default = Script(status=400)  # a refusal, which opens no circuit breaker
    ending = await asked(tab, PIN)
    assert (ending["type"], ending["text"], ending["source"]) == ("reply.completed", PIN_ANSWER, "faq_offline")
    assert [c["faq"] for c in ending["citations"]] == [str(pin.pk)]


async def test_without_a_model_and_a_match_a_reply_fails_as_ever(tab: ChatClient, fake_model: FakeModelServer) -> None:
    await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    fake_model.default = Script(status=400)  # a refusal, which opens no circuit breaker
    ending = await asked(tab, "Hello!")
    assert (ending["type"], ending["source"], ending["citations"]) == ("reply.failed", "", [])


async def test_small_talk_goes_to_the_model_without_sources(tab: ChatClient, fake_model: FakeModelServer) -> None:
    await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    ending = await asked(tab, "Thanks a lot!")
    assert (ending["type"], ending["source"]) == ("reply.completed", "model")
    assert system_prompts(fake_model) == ["You are a helper."]


async def test_without_any_faq_a_persona_talks_all_the_same(tab: ChatClient, fake_model: FakeModelServer) -> None:
    await run_db(make_knowing_persona)
    ending = await asked(tab, PIN)
    assert (ending["type"], ending["text"][:4]) == ("reply.completed", "tok0")
    assert system_prompts(fake_model) == ["You are a helper."]


async def test_a_short_question_is_also_looked_up_together_with_the_one_before(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    await run_db(make_knowledge)
    await run_db(make_knowing_persona, "direct")
    first = await asked(tab, "What does a bank transfer cost?")
    assert first["text"] == FEE_ANSWER
    second = await asked(tab, "And how long?", conversation=first["conversation"])
    assert second["source"] == "model"
    assert any(FEE_ANSWER in source for source in fences(system_prompts(fake_model)[-1]))


async def test_nobody_is_answered_from_what_is_not_theirs(live_stack: Stack, fake_model: FakeModelServer) -> None:
    def prepare() -> list[str]:
        pin, _fee = make_knowledge()
        type(pin).objects.filter(pk=pin.pk).update(visibility="staff")
        make_knowing_persona(slug="open")
        make_knowing_persona(slug="inner", visibility="staff")
        return [session_key(make_user()), session_key(make_admin())]

    user, staff = await run_db(prepare)
    for key, persona, source in ((user, "open", "unknown"), (staff, "open", "unknown"), (staff, "inner", "model")):
        async with ChatClient(live_stack.url, key) as client:
            ending = await asked(client, PIN, persona=persona)
            assert ending["source"] == source, (persona, ending)
    assert len(fake_model.requests) == 1


async def test_a_stopped_reply_cites_what_it_has_named_so_far_and_keeps_the_numbers_when_it_goes_on(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    pin, _fee = await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["Reset ", "it [1] ", "and never said"], gate=gate))
    accepted = await tab.ask(PIN)
    reply = accepted["reply"]["id"]
    gate.release(2)
    await tab.until(lambda: "[1]" in tab.replies[reply].text, "the first mark")
    await tab.send(type="reply.stop", reply=reply)
    assert (await tab.ended(reply)).status == "reply.stopped"
    assert await run_db(lambda: [c.faq_id for c in Citation.objects.all()]) == [pin.pk]

    def replaced() -> str:
        """The FAQ it cites is gone and another one matches now."""
        type(pin).objects.filter(pk=pin.pk).update(status="archived")
        new = make_faq("How can I reset the PIN of a card?", "By calling us.")
        make_index()
        return str(new.pk)

    new = await run_db(replaced)
    fake_model.enqueue(Script(tokens=["now [2]."]))
    await tab.command("reply.continue", reply=reply)
    seen = await tab.ended(reply)
    ending = tab.heard[-1]
    assert seen.text == "Reset it [1] now [2]."
    assert [(c["number"], c["faq"]) for c in ending["citations"]] == [(1, str(pin.pk)), (2, new)]
    assert [c["number"] for c in (await tab.follow(ending["conversation"]))["messages"][1]["citations"]] == [1, 2]
