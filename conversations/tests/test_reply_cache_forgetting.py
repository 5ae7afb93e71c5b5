"""What is never given again: what was found wrong or removed, what its persona, the FAQ or a rule has changed for."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_admin, make_guest, make_moderator
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError
from conversations import doorbell, services
from conversations.models import CachedReply, Message, ModerationRule
from conversations.purging import purge
from conversations.replies.cache import entries
from conversations.replies.cache.emptying import empty_cache
from conversations.replies.queue import Ending
from conversations.tasks import purge_deleted_conversations
from faqs.services import edit_faq
from personas.models import Persona, PersonaVersion
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .endings import QUESTION, asked, begun
from .factories import ask, end, make_persona
from .knowledge_stack import make_knowing_persona, make_knowledge
from .stack import Stack

PIN = "How do I reset the PIN of my card?"
CACHE = "/admin/conversations/cachedreply/"


@pytest.fixture
async def tab(live_stack: Stack, owner: User) -> Any:
    async with ChatClient(live_stack.url, await run_db(session_key, owner)) as client:
        yield client


def publish_again(persona: Persona) -> None:
    assert persona.published is not None
    persona.published = PersonaVersion.objects.create(
        persona=persona, published_at=timezone.now(), number=2, **persona.published.content
    )
    persona.save()


@pytest.mark.django_db(transaction=True)
async def test_an_answer_from_the_faq_is_given_again_until_the_faq_changes(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    pin, _fee = await run_db(make_knowledge)
    await run_db(make_knowing_persona, cache_hours=24)
    fake_model.default = Script(tokens=["Choose ", "Reset ", "PIN ", "[1]."])
    first, again = await asked(tab, PIN), await asked(tab, PIN)
    assert again["cached_at"] is not None
    assert (again["source"], again["citations"]) == ("model", first["citations"])
    await run_db(edit_faq, faq=pin, actor=None, answer="Go to a branch with your passport.")
    assert (await asked(tab, PIN))["cached_at"] is None
    assert len(fake_model.requests) == 2


@pytest.mark.django_db(transaction=True)
async def test_a_guest_gets_no_answer_that_was_made_of_what_guests_may_not_read(
    tab: ChatClient, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    pin, _fee = await run_db(make_knowledge)
    await run_db(edit_faq, faq=pin, actor=None, visibility="users")
    await run_db(make_knowing_persona, cache_hours=24, visibility="users")
    await run_db(make_knowing_persona, cache_hours=24, slug="for-all")
    fake_model.default = Script(tokens=["Choose ", "Reset ", "PIN ", "[1]."])
    await asked(tab, PIN, persona="for-all")
    async with ChatClient(live_stack.url, await run_db(session_key, await run_db(make_guest))) as guest:
        assert (await asked(guest, PIN, persona="for-all"))["cached_at"] is None


@pytest.mark.django_db(transaction=True)
async def test_people_and_guests_share_what_guests_may_read(
    tab: ChatClient, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    await run_db(make_persona, cache_hours=24)
    await asked(tab)
    async with ChatClient(live_stack.url, await run_db(session_key, await run_db(make_guest))) as guest:
        assert (await asked(guest))["cached_at"] is not None


@pytest.mark.django_db(transaction=True)
async def test_a_version_that_is_published_later_begins_anew(tab: ChatClient, fake_model: FakeModelServer) -> None:
    persona = await run_db(make_persona, cache_hours=24)
    await asked(tab)
    await run_db(publish_again, persona)
    assert (await asked(tab))["cached_at"] is None
    assert len(fake_model.requests) == 2


@pytest.mark.django_db(transaction=True)
async def test_whoever_finds_a_copy_not_helpful_ends_it_for_all(tab: ChatClient, owner: User) -> None:
    await run_db(make_persona, cache_hours=24)
    await asked(tab)
    copy = await asked(tab)
    assert copy["cached_at"] is not None
    await run_db(services.give_feedback, user=owner, message_id=UUID(copy["reply"]), value=-1)
    assert (await asked(tab))["cached_at"] is None


@pytest.mark.django_db(transaction=True)
async def test_what_breaks_a_rule_that_was_made_later_is_given_to_nobody(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    await run_db(make_persona, cache_hours=24)
    fake_model.enqueue(Script(tokens=["A ", "quokka ", "trap."]))
    await asked(tab)
    await run_db(ModerationRule.objects.create, phrase="quokka trap", action="block", category="violence")
    await run_db(doorbell.tell_rules_changed)
    assert (await asked(tab))["cached_at"] is None
    kept = await run_db(CachedReply.objects.get)
    assert "quokka" not in kept.text


# --- The table alone
@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona(cache_hours=24)


def kept(owner: User, persona: Persona, key: str = "k" * 64) -> Message:
    """A reply that is kept under ``key``, as its worker leaves it."""
    question, reply = begun(owner, persona, key)
    assert entries.lead(question, reply.pk)
    end(reply, "A plant.", cache_key=key)
    assert entries.keep(question, reply.pk, Ending("completed", "A plant.", model="fake/echo", finish_reason="stop"))
    return reply


def texts() -> set[str]:
    return set(CachedReply.objects.values_list("text", flat=True))


@pytest.mark.django_db
def test_one_leads_until_its_worker_is_gone(owner: User, persona: Persona) -> None:
    question, first = begun(owner, persona, "k" * 64)
    _, second = begun(owner, persona, "k" * 64)
    assert entries.lead(question, first.pk)
    assert not entries.lead(question, second.pk)
    Message.objects.filter(pk=first.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    assert entries.look(question.key).leader is None
    assert entries.lead(question, second.pk)
    ending = Ending("completed", "A plant.", model="fake/echo", finish_reason="stop")
    assert not entries.keep(question, first.pk, ending), "whoever comes back late keeps nothing"


@pytest.mark.django_db
def test_what_is_removed_for_good_answers_nobody_any_more(owner: User, persona: Persona) -> None:
    reply = kept(owner, persona)
    copy = end(ask(owner, QUESTION, persona=persona).reply, cache_key=reply.cache_key, cached_at=timezone.now())
    purge([copy.conversation_id])
    assert texts() == {"A plant."}
    purge([reply.conversation_id])
    assert not texts()


@pytest.mark.django_db
def test_a_reply_that_is_past_or_too_much_is_pruned(owner: User, persona: Persona, settings: Any) -> None:
    settings.RESPONSE_CACHE_ENTRIES = 3
    for number in range(4):
        kept(owner, persona, f"{number:064}")
    past = timezone.now() - timedelta(hours=1)
    CachedReply.objects.filter(key=f"{3:064}").update(expires_at=past)
    CachedReply.objects.filter(key=f"{0:064}").update(answered_at=past)
    assert entries.look(f"{3:064}").entry is None
    purge_deleted_conversations()
    assert set(CachedReply.objects.values_list("key", flat=True)) == {f"{2:064}", f"{1:064}"}


@pytest.mark.django_db
def test_an_admin_empties_it_and_that_is_recorded(owner: User, persona: Persona, client: Client) -> None:
    kept(owner, persona)
    for stranger in (owner, make_moderator()):
        client.force_login(stranger)
        assert client.post(f"{CACHE}empty/").status_code in (302, 403)
        with pytest.raises(ApplicationError, match="may not"):
            empty_cache(actor=stranger)
    assert texts()
    client.force_login(make_admin())
    page = client.get(CACHE).content.decode()
    assert "fake/echo" in page
    assert "A plant." not in page
    assert client.get(f"{CACHE}empty/").status_code == 200
    assert texts(), "only looked at"
    assert client.post(f"{CACHE}empty/").status_code == 302
    assert not texts()
    assert AuditEvent.objects.get(action="response_cache.emptied").details == {"replies": 1, "persona": ""}


@pytest.mark.django_db
def test_the_command_empties_it_for_one_persona_or_all(owner: User, persona: Persona) -> None:
    kept(owner, persona)
    kept(owner, make_persona(cache_hours=1), "b" * 64)
    call_command("empty_response_cache", persona=persona.slug)
    assert list(CachedReply.objects.values_list("key", flat=True)) == ["b" * 64]
    call_command("empty_response_cache")
    assert not texts()
    with pytest.raises(CommandError, match="no persona"):
        call_command("empty_response_cache", persona="nobody")


@pytest.mark.django_db
def test_what_is_said_while_it_is_emptied_is_not_kept(owner: User, persona: Persona) -> None:
    question, reply = begun(owner, persona, "k" * 64)
    entries.lead(question, reply.pk)
    empty_cache(actor=None)
    assert not entries.keep(question, reply.pk, Ending("completed", "A plant.", model="fake/echo"))
