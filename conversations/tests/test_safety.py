"""Moderation of what people ask and models say: through real processes, on every surface."""

from typing import Any
from uuid import UUID

import openai
import pytest
from django.test import Client

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_moderator
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations import doorbell, services
from conversations.models import Message, ModerationItem, ModerationRule
from conversations.safety.findings import (
    Finding,
    appeal_item,
    decide_item,
    forget_rules,
    kept_rules,
    read_rules,
    record_finding,
)
from conversations.safety.rules import RuleSet
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .factories import ask, end
from .http_client import HttpClient
from .openai_client import asked, async_client, make_key
from .stack import Stack

QUEUE, RULES = "/admin/conversations/moderationitem/", "/admin/conversations/moderationrule/"


def make_rule(phrase: str, action: str = "block", **fields: Any) -> ModerationRule:
    return ModerationRule.objects.create(phrase=phrase, action=action, category="violence", **fields)


@pytest.fixture
async def tab(live_stack: Stack, owner: User) -> Any:
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as client:
        yield client


@pytest.fixture(autouse=True)
def _no_rules_are_left() -> Any:
    forget_rules()
    yield
    forget_rules()


async def in_force(*rules: tuple[str, str]) -> None:
    """Rules of which the worker has heard."""
    for phrase, action in rules:
        await run_db(make_rule, phrase, action)
    await run_db(doorbell.tell_rules_changed)


async def ending_of(tab: ChatClient, accepted: dict[str, Any]) -> dict[str, Any]:
    await tab.ended(accepted["reply"]["id"])
    return next(e for e in reversed(tab.heard) if e.get("reply") == accepted["reply"]["id"] and "html" in e)


@pytest.mark.django_db(transaction=True)
async def test_a_blocked_question_is_stored_and_no_model_sees_it(
    tab: ChatClient, persona: Persona, fake_model: FakeModelServer
) -> None:
    await in_force(("quokka trap", "block"))
    accepted = await tab.ask("How do I set a quоkka tr4p?", persona=persona.slug)
    ending = await ending_of(tab, accepted)
    assert (ending["type"], ending["code"], ending["text"]) == ("reply.failed", "content_blocked", "")
    assert not fake_model.requests
    item = await run_db(ModerationItem.objects.select_related("message").get)
    assert (item.message.text, item.action, item.state) == ("How do I set a quоkka tr4p?", "block", "open")
    snapshot = await tab.follow(ending["conversation"])
    assert snapshot["messages"][1]["code"] == "content_blocked"
    again = await tab.ask("And a beach?", conversation=ending["conversation"])
    assert (await ending_of(tab, again))["type"] == "reply.completed", "the conversation goes on"


@pytest.mark.django_db(transaction=True)
async def test_a_reply_is_broken_off_before_a_phrase_that_comes_in_pieces(
    tab: ChatClient, persona: Persona, fake_model: FakeModelServer
) -> None:
    await in_force(("quokka trap", "block"))
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["First ", "set a qu", "okka", " tr", "ap ", "and wait."], gate=gate))
    accepted = await tab.ask("Tell me", persona=persona.slug)
    reply = accepted["reply"]["id"]
    gate.release(4)
    await tab.until(lambda: reply in tab.replies and tab.replies[reply].text == "First set a quokka ", "what is shown")
    gate.release()
    ending = await ending_of(tab, accepted)
    assert (ending["type"], ending["code"]) == ("reply.interrupted", "content_blocked")
    assert ending["finish_reason"] == "content_filter"
    assert ending["text"] == "First set a quokka "
    assert tab.replies[reply].streamed == "First set a quokka "
    item = await run_db(ModerationItem.objects.select_related("message").get)
    assert (str(item.message_id), item.message.role) == (ending["reply"], "assistant")
    stored = await run_db(Message.objects.get, pk=UUID(ending["reply"]))
    assert stored.text == ending["text"]

    def continued() -> Any:
        return services.continue_reply(user=stored.owner, reply_id=stored.pk, client_id="c")

    with pytest.raises(ApplicationError) as refusal:
        await run_db(continued)
    assert refusal.value.code == "not_continuable"


@pytest.mark.django_db(transaction=True)
async def test_somebody_in_distress_is_told_where_to_find_help_in_their_language(
    tab: ChatClient, persona: Persona, fake_model: FakeModelServer
) -> None:
    await in_force(("nicht mehr leben", "crisis"))
    ending = await ending_of(tab, await tab.ask("Ich will einfach nicht mehr leben.", persona=persona.slug))
    assert ending["type"] == "reply.completed"
    assert "112" in ending["text"]
    assert "Notruf" in ending["text"]
    assert "findahelpline.com" in ending["html"]
    assert not fake_model.requests
    assert (await run_db(ModerationItem.objects.get)).action == "crisis"


