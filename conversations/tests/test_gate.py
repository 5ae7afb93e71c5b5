"""Everything that goes to a model beside the chat, and what comes back, passes the rules and the endpoint."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.llm.errors import LLMHeldBack, LLMUnjudged
from chatbot_project.lib.llm.guarded import GuardedClient, ask_whole
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest
from conversations import doorbell, services, tasks
from conversations.models import Conversation, Message, ModerationItem, ModerationRule
from conversations.safety.findings import forget_rules
from faqs.gap_drafts import ModelWriter
from personas.models import Persona, PersonaVersion
from personas.side_chat import stream_reply
from stress_tests.fake_model import MODERATIONS, FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .factories import ask, end, make_persona
from .http_client import HttpClient
from .openai_client import async_client, make_key
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)
TRAP = "quokka trap"


@pytest.fixture(autouse=True)
def _rules(settings: Any, fake_model: FakeModelServer) -> Iterator[None]:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url)}
    settings.DEFAULT_MODEL = settings.TITLE_MODEL = settings.SUMMARY_MODEL = "fake/default"
    ModerationRule.objects.create(phrase=TRAP, action="block", category="violence")
    forget_rules()
    yield
    forget_rules()


def request(*texts: str) -> ChatRequest:
    return ChatRequest([ChatMessage("system", f"About a {TRAP}."), *(ChatMessage("user", text) for text in texts)])


def test_a_whole_question_is_judged_both_ways_but_not_the_organisations_own_words(fake_model: FakeModelServer) -> None:
    assert ask_whole(["fake/m"], request("Hello"), seconds=60)
    forget(fake_model)
    with pytest.raises(LLMHeldBack):
        ask_whole(["fake/m"], request("Hello", "a quokka  tr4p"), seconds=60)
    assert not fake_model.requests
    fake_model.enqueue(Script(tokens=["A quo", "kka trap, say"]))
    with pytest.raises(LLMHeldBack):
        ask_whole(["fake/m"], request("Hello"), seconds=60)


@pytest.mark.parametrize(
    ("scripts", "fails", "error"),
    [
        ([Script(scores={"hate": 0.95})], "closed", LLMHeldBack),
        ([Script(), Script(scores={"hate": 0.95})], "closed", LLMHeldBack),
        ([Script(scores={"hate": 0.7})], "closed", None),
        ([Script(status=400)], "closed", LLMUnjudged),
        ([Script(status=400), Script(status=400)], "open", None),
    ],
)
def test_the_endpoint_judges_as_well_and_fails_as_the_setting_says(
    fake_model: FakeModelServer, settings: Any, scripts: list[Script], fails: str, error: type[Exception] | None
) -> None:
    settings.MODERATION_MODEL, settings.MODERATION_FAILS = "fake/moderation", fails
    fake_model.enqueue(*scripts, path=MODERATIONS)
    if error is None:
        assert ask_whole(["fake/m"], request("I am bob@example.org"), seconds=60)
        assert fake_model.requests[0].body["input"] == "I am bob@example.org", "the fake endpoint is of this machine"
        return
    with pytest.raises(error):
        ask_whole(["fake/m"], request("Hello"), seconds=60)


async def test_a_stream_is_judged_joined_over_its_pieces_and_as_a_whole(
    fake_model: FakeModelServer, settings: Any
) -> None:
    shown: list[str] = []

    async def read(client: GuardedClient, text: str) -> None:
        async for piece in client.stream(["fake/m"], request(text)):
            shown.append(piece)  # noqa: PERF401  what was shown before it raises counts

    fake_model.enqueue(Script(tokens=["One quo", "kka tr", "ap, then ", "more"]))
    async with GuardedClient() as client:
        with pytest.raises(LLMHeldBack):
            await read(client, "Hello")
        assert "trap" not in "".join(shown)
        settings.MODERATION_MODEL = "fake/moderation"
        fake_model.enqueue(Script(), Script(scores={"violence": 1.0}), path=MODERATIONS)
        with pytest.raises(LLMHeldBack):
            await read(client, "Another")


def forget(fake_model: FakeModelServer) -> None:
    """What was asked so far."""
    fake_model.requests.clear()


# --- each way that there is
def conversation(owner: User, persona: Persona, text: str = "Hello") -> Conversation:
    accepted = ask(owner, text, persona=persona)
    end(accepted.reply, "Hi there.")
    return accepted.conversation


def test_no_title_is_asked_for_and_none_is_shown_that_breaks_a_rule(
    owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    harmless = conversation(owner, persona)
    fake_model.enqueue(Script(tokens=["The quokka trap"]))
    tasks.make_title(str(harmless.pk))
    harmless.refresh_from_db()
    assert harmless.title == "Hello"
    forget(fake_model)
    tasks.make_title(str(conversation(owner, persona, "A quokka trap?").pk))
    assert not fake_model.requests


def test_no_summary_is_made_of_or_into_what_breaks_a_rule(owner: User, fake_model: FakeModelServer) -> None:
    talk = conversation(owner, make_persona(context_budget=256), "word " * 60)
    for text in ("word " * 60, "word " * 60, "and so on"):
        last = ask(owner, text, conversation_id=talk.pk)
        end(last.reply, "Yes.")
    fake_model.enqueue(Script(tokens=["About a quokka trap."]))
    tasks.summarise_conversation(str(last.reply.pk))
    talk.refresh_from_db()
    assert fake_model.requests
    assert talk.summary == ""
    forget(fake_model)
    first = Message.objects.filter(conversation=talk, role="user").earliest("pk")
    Message.objects.filter(pk=first.pk).update(text="quokka trap " * 40)
    tasks.summarise_conversation(str(last.reply.pk))
    assert not fake_model.requests


async def test_the_side_chat_refuses_questions_and_takes_replies_back(fake_model: FakeModelServer) -> None:
    version = PersonaVersion(system_prompt="Be.", context_budget=500)

    async def said(text: str) -> list[dict[str, Any]]:
        return [json.loads(line) async for line in stream_reply(version, [ChatMessage("user", text)])]

    assert [(e["error"]["code"], e["withdrawn"]) for e in await said("A quokka trap")] == [("content_blocked", True)]
    assert not fake_model.requests
    fake_model.enqueue(Script(tokens=["One quokka ", "trap"]))
    *_shown, last = await said("Hello")
    assert (last["error"]["code"], last["withdrawn"]) == ("content_blocked", True)


def test_a_draft_from_gaps_is_neither_asked_nor_written(fake_model: FakeModelServer) -> None:
    with pytest.raises(LLMHeldBack):
        ModelWriter("fake/m").write(["How do I set a quokka trap?"], language="en")
    assert not fake_model.requests
    fake_model.enqueue(Script(tokens=["Set a quokka trap."]))
    with pytest.raises(LLMHeldBack):
        ModelWriter("fake/m").write(["How do I?"], language="en")


# --- the ways into the chat, through real processes
@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "You build a quokka trap."}, {"role": "user", "content": "Go on"}],
        [{"role": "developer", "content": "You build a quokka trap."}, {"role": "user", "content": "Go on"}],
        [
            {"role": "user", "content": "A quokka trap?"},
            {"role": "assistant", "content": "Sure."},
            {"role": "user", "content": "Go on"},
        ],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "A quokka trap it is."},
            {"role": "user", "content": "Go on"},
        ],
    ],
)
@pytest.mark.parametrize("store", [False, True])
async def test_what_a_program_tells_before_its_question_is_judged_with_it(
    live_stack: Stack,
    owner: User,
    persona: Persona,
    fake_model: FakeModelServer,
    messages: list[dict[str, str]],
    store: bool,
) -> None:
    await run_db(doorbell.tell_rules_changed)
    async with async_client(live_stack.url, await run_db(make_key, owner)) as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.chat.completions.create(model=f"persona:{persona.slug}", messages=messages, store=store)  # type: ignore[call-overload]
    assert refusal.value.code == "content_blocked"
    assert not fake_model.requests
    item = await run_db(ModerationItem.objects.select_related("message").get)
    assert item.message.text == "Go on"


async def test_edits_and_new_replies_are_judged_and_a_refused_question_reaches_no_model_later(
    live_stack: Stack, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    await run_db(doorbell.tell_rules_changed)
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as tab:
        first = await tab.ask("Hello", persona=persona.slug)
        await tab.ended(first["reply"]["id"])
        edited = await tab.command("message.edit", message=first["message"]["id"], text="A quokka trap")
        assert (await tab.ended(edited["reply"]["id"])).status == "reply.failed"
        again = await tab.command("reply.regenerate", reply=edited["reply"]["id"])
        assert (await tab.ended(again["reply"]["id"])).status == "reply.failed"
        forget(fake_model)
        later = await tab.ask("And a beach?", conversation=first["conversation"]["id"])
        assert (await tab.ended(later["reply"]["id"])).status == "reply.completed"
    (sent,) = fake_model.requests
    assert [m["content"] for m in sent.messages if m["role"] == "user"] == ["And a beach?"]


async def test_a_reply_does_not_go_on_whose_question_breaks_a_rule_that_is_new(
    live_stack: Stack, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    def cut() -> Message:
        ModerationRule.objects.update(enabled=False)
        accepted = ask(owner, "A quokka trap?", persona=persona)
        end(accepted.reply, "It is", status="interrupted")
        ModerationRule.objects.update(enabled=True)
        doorbell.tell_rules_changed()
        return accepted.reply

    reply = await run_db(cut)
    async with await run_db(HttpClient.of, live_stack.url, owner) as program:
        _status, answer = await program.call("post", f"messages/{reply.pk}/continue", {})
    assert (answer["reply"]["status"], answer["reply"]["code"]) == ("interrupted", "content_blocked")
    assert answer["reply"]["text"] == "It is"
    assert not fake_model.requests

    def go_on() -> Any:
        return services.continue_reply(user=owner, reply_id=reply.pk, client_id="c")

    with pytest.raises(ApplicationError):
        await run_db(go_on)
