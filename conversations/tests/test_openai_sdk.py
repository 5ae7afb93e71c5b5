"""The ``openai`` SDK, unchanged, against real processes: models, completions whole and in chunks, its exceptions."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from accounts.models import User
from accounts.scopes import Scope
from chatbot_project.lib.db import run_db
from conversations.models import Conversation, Message
from conversations.replies.prompt import INSTRUCTIONS_HEAD
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .factories import make_persona
from .knowledge_stack import PIN_ANSWER, make_knowing_persona, make_knowledge
from .openai_client import asked, async_client, make_key, sync_client
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(live_stack: Stack, owner: User, persona: Persona) -> Iterator[OpenAI]:
    with sync_client(live_stack.url, make_key(owner)) as opened:
        yield opened


@pytest.fixture
async def aclient(live_stack: Stack, owner: User, persona: Persona) -> AsyncIterator[AsyncOpenAI]:
    async with async_client(live_stack.url, await run_db(make_key, owner)) as opened:
        yield opened


def test_models(client: OpenAI, persona: Persona) -> None:
    assert [model.id for model in client.models.list()] == [f"persona:{persona.slug}"]
    assert client.models.retrieve(f"persona:{persona.slug}").owned_by == "nono"
    with pytest.raises(openai.NotFoundError) as absent:
        client.models.retrieve("gpt-4o")
    assert absent.value.code == "model_not_found"


def test_a_whole_completion(client: OpenAI, persona: Persona, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["Grü", "ße, ", "🌍", "!"]))
    raw = client.chat.completions.with_raw_response.create(
        **asked(persona), temperature=0.1, seed=7, user="x", max_completion_tokens=50, metadata={"case": "7"}
    )
    assert raw.headers["content-type"] == "application/json"
    assert {"ratelimit-limit", "ratelimit-remaining"} <= set(raw.headers)
    answer = raw.parse()
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Grüße, 🌍!", "stop")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4
    assert (answer.model, answer.object) == (f"persona:{persona.slug}", "chat.completion")
    reply = Message.objects.select_related("conversation").get(pk=UUID(answer.id.removeprefix("chatcmpl-")))
    assert (reply.text, reply.status, reply.max_tokens) == ("Grüße, 🌍!", "completed", 50)
    assert reply.conversation.metadata == {"case": "7"}
    assert answer.nono["reply"] == str(reply.pk)  # type: ignore[attr-defined]
    (request,) = fake_model.requests
    assert (request.body["temperature"], request.body["max_tokens"]) == (0.5, 50), "the persona's, and the nearer bound"


def test_a_completion_in_chunks(client: OpenAI, persona: Persona, fake_model: FakeModelServer) -> None:
    gate, chunks = fake_model.hold(), []
    gate.release(1)
    fake_model.enqueue(Script(tokens=["One ", "two ", "three"], gate=gate))
    for chunk in client.chat.completions.create(**asked(persona), stream=True, stream_options={"include_usage": True}):
        chunks.append(chunk)
        if chunk.choices and chunk.choices[0].delta.content:
            gate.release()
    first, *_middle, last, usage = chunks
    assert first.choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "One two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert last.choices[0].delta.content is None
    assert (usage.choices, usage.usage.completion_tokens) == ([], 3)  # type: ignore[union-attr]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert len(chunks) > 4, "not all at once"


def test_without_being_asked_no_chunk_tells_of_usage(client: OpenAI, persona: Persona) -> None:
    chunks = list(client.chat.completions.create(**asked(persona), stream=True))
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)


async def test_the_asynchronous_client(aclient: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer) -> None:
    answer = await aclient.chat.completions.create(**asked(persona))
    assert answer.choices[0].message.content == "tok0 tok1 tok2 tok3 tok4 tok5 tok6 tok7 "
    stream = await aclient.chat.completions.create(**asked(persona), stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == answer.choices[0].message.content
    assert [model.id async for model in aclient.models.list()] == [f"persona:{persona.slug}"]


def test_the_sdks_own_accumulator_reads_it(client: OpenAI, persona: Persona, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["a", "b"]))
    with client.chat.completions.stream(**asked(persona)) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    assert (final.choices[0].message.content, final.choices[0].finish_reason) == ("ab", "stop")


def test_a_conversation_that_the_caller_holds(client: OpenAI, fake_model: FakeModelServer, owner: User) -> None:
    persona = make_persona(system_prompt="You are Ada.")
    messages: list[Any] = [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "And now?"},
    ]
    client.chat.completions.create(model=f"persona:{persona.slug}", messages=messages)
    (request,) = fake_model.requests
    assert [(m["role"], m["content"]) for m in request.body["messages"]] == [
        ("system", f"You are Ada.\n\n{INSTRUCTIONS_HEAD}Rhyme."),
        ("user", "Hi"), ("assistant", "Hello!"), ("user", "And now?"),
    ]  # fmt: skip
    assert not Conversation.objects.visible_to(owner).listed().exists()
    client.chat.completions.create(model=f"persona:{persona.slug}", messages=messages, store=True)
    assert [c.title for c in Conversation.objects.visible_to(owner).listed()] == ["Hi"]


def test_a_reply_that_ran_into_its_bound_says_length(
    client: OpenAI, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=3, finish_reason="length"))
    answer = client.chat.completions.create(**asked(persona), max_tokens=3)
    assert answer.choices[0].finish_reason == "length"


# --- the FAQ


def test_approved_answers_and_their_sources(client: OpenAI, fake_model: FakeModelServer) -> None:
    pin, _fee = make_knowledge()
    direct, context = make_knowing_persona("direct"), make_knowing_persona("context")
    answer = client.chat.completions.create(**asked(direct, "How do I reset the PIN of my card?"))
    assert answer.choices[0].message.content == PIN_ANSWER
    assert answer.usage is not None
    assert answer.usage.total_tokens == 0
    extra: Any = answer.nono  # type: ignore[attr-defined]
    assert extra["source"] == "faq"
    assert [(c["number"], c["faq"]) for c in extra["citations"]] == [(1, str(pin.pk))]
    assert not fake_model.requests
    fake_model.enqueue(Script(tokens=["As it says ", "[1]."]))
    chunks = list(client.chat.completions.create(**asked(context, "How do I reset the PIN of my card?"), stream=True))
    extra = chunks[-1].nono  # type: ignore[attr-defined]
    assert (extra["source"], [c["number"] for c in extra["citations"]]) == ("model", [1])


def test_the_faq_is_asked_for_the_question_and_not_for_instructions(
    client: OpenAI, fake_model: FakeModelServer
) -> None:
    make_knowledge()
    persona = make_knowing_persona("direct")
    wishes = {"role": "system", "content": "How do I reset the PIN of my card?"}
    messages: list[Any] = [wishes, {"role": "user", "content": "Which planet is the largest of all?"}]
    answer = client.chat.completions.create(model=f"persona:{persona.slug}", messages=messages)
    extra: Any = answer.nono  # type: ignore[attr-defined]
    assert extra["source"] == "unknown"
    assert [offer["kind"] for offer in extra["offers"]] == ["rephrase", "contact", "handover"]
    assert answer.choices[0].finish_reason == "stop"
    assert not fake_model.requests


# --- its exceptions


def test_a_bad_key_and_a_narrow_one(live_stack: Stack, owner: User, persona: Persona) -> None:
    with sync_client(live_stack.url, "sk-nothing") as nobody, pytest.raises(openai.AuthenticationError) as refused:
        nobody.chat.completions.create(**asked(persona))
    assert refused.value.code == "invalid_api_key"
    reader = sync_client(live_stack.url, make_key(owner, Scope.READ))
    with reader, pytest.raises(openai.PermissionDeniedError) as narrow:
        reader.chat.completions.create(**asked(persona))
    assert narrow.value.code == "scope_missing"


def test_what_is_refused_is_the_exception_that_programs_catch(
    client: OpenAI, persona: Persona, live_stack: Stack
) -> None:
    hidden = make_persona(visibility="staff")
    for model in ("gpt-4o", f"persona:{hidden.slug}", "persona:nobody"):
        for stream in (False, True):
            with pytest.raises(openai.NotFoundError) as absent:
                client.chat.completions.create(**{**asked(persona), "model": model}, stream=stream)
            assert (absent.value.code, absent.value.param) == ("model_not_found", "model")
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**asked(persona), tools=tools)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tools")
    with pytest.raises(openai.BadRequestError) as empty:
        client.chat.completions.create(**asked(persona, "\u202e"))
    assert empty.value.code == "empty_text"
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="x", input="y")
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (Script(status=401), 502, "llm_refused"),
        (Script(status=500), 503, "llm_unavailable"),
        (Script(html=True), 502, "llm_malformed"),
    ],
)
def test_a_model_that_fails_before_its_first_word_is_a_server_error(
    client: OpenAI, persona: Persona, fake_model: FakeModelServer, script: Script, status: int, code: str, stream: bool
) -> None:
    fake_model.default = script
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(**asked(persona), stream=stream)
    assert (failed.value.status_code, failed.value.code) == (status, code)
    assert failed.value.type == "server_error"
    body: Any = failed.value.body
    assert Message.objects.get(pk=body["nono"]["reply"]).status == "failed"
    answers_again(client, persona, fake_model)


def test_the_sdk_tries_again_what_may_pass_and_nothing_else(
    live_stack: Stack, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    with sync_client(live_stack.url, make_key(owner)).with_options(max_retries=1) as client:
        fake_model.enqueue(Script(status=400), Script(tokens=["Not asked"]))
        with pytest.raises(openai.InternalServerError) as refused:
            client.chat.completions.create(**asked(persona))
        assert refused.value.code == "llm_refused"
        assert len(fake_model.requests) == 1
        fake_model.restore()
        fake_model.enqueue(Script(tokens=6, cut_after=3), Script(tokens=["Whole"]))
        assert client.chat.completions.create(**asked(persona)).choices[0].message.content == "Whole"


def answers_again(client: OpenAI, persona: Persona, fake_model: FakeModelServer) -> None:
    """After faults: a healthy reply, so that the provider is not given a rest that the next test would meet."""
    fake_model.restore()
    assert client.chat.completions.create(**asked(persona)).choices[0].finish_reason == "stop"


BREAKS = {
    "cut": Script(tokens=6, cut_after=3, token_ms=5),
    "reset": Script(tokens=6, cut_after=3, cut="reset", token_ms=5),
    "no finish reason": Script(tokens=6, finish_reason=None, token_ms=5),
    "error": Script(tokens=6, error_after=3, token_ms=5),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_reply_that_breaks_off_is_never_told_as_whole(
    client: OpenAI, persona: Persona, fake_model: FakeModelServer, fault: str
) -> None:
    fake_model.enqueue(BREAKS[fault])
    with pytest.raises(openai.InternalServerError) as whole:
        client.chat.completions.create(**asked(persona))
    assert whole.value.code in ("llm_cut", "llm_unavailable")
    answers_again(client, persona, fake_model)
    fake_model.enqueue(BREAKS[fault])
    seen: list[Any] = []

    def read() -> None:
        for chunk in client.chat.completions.create(**asked(persona), stream=True):
            seen.append(chunk)  # noqa: PERF402  what came before the error counts

    with pytest.raises(openai.APIError) as broken:
        read()
    assert broken.value.code == whole.value.code
    assert seen[0].choices[0].delta.role == "assistant"
    assert "tok0 " in "".join(chunk.choices[0].delta.content for chunk in seen)
    assert not any(chunk.choices[0].finish_reason for chunk in seen)
    assert Message.objects.filter(role="assistant", status="interrupted").count() == 2
    answers_again(client, persona, fake_model)
