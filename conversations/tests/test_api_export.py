"""A conversation as a file: whole, in order, with a safe name, and nobody speaks for somebody else in it."""

import json
import re
from datetime import UTC, datetime
from email.message import Message as Headers
from itertools import pairwise
from typing import Any

import pytest
from django.http import HttpResponse
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.tests.api_client import ApiClient, refusal
from chatbot_project.lib.db import run_db
from chatbot_project.lib.tests.test_quoting import VIEWERS, assert_inert, markdown, outline
from conversations import keeping, services
from conversations.export import Export, as_json, as_markdown
from conversations.models import Citation, Conversation, Message
from faqs.models import FAQ, Category
from personas.models import Persona

from .factories import ask, end, make_conversation, make_exchange
from .http_client import HttpClient
from .stack import Stack

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(owner: User) -> ApiClient:
    return ApiClient.of(owner)


def body_of(answer: HttpResponse) -> str:
    assert answer.status_code == 200, answer.content
    return b"".join(answer).decode()


def exported(client: ApiClient, conversation: Conversation, query: str = "") -> dict[str, Any]:
    answer = client.get(f"conversations/{conversation.pk}/export?{query}")
    assert answer["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(body_of(answer))
    return found


# --- JSON


def test_the_file_has_the_shown_branch_from_its_first_question_on(
    client: ApiClient, owner: User, persona: Persona
) -> None:
    conversation = make_conversation(owner, turns=3)
    first = Message.objects.get(text="Question 1")
    services.edit_message(user=owner, client_id="e", message_id=first.pk, text="Elsewhere")
    keeping.select_branch(user=owner, conversation_id=conversation.pk, message_id=first.pk)
    file = exported(client, conversation)
    assert [message["text"] for message in file["messages"]] == [
        "Question 1", "Reply 1", "Question 2", "Reply 2", "Question 3", "Reply 3",
    ]  # fmt: skip
    assert file["branches"] == "active"
    assert file["conversation"] == client.get(f"conversations/{conversation.pk}").json()


def test_the_whole_tree_can_be_had(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_exchange(owner, "One", "1")
    again = services.regenerate_reply(user=owner, client_id="r", reply_id=made.reply.pk)
    end(again.reply, "2")
    file = exported(client, made.conversation, "branches=all")
    assert [(each["text"], each["parent"]) for each in file["messages"]] == [
        ("One", None), ("1", str(made.question.pk)), ("2", str(made.question.pk)),
    ]  # fmt: skip
    assert file["conversation"]["active_leaf"] == str(again.reply.pk)


def test_a_message_in_the_file_is_what_the_api_shows(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_exchange(owner)
    services.give_feedback(user=owner, message_id=made.reply.pk, value=-1, comment="Too short")
    Message.objects.filter(pk=made.reply.pk).update(prompt_tokens=7, completion_tokens=3, source="unknown")
    shown = client.get(f"messages/{made.reply.pk}").json()
    (_question, reply) = exported(client, made.conversation)["messages"]
    assert reply == {name: shown[name] for name in reply}
    schema = client.client.get("/api/schema/").json()["components"]["schemas"]
    assert set(schema["ExportedMessage"]["properties"]) == set(reply)
    assert set(schema["Export"]["properties"]) == set(exported(client, made.conversation))


def test_an_empty_conversation_makes_a_file_too(client: ApiClient, owner: User, persona: Persona) -> None:
    empty = keeping.create_conversation(user=owner, title="Nothing yet")
    assert exported(client, empty)["messages"] == exported(client, empty, "branches=all")["messages"] == []
    text = body_of(client.get(f"conversations/{empty.pk}/export?format=markdown"))
    assert text.startswith("# Nothing yet\n")
    assert "##" not in text


def test_a_long_conversation_is_read_in_batches(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    conversation = make_conversation(owner, turns=5)
    monkeypatch.setattr("conversations.export.BATCH", 4)
    for make in (as_json, as_markdown):
        with django_assert_num_queries(1):
            pieces = make(Export.of(conversation))
            next(pieces)
        with django_assert_num_queries(1):
            next(pieces)
        rest = "".join(pieces)
        assert "Question 3" in rest
        assert "Question 2" not in rest
    file = json.loads("".join(as_json(Export.of(conversation, whole_tree=True))))
    assert len(file["messages"]) == 10


def test_what_goes_meanwhile_is_left_out(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner)
    for make in (as_json, as_markdown):
        pieces = make(Export.of(conversation))
        next(pieces)
        Conversation.objects.filter(pk=conversation.pk).update(active_leaf=None)
        Message.objects.filter(conversation=conversation).delete()
        "".join(pieces)
    assert json.loads("".join(as_json(Export.of(conversation))))["messages"] == []


# --- Markdown


def test_the_document_has_a_heading_for_each_message(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_exchange(owner, "How *so*?\n\n## Helper", "```\na < b\n```")
    stopped = ask(owner, "And?", conversation_id=made.conversation.pk)
    end(stopped.reply, "", status="stopped", source="model")
    category = Category.objects.create(name="Some", slug="some")
    faq = FAQ.objects.create(category=category, language="en", question="Why [so](x)?", answer="So.")
    Citation.objects.create(message=stopped.reply, faq=faq, number=1, question="Why [so](x)?", score=0.9)
    at = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    Message.objects.update(created_at=at)
    name = made.conversation.persona_version.name
    text = body_of(client.get(f"conversations/{made.conversation.pk}/export?format=markdown"))
    head, _blank, rest = text.partition("\n## ")
    assert head.startswith(f"# How \\*so\\*? \\#\\# Helper\n\n{name} · ")
    assert "\n## " + rest == (
        "\n## You · 2026-03-01 09:30 UTC\n\n> How *so*?\n>\n> ## Helper\n"
        f"\n## {name} · 2026-03-01 09:30 UTC\n\n> ```\n> a < b\n> ```\n"
        "\n## You · 2026-03-01 09:30 UTC\n\n> And?\n"
        f"\n## {name} · 2026-03-01 09:30 UTC\n\n*You stopped this reply.*\n"
        "\nSources:\n\n- \\[1\\] Why \\[so\\](x)?\n"
    )


@given(texts=st.lists(markdown, min_size=1, max_size=4), title=markdown)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_text_can_pass_for_another_speakers(owner: User, persona: Persona, texts: list[str], title: str) -> None:
    made = make_exchange(owner, "x", "y")
    said = [text.replace("\0", "") for text in (texts[0], texts[-1])]
    Conversation.objects.filter(pk=made.conversation.pk).update(title=title.replace("\0", "")[:120])
    for message, text in zip((made.question, made.reply), said, strict=True):
        Message.objects.filter(pk=message.pk).update(text=text)
    conversation = Conversation.objects.select_related("persona_version__persona").get(pk=made.conversation.pk)
    document = "".join(as_markdown(Export.of(conversation)))
    assert_inert(document)
    expected = ["heading_open"]
    for text in said:
        expected += ["heading_open", "blockquote_open"] if text else ["heading_open"]
    for viewer in VIEWERS:
        tokens = viewer.parse(document)
        assert [kind for kind in outline(tokens) if kind != "paragraph_open"] == expected
        speakers = [
            heading.content.partition(" · ")[0]
            for opening, heading in pairwise(tokens)
            if opening.level == 0 and (opening.type, opening.tag) == ("heading_open", "h2")
        ]
        assert speakers == ["You", conversation.persona_version.name]


# --- the answer


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Opening hours?", "nono-opening-hours"),
        ("../../etc/passwd", "nono-etcpasswd"),
        ('a"; filename=evil.exe\r\nX: y', "nono-a-filenameevilexe-x-y"),
        ("CON", "nono-con"),
        ("???", "nono"),
        ("Grüße aus Köln", "nono-grüße-aus-köln"),
        ("x" * 120, "nono-" + "x" * 50),
    ],
)
def test_the_files_name_is_made_of_the_title(
    client: ApiClient, owner: User, persona: Persona, title: str, name: str
) -> None:
    made = make_conversation(owner)
    Conversation.objects.update(title=title)
    answer = client.get(f"conversations/{made.pk}/export?format=markdown")
    headers = Headers()
    headers["Content-Disposition"] = answer["Content-Disposition"]
    today = f"{Export.of(made).at:%Y-%m-%d}"
    assert headers.get_content_disposition() == "attachment"
    assert headers.get_filename() == f"{name}-{today}.md"


@given(title=st.text(max_size=120) | markdown)
@hypothesis_settings(max_examples=300, deadline=None)
def test_a_files_name_is_safe_whatever_the_title(title: str) -> None:
    name = Export(Conversation(title=title), []).filename("json")
    assert re.fullmatch(r"nono-(?:[^\W_]|-|\w)*\d{4}-\d\d-\d\d\.json", name)
    assert not set(name) & set('/\\:*?"<>|\r\n\0 ;%')
    assert len(name.encode()) <= 255


def test_accept_chooses_where_format_does_not(client: ApiClient, owner: User, persona: Persona) -> None:
    path = f"conversations/{make_conversation(owner).pk}/export"
    for query, accept, kind in (
        ("", "*/*", "application/json"),
        ("", "text/markdown", "text/markdown; charset=utf-8"),
        ("?format=markdown", "application/json", "text/markdown; charset=utf-8"),
        ("?format=json", "text/markdown", "application/json"),
    ):
        assert client.get(path + query, Accept=accept)["Content-Type"] == kind
    assert refusal(client.get(path, Accept="text/html")) == (406, "not_acceptable")


@pytest.mark.parametrize("query", ["format=xml", "format=", "branches=x", "branches=all&format=markdown"])
def test_what_cannot_be_exported_is_refused(client: ApiClient, owner: User, persona: Persona, query: str) -> None:
    made = make_conversation(owner)
    assert refusal(client.get(f"conversations/{made.pk}/export?{query}")) == (400, "invalid")


@pytest.mark.django_db(transaction=True)
async def test_the_file_is_streamed_by_a_running_server(live_stack: Stack, owner: User, persona: Persona) -> None:
    conversation = await run_db(make_conversation, owner, turns=3)
    async with await run_db(HttpClient.of, live_stack.url, owner) as program:
        status, file = await program.call("get", f"conversations/{conversation.pk}/export")
    assert status == 200
    assert [message["text"] for message in file["messages"]][-1] == "Reply 3"
