"""The side chat: what the model is asked, how its reply streams to the page, and that nothing is stored."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connections
from django.test import AsyncClient, Client
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import make_admin
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.tokens import estimate_prompt
from chatbot_project.lib.llm.types import ChatMessage
from faqs.tests.factories import make_faq, make_index
from personas import services
from personas.models import Persona, PersonaVersion
from personas.side_chat import MAX_TURN_LENGTH, MAX_TURNS, make_request, read_turns, stream_reply
from personas.tests.factories import make_draft, make_persona
from stress_tests.fake_model import FakeModelServer, Script


def asked(*contents: str) -> dict[str, Any]:
    roles = ["user", "assistant"] * len(contents)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]}


def turns(*contents: str) -> list[ChatMessage]:
    return read_turns(json.dumps(asked(*contents)).encode())


def reply_url(persona: Persona) -> str:
    return reverse("admin:personas_persona_side_chat_reply", args=[persona.pk])


@pytest.fixture(autouse=True)
def _one_provider(transactional_db: None, settings: Any, fake_model: FakeModelServer) -> None:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url)}
    settings.DEFAULT_MODEL = "fake/default"


async def collect(stream: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in stream]


# --- What is asked --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"messages": 1}', b'{"messages": []}', b'{"messages": ["x"]}',
        b'{"messages": [{"role": "user"}]}', b'{"messages": [{"role": "user", "content": 1}]}',
        b'{"messages": [{"role": "user", "content": ""}]}', b'{"messages": [{"role": "assistant", "content": "x"}]}',
        b'{"messages": [{"role": "system", "content": "x"}]}', b"\xff", b"[" * 100_000,
        json.dumps({"messages": [{"role": "user", "content": "x"}] * 2}).encode(),
        json.dumps(asked("a", "b")).encode(),
        json.dumps(asked("x" * (MAX_TURN_LENGTH + 1))).encode(),
        json.dumps(asked(*"x" * (MAX_TURNS + 1))).encode(),
    ],
)  # fmt: skip
def test_turns_that_no_page_would_send_are_refused(body: bytes) -> None:
    with pytest.raises(ApplicationError) as refusal:
        read_turns(body)
    assert (refusal.value.code, refusal.value.status) == ("bad_request", 400)


def test_the_newest_turns_that_fit_the_budget_are_asked() -> None:
    version = PersonaVersion(system_prompt="Be brief.", context_budget=300, temperature=0.3, max_reply_tokens=99)
    talk = turns(*(f"{number}: " + "word " * 60 for number in range(9)))
    request = make_request(version, talk)
    assert request.messages[0] == ChatMessage(role="system", content="Be brief.")
    assert request.messages[1:] == talk[-(len(request.messages) - 1) :]
    assert 1 < len(request.messages) < len(talk)
    assert estimate_prompt(request.messages) <= 300
    assert (request.temperature, request.max_tokens) == (0.3, 99)
    alone = make_request(version, turns("x" * 5000))
    assert len(alone.messages) == 2


# --- What comes back ------------------------------------------------------------------------------------------------
async def test_the_reply_streams_piece_by_piece_and_ends_as_safe_html(fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["**Hi**", " <script>", "x"], gate=gate))
    version = PersonaVersion(
        system_prompt="Be.", model="fake/chosen", temperature=0.1, max_reply_tokens=50, context_budget=500
    )
    stream = stream_reply(version, turns("Hello"))
    gate.release(1)
    assert json.loads(await anext(stream)) == {"text": "**Hi**"}
    gate.release()
    rest = await collect(stream)
    assert "".join(event.get("text", "") for event in rest) == " <script>x"
    assert rest[-1] == {
        "html": "<p><strong>Hi</strong> &lt;script&gt;x</p>\n",
        "model": "fake/chosen",
        "sources": [],
    }
    (request,) = fake_model.requests
    assert request.model == "chosen"
    assert request.messages == [{"role": "system", "content": "Be."}, {"role": "user", "content": "Hello"}]
    assert (request.body["temperature"], request.body["max_tokens"]) == (0.1, 50)


async def test_a_version_without_a_model_asks_the_default(fake_model: FakeModelServer) -> None:
    version = PersonaVersion(system_prompt="Be.", context_budget=500)
    assert (await collect(stream_reply(version, turns("Hello"))))[-1]["model"] == "fake/default"


@pytest.mark.parametrize(
    ("script", "shown", "code"),
    [
        (Script(status=400), "", "llm_refused"),
        (Script(tokens=["a", "b", "c"], cut_after=1, cut="reset"), "a", "llm_cut"),
        (Script(tokens=["a", "b"], finish_reason=None), "ab", "llm_cut"),
        (Script(html=True), "", "llm_malformed"),
    ],
)
async def test_a_model_that_fails_is_said_to(
    fake_model: FakeModelServer, script: Script, shown: str, code: str
) -> None:
    fake_model.default = script
    version = PersonaVersion(system_prompt="Be.", model="fake/x", context_budget=500)
    events = await collect(stream_reply(version, turns("Hello")))
    assert "".join(event.get("text", "") for event in events) == shown
    assert events[-1]["error"]["code"] == code
    assert not any("html" in event for event in events)


async def test_leaving_the_page_ends_the_models_stream(fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["a", "b"], gate=gate))
    stream = stream_reply(PersonaVersion(system_prompt="Be.", model="fake/x", context_budget=500), turns("Hello"))
    gate.release(1)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(fake_model.wait_disconnected)


# --- With the FAQ -----------------------------------------------------------------------------------------------------
PIN, ANSWER = "How do I reset the PIN of my card?", "In the app, under *Cards*."


def knowing(mode: str) -> tuple[PersonaVersion, User]:
    make_faq(PIN, ANSWER)
    make_faq("What does a transfer cost?", "Nothing at all.")
    make_index()
    return make_draft(faq_mode=mode, model="", context_budget=2000), make_admin()


@pytest.mark.django_db(transaction=True)
async def test_the_side_chat_answers_from_the_faq_as_the_draft_says(fake_model: FakeModelServer) -> None:
    version, admin = await run_db(knowing, "context")
    fake_model.enqueue(Script(tokens=["See there [1]."]))
    events = await collect(stream_reply(version, turns(PIN), admin))
    assert events[-1]["sources"] == [{"number": 1, "question": PIN}]
    assert ANSWER in str(fake_model.requests[0].messages[0]["content"])
    events = await collect(stream_reply(version, turns("Which volcano on Iceland erupted?"), admin))
    assert events[0]["text"].startswith("I do not know")
    assert (events[-1]["model"], events[-1]["sources"]) == ("", [])
    assert len(fake_model.requests) == 1


@pytest.mark.django_db(transaction=True)
async def test_the_side_chat_gives_a_sure_answer_as_it_stands(fake_model: FakeModelServer) -> None:
    version, admin = await run_db(knowing, "direct")
    events = await collect(stream_reply(version, turns(PIN), admin))
    assert events[0] == {"text": ANSWER}
    assert events[-1]["sources"] == [{"number": 1, "question": PIN}]
    assert not fake_model.requests


# --- The admin's view ------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
async def test_the_draft_answers_over_http_and_nothing_is_stored(fake_model: FakeModelServer) -> None:
    persona, admin = await run_db(_draft_and_admin)
    browser = AsyncClient()
    await browser.aforce_login(admin)
    before = await run_db(_row_counts)
    fake_model.enqueue(Script(tokens=["one ", "two"]))
    answer = await browser.post(reply_url(persona), asked("Hello", "Hi!", "More"), content_type="application/json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert "no-store" in answer.headers["Cache-Control"]
    events = [json.loads(line) for line in b"".join([part async for part in answer.streaming_content]).splitlines()]
    assert "".join(event.get("text", "") for event in events) == "one two"
    assert events[-1]["html"] == "<p>one two</p>\n"
    assert [message["content"] for message in fake_model.requests[0].messages] == ["The draft.", "Hello", "Hi!", "More"]
    assert await run_db(_row_counts) == before
    await sync_to_async(connections.close_all)()  # the view's thread outlives this test, its connection must not


def _draft_and_admin() -> tuple[Persona, User]:
    persona = make_persona(system_prompt="Published.")
    services.edit_draft(persona=persona, actor=None, system_prompt="The draft.")
    return persona, make_admin()


def _row_counts() -> dict[str, int]:
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


@pytest.mark.django_db
def test_turns_that_make_no_sense_get_an_answer_in_the_usual_shape(as_admin: Client) -> None:
    answer = as_admin.post(reply_url(make_persona()), {"messages": []}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.django_db
def test_the_page_offers_the_drafts_suggestions_and_escapes_them(as_admin: Client) -> None:
    persona = make_draft(suggestions=["<img src=x onerror=alert(1)>"], name="<b>N</b>").persona
    page = as_admin.get(reverse("admin:personas_persona_side_chat", args=[persona.pk])).content.decode()
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page
    assert "<b>N</b>" not in page


@pytest.mark.django_db(transaction=True)
async def test_a_draft_is_tried_with_placeholders_and_shows_the_values(fake_model: FakeModelServer) -> None:
    draft = await run_db(lambda: make_draft(personal_data="always"))
    fake_model.enqueue(Script(tokens=["Hello [E-M", "AIL 1]", " and [E-MAIL"]))
    lines = await collect(stream_reply(draft, turns("I am bob@example.org")))
    shown = "Hello bob@example.org and [E-MAIL"
    assert "".join(line["text"] for line in lines if "text" in line) == shown
    assert "bob@example.org" in lines[-1]["html"]
    system, question = fake_model.requests[-1].messages
    assert question["content"] == "I am [E-MAIL 1]"
    assert system["content"].startswith(f"{draft.system_prompt}\n\nPersonal data was taken out")