@pytest.mark.django_db(transaction=True)
async def test_what_is_flagged_goes_on_and_its_person_is_not_told(
    tab: ChatClient, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    await in_force(("quokka", "flag"))
    fake_model.enqueue(Script(tokens=["A quo", "kka lives on Rottnest."]))
    ending = await ending_of(tab, await tab.ask("What is a quokka?", persona=persona.slug))
    assert (ending["type"], ending["text"]) == ("reply.completed", "A quokka lives on Rottnest.")
    assert await run_db(ModerationItem.objects.count) == 2, "the question and the reply"
    assert await run_db(ModerationItem.objects.visible_to(owner).count) == 0


@pytest.mark.django_db(transaction=True)
async def test_the_api_carries_the_code_as_json_and_as_events(live_stack: Stack, owner: User, persona: Persona) -> None:
    await in_force(("quokka trap", "block"))
    body = {"text": "A quokka trap", "persona": persona.slug}
    async with await run_db(HttpClient.of, live_stack.url, owner) as program:
        _status, answer = await program.call("post", "chat/send", body)
        assert (answer["reply"]["status"], answer["reply"]["code"]) == ("failed", "content_blocked")
        async with program.stream("post", "chat/send", body) as stream:
            events = await stream.rest()
    assert (events[-1].name, events[-1].data["code"]) == ("reply.failed", "content_blocked")


async def streamed(client: openai.AsyncOpenAI, arguments: dict[str, Any]) -> str:
    chunks = await client.chat.completions.create(**arguments, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


@pytest.mark.django_db(transaction=True)
async def test_a_program_is_told_by_openais_protocol(
    live_stack: Stack, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    await in_force(("quokka trap", "block"))
    async with async_client(live_stack.url, await run_db(make_key, owner)) as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.chat.completions.create(**asked(persona, "A quokka trap"))
        assert refusal.value.code == "content_blocked"
        assert refusal.value.response.headers["X-Should-Retry"] == "false"
        fake_model.enqueue(Script(tokens=["One quokka ", "trap ", "is enough"]))
        with pytest.raises(openai.APIError) as broken:
            await streamed(client, asked(persona, "Hello?"))
        assert "content_blocked" in str(broken.value.body)


# --- what is noted, decided and objected to
@pytest.fixture
def question(owner: User, persona: Persona) -> Message:
    """A question that was blocked."""
    accepted = ask(owner, "quokka trap", persona=persona)
    end(accepted.reply, "", status="failed", error_code="content_blocked")
    record_finding(Finding(accepted.question.pk, make_rule("quokka trap").as_rule))
    return accepted.question


def client_of(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


@pytest.mark.django_db
def test_a_message_is_noted_once_and_a_stronger_action_takes_its_place(owner: User, persona: Persona) -> None:
    accepted = ask(owner, "x", persona=persona)
    flag, block = make_rule("a", "flag"), make_rule("b", "block")
    for rule in (flag, flag, block, flag):
        record_finding(Finding(accepted.question.pk, rule.as_rule))
    item = ModerationItem.objects.get()
    assert (item.action, item.rule) == ("block", block)
    decide_item(item=item, actor=make_moderator(), state="dismissed")
    record_finding(Finding(accepted.question.pk, make_rule("c", "crisis").as_rule))
    item.refresh_from_db()
    assert (item.action, item.state) == ("block", "dismissed")


@pytest.mark.django_db
def test_a_rule_or_message_that_is_gone_meanwhile_harms_nothing(owner: User, persona: Persona) -> None:
    accepted, rule = ask(owner, "x", persona=persona), make_rule("a")
    gone = rule.as_rule
    rule.delete()
    record_finding(Finding(accepted.question.pk, gone))
    assert ModerationItem.objects.get().rule is None
    record_finding(Finding(owner.pk, gone))
    assert ModerationItem.objects.count() == 1


@pytest.mark.django_db
def test_the_person_objects_once_and_a_moderator_decides_again(owner: User, question: Message) -> None:
    item = ModerationItem.objects.get()
    page = client_of(owner).get("/held-back/").content.decode()
    assert "A question of yours" in page
    assert "Why you object" in page
    assert client_of(owner).post(f"/held-back/{item.pk}/", {"text": "  "}).status_code == 302
    item.refresh_from_db()
    assert item.appealed_at is None
    assert client_of(owner).post(f"/held-back/{item.pk}/", {"text": "It is the name of a band"}).status_code == 302
    item.refresh_from_db()
    assert (item.appeal, item.state) == ("It is the name of a band", "open")
    assert "Why you object" not in client_of(owner).get("/held-back/").content.decode()
    with pytest.raises(ApplicationError) as refusal:
        appeal_item(user=owner, item_id=item.pk, text="Again")
    assert refusal.value.code == "not_offered"
    moderator = client_of(make_moderator())
    assert "It is the name of a band" in moderator.get(f"{QUEUE}{item.pk}/decide/").content.decode()
    sent = {"state": "dismissed", "note": "among us", "answer": "You are right, sorry."}
    assert moderator.post(f"{QUEUE}{item.pk}/decide/", sent).status_code == 302
    page = client_of(owner).get("/held-back/").content.decode()
    assert "You are right, sorry." in page
    assert "among us" not in page
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"moderation.appealed", "moderation.decided"} <= actions


@pytest.mark.django_db
def test_nobody_else_sees_or_objects(owner: User, other: User, question: Message) -> None:
    item = ModerationItem.objects.get()
    assert "A question of yours" not in client_of(other).get("/held-back/").content.decode()
    assert client_of(other).post(f"/held-back/{item.pk}/", {"text": "me"}).status_code == 404
    for url in ("/held-back/", f"/held-back/{item.pk}/"):
        assert client_of(None).post(url).status_code in (302, 405)
        assert client_of(None).get(url).status_code in (302, 405)
    with pytest.raises(NotFound):
        appeal_item(user=other, item_id=item.pk, text="me")
    with pytest.raises(ApplicationError) as refusal:
        decide_item(item=item, actor=owner, state="dismissed")
    assert refusal.value.code == "not_allowed"
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    assert strict.post(f"/held-back/{item.pk}/", {"text": "me"}).status_code == 403
    item.refresh_from_db()
    assert (item.state, item.appeal) == ("open", "")


@pytest.mark.django_db
def test_the_queue_shows_who_and_why_but_not_what_was_written(owner: User, question: Message) -> None:
    item = ModerationItem.objects.get()
    ModerationRule.objects.update(phrase="the rule")
    pages = (QUEUE, f"{QUEUE}{item.pk}/change/", f"{QUEUE}{item.pk}/decide/", f"{QUEUE}?state=open&appealed=yes")
    for stranger in (None, owner):
        assert [client_of(stranger).get(url).status_code for url in pages] == [302] * 4
    moderator = client_of(make_moderator())
    for url in pages[:3]:
        source = moderator.get(url).content.decode()
        assert "quokka" not in source, url
        assert str(question.conversation_id) in source, url
    assert moderator.get(pages[3]).status_code == 200
    assert moderator.post(f"{QUEUE}{item.pk}/delete/").status_code == 403
    assert moderator.get(f"{QUEUE}add/").status_code == 403


@pytest.mark.django_db
def test_rules_that_are_changed_while_they_are_read_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_rules()
    read_rules()
    assert kept_rules() is not None

    def changed_meanwhile(rules: Any) -> RuleSet:
        found = RuleSet(rules)
        forget_rules()
        return found

    monkeypatch.setattr("conversations.safety.findings.RuleSet", changed_meanwhile)
    read_rules()
    assert kept_rules() is None


@pytest.mark.django_db
def test_moderators_keep_the_rules_and_that_is_recorded(
    owner: User, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[None] = []
    monkeypatch.setattr("conversations.safety.admin.tell_rules_changed", lambda: told.append(None))
    sent = {"phrase": "quokka", "action": "block", "stage": "both", "category": "other", "enabled": "on", "note": ""}
    for stranger in (None, owner):
        assert client_of(stranger).post(f"{RULES}add/", sent).status_code == 302
    assert not ModerationRule.objects.exists()
    moderator = client_of(make_moderator())
    assert "Give at least one word" in moderator.post(f"{RULES}add/", sent | {"phrase": "?!"}).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert moderator.post(f"{RULES}add/", sent).status_code == 302
    rule = ModerationRule.objects.get()
    assert read_rules().strongest("a Quokka", "input") == rule.as_rule
    with django_capture_on_commit_callbacks(execute=True):
        moderator.post(f"{RULES}{rule.pk}/change/", {name: sent[name] for name in sent if name != "enabled"})
    assert read_rules().strongest("a Quokka", "input") is None
    with django_capture_on_commit_callbacks(execute=True):
        moderator.post(f"{RULES}{rule.pk}/delete/", {"post": "yes"})
    assert not ModerationRule.objects.exists()
    recorded = AuditEvent.objects.filter(action__startswith="moderation_rule.").values_list("action", flat=True)
    assert sorted(recorded) == ["moderation_rule.added", "moderation_rule.changed", "moderation_rule.removed"]
    assert len(told) == 3
