"""Personal data in a conversation: models see placeholders, people what was written, however a reply is split."""

from typing import Any
from uuid import UUID

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.providers import Provider
from conversations import tasks
from conversations.models import Conversation, Message
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .factories import make_exchange, make_persona
from .stack import Stack

ADDRESS, PHONE = "bob@example.org", "+49 171 1234567"


@pytest.fixture
async def tab(live_stack: Stack, owner: User) -> Any:
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as client:
        yield client


async def ending_of(tab: ChatClient, accepted: dict[str, Any]) -> dict[str, Any]:
    """The last event of the reply, with its whole text."""
    await tab.ended(accepted["reply"]["id"])
    return next(e for e in reversed(tab.heard) if e.get("reply") == accepted["reply"]["id"] and "html" in e)


def sent_to(fake_model: FakeModelServer) -> str:
    return "\n".join(message["content"] for message in fake_model.requests[-1].messages)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "tokens",
    [["I wrote to [E-MAIL 1]", " and [PHONE 1]."], [*"I wrote to [E-MAIL 1] and [PHONE 1]."]],
    ids=["whole", "split at every character"],
)
async def test_a_reply_shows_what_its_model_never_saw(
    tab: ChatClient, fake_model: FakeModelServer, tokens: list[str]
) -> None:
    await run_db(lambda: make_persona(personal_data="always", slug="careful"))
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=tokens, gate=gate))
    accepted = await tab.ask(f"I am {ADDRESS}, {PHONE}", persona="careful")
    seen = await tab.started(accepted["reply"]["id"])
    gate.release()
    ending = await ending_of(tab, accepted)
    shown = f"I wrote to {ADDRESS} and {PHONE}."
    assert ending["text"] == shown
    assert seen.streamed == shown
    sent = sent_to(fake_model)
    assert "I am [E-MAIL 1], [PHONE 1]" in sent
    assert ADDRESS not in sent
    assert PHONE not in sent
    stored = await run_db(Message.objects.get, pk=UUID(accepted["reply"]["id"]))
    assert stored.text == shown


@pytest.mark.django_db(transaction=True)
async def test_a_text_that_ends_like_a_placeholder_is_whole(tab: ChatClient, fake_model: FakeModelServer) -> None:
    await run_db(lambda: make_persona(personal_data="always", slug="careful"))
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["see ", "[E-MA"], gate=gate))
    accepted = await tab.ask(f"I am {ADDRESS}", persona="careful")
    seen = await tab.started(accepted["reply"]["id"])
    gate.release()
    ending = await ending_of(tab, accepted)
    assert (ending["type"], ending["text"]) == ("reply.completed", "see [E-MA")
    assert seen.streamed == "see [E-MA"


@pytest.mark.django_db(transaction=True)
async def test_a_reply_that_broke_off_in_a_placeholder_goes_on_without_its_beginning(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    await run_db(lambda: make_persona(personal_data="always", slug="careful"))
    fake_model.enqueue(Script(tokens=["write to ", "[E-MA", "IL 1]"], cut_after=2, cut="reset"))
    accepted = await tab.ask(f"I am {ADDRESS}", persona="careful")
    ending = await ending_of(tab, accepted)
    assert (ending["type"], ending["text"]) == ("reply.interrupted", "write to ")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("personal_data", ["outside", "never"])
async def test_a_model_of_ones_own_or_a_persona_without_protection_sees_what_was_written(
    tab: ChatClient, fake_model: FakeModelServer, personal_data: str
) -> None:
    await run_db(lambda: make_persona(personal_data=personal_data, slug="open"))
    accepted = await tab.ask(f"I am {ADDRESS}", persona="open")
    await tab.ended(accepted["reply"]["id"])
    assert ADDRESS in sent_to(fake_model)


def test_by_default_outside_models_and_they_alone_get_placeholders(db: None, settings: Any) -> None:
    settings.LLM_PROVIDERS = {
        "near": Provider("near", "http://127.0.0.1:1/v1"), "far": Provider("far", "https://models.example.com/v1"),
    }  # fmt: skip
    version = make_persona().published
    assert version is not None
    assert version.personal_data == "outside"
    assert not version.takes_out_personal_data(["near/a"])
    assert version.takes_out_personal_data(["near/a", "far/b"]), "it may fall back to that one"


@pytest.fixture
def careful_models(settings: Any, fake_model: FakeModelServer) -> None:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "test")}
    settings.TITLE_MODEL = settings.DEFAULT_MODEL = "fake/echo"


@pytest.mark.django_db
def test_a_title_is_written_from_placeholders_and_shows_the_value(
    owner: User, fake_model: FakeModelServer, careful_models: None
) -> None:
    made = make_exchange(
        owner, "x" * 1490 + f" {ADDRESS}", "Hello.", persona=make_persona(personal_data="always")
    ).conversation
    fake_model.enqueue(Script(tokens=["About [E-MAIL 1]"]))
    tasks.make_title(str(made.pk))
    assert Conversation.objects.get().title == f"About {ADDRESS}"
    assert "bob" not in sent_to(fake_model), "nor the half of it that a cut leaves"


@pytest.mark.django_db
def test_a_summary_is_written_from_placeholders_and_keeps_the_value(
    owner: User, fake_model: FakeModelServer, careful_models: None
) -> None:
    persona = make_persona(context_budget=256, personal_data="always")
    first = make_exchange(owner, f"I am {ADDRESS}. " + "a" * 200, "b" * 200, persona=persona)
    for number in range(4):
        last = make_exchange(owner, f"Q{number} " + "c" * 200, "d" * 200, conversation_id=first.conversation.pk)
    fake_model.enqueue(Script(tokens=["The person is [E-MAIL 1]."]))
    tasks.summarise_conversation(str(last.reply.pk))
    assert Conversation.objects.get().summary == f"The person is {ADDRESS}."
    assert ADDRESS not in sent_to(fake_model)
