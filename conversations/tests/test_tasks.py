"""What happens after a reply, in Celery: titles, summaries, and the purge; each may run twice."""

from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.retention import sweeps
from chatbot_project.lib.llm import guarded
from chatbot_project.lib.llm.providers import Provider
from conversations import keeping, tasks
from conversations.models import Conversation, Message
from conversations.replies import background
from conversations.replies.queue import Ending
from conversations.replies.work import claim_of, load_work
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .factories import ask, make_conversation, make_exchange, make_persona

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def models(settings: Any, fake_model: FakeModelServer) -> None:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "test")}
    settings.TITLE_MODEL = settings.DEFAULT_MODEL = "fake/echo"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the person's tabs are told."""
    heard: list[Any] = []
    monkeypatch.setattr(tasks.doorbell, "tell_user", lambda user_id, event: heard.append((user_id, event)))
    return heard


@pytest.mark.parametrize(
    ("said", "title"),
    [('"Garden plans."', "Garden plans"), ("  «Grüße»\nmore ", "Grüße» more"), ("x" * 500, "x" * 59 + "…")],
)
def test_a_model_writes_the_title_and_the_tabs_are_told(
    owner: User, persona: Persona, fake_model: FakeModelServer, told: list[Any], said: str, title: str
) -> None:
    made = make_exchange(owner, "What shall I plant?", "Beans.").conversation
    fake_model.enqueue(Script(tokens=[said]))
    tasks.make_title(str(made.pk))
    made.refresh_from_db()
    assert (made.title, made.title_source, made.revision) == (title, "model", 2)
    assert [(user, event.conversation.title) for user, event in told] == [(owner.pk, title)]
    asked = fake_model.requests[-1].messages[-1]["content"]
    assert "What shall I plant?" in asked
    assert "Beans." in asked
    tasks.make_title(str(made.pk))
    assert len(fake_model.requests) == 1, "a title that a model wrote is not written again"


def test_a_title_of_the_persons_own_stays_even_one_given_meanwhile(
    owner: User, persona: Persona, fake_model: FakeModelServer, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_exchange(owner).conversation
    complete = tasks._complete

    def renamed_meanwhile(*arguments: Any) -> str:
        keeping.change_conversation(user=owner, conversation_id=made.pk, title="Mine")
        return complete(*arguments)

    monkeypatch.setattr(tasks, "_complete", renamed_meanwhile)
    tasks.make_title(str(made.pk))
    made.refresh_from_db()
    assert (made.title, made.title_source) == ("Mine", "person")
    monkeypatch.setattr(tasks, "_complete", pytest.fail)
    tasks.make_title(str(made.pk))


@pytest.mark.parametrize("script", [Script(status=400), Script(tokens=[" \n"]), Script(html=True)])
def test_where_the_model_fails_the_title_stays(
    owner: User, persona: Persona, fake_model: FakeModelServer, told: list[Any], script: Script
) -> None:
    made = make_exchange(owner, "First words").conversation
    fake_model.default = script
    tasks.make_title(str(made.pk))
    made.refresh_from_db()
    assert (made.title, made.title_source, made.revision) == ("First words", "question", 1)
    assert told == []


def test_a_model_that_hangs_is_waited_for_only_so_long(
    owner: User,
    persona: Persona,
    fake_model: FakeModelServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = make_exchange(owner, "First words").conversation
    monkeypatch.setattr(tasks, "TITLE_SECONDS", 0.05)
    monkeypatch.setattr(guarded, "_timed_out", {})
    fake_model.default = Script(first_ms=60_000)
    tasks.make_title(str(made.pk))
    (told,) = [each.getMessage() for each in caplog.records if "title.not_made" in each.getMessage()]
    assert "llm_timeout" in told
    assert guarded.timed_out_lately("fake/echo", 0.05)
    assert not guarded.timed_out_lately("fake/echo", tasks.SUMMARY_SECONDS), "who waits for longer may get an answer"
    made.refresh_from_db()
    assert made.title == "First words"


def test_a_title_waits_for_a_worker_for_an_hour_at_most() -> None:
    assert tasks.make_title.expires <= 3600


def test_while_a_model_hangs_titles_and_summaries_are_left_out(
    long_talk: Conversation, fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.SUMMARY_MODEL, at = "fake/summary", monotonic()
    hung = {("fake/echo", tasks.TITLE_SECONDS): at, ("fake/summary", tasks.SUMMARY_SECONDS): at}
    monkeypatch.setattr(guarded, "_timed_out", hung)
    tasks.make_title(str(long_talk.pk))
    tasks.summarise_conversation(str(newest_reply(long_talk).pk))
    assert not fake_model.requests
    monkeypatch.setattr(guarded, "LATELY_SECONDS", 0)
    tasks.make_title(str(long_talk.pk))
    tasks.summarise_conversation(str(newest_reply(long_talk).pk))
    assert len(fake_model.requests) == 2, "after a minute they are asked for again"


def test_without_a_title_model_or_for_a_conversation_that_is_gone_nothing_is_asked(
    owner: User, persona: Persona, fake_model: FakeModelServer, settings: Any
) -> None:
    made = make_exchange(owner).conversation
    tasks.make_title(str(owner.pk))
    keeping.delete_conversation(user=owner, conversation_id=made.pk)
    tasks.make_title(str(made.pk))
    keeping.restore_conversation(user=owner, conversation_id=made.pk)
    settings.TITLE_MODEL = ""
    tasks.make_title(str(made.pk))
    assert not fake_model.requests


@pytest.fixture
def long_talk(owner: User) -> Conversation:
    """Five exchanges, of which only the newest fit the persona's budget."""
    persona = make_persona(context_budget=256)
    first = make_exchange(owner, "My name is Ada. " + "a" * 200, "Hello Ada. " + "b" * 200, persona=persona)
    for number in range(4):
        make_exchange(owner, f"Q{number} " + "c" * 200, "d" * 200, conversation_id=first.conversation.pk)
    return Conversation.objects.get()


def newest_reply(conversation: Conversation) -> Message:
    return Message.objects.get(pk=conversation.active_leaf_id)


def test_a_summary_covers_what_no_longer_fits_and_goes_on_from_the_last_one(
    long_talk: Conversation, owner: User, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=["She is Ada."]), Script(tokens=["Ada, who asked more."]))
    tasks.summarise_conversation(str(newest_reply(long_talk).pk))
    long_talk.refresh_from_db()
    assert long_talk.summary == "She is Ada."
    covered = Message.objects.filter(pk__lte=long_talk.summary_upto_id).count()
    assert 1 < covered < 10
    asked = fake_model.requests[-1].messages[-1]["content"]
    assert "My name is Ada." in asked
    assert "Q3" not in asked
    tasks.summarise_conversation(str(newest_reply(long_talk).pk))
    assert len(fake_model.requests) == 1, "twice is once"
    make_exchange(owner, "And now? " + "e" * 200, "f" * 200, conversation_id=long_talk.pk)
    long_talk.refresh_from_db()
    tasks.summarise_conversation(str(newest_reply(long_talk).pk))
    long_talk.refresh_from_db()
    assert long_talk.summary == "Ada, who asked more."
    assert "Summary so far: She is Ada." in fake_model.requests[-1].messages[-1]["content"]
    assert Message.objects.filter(pk__lte=long_talk.summary_upto_id).count() > covered


def test_where_approved_answers_take_their_share_more_is_summarised(owner: User, fake_model: FakeModelServer) -> None:
    """What fits beside no sources would fall out of a prompt that has some, and nothing would stand for it."""
    covered = {}
    for mode in ("off", "context"):
        persona = make_persona(context_budget=1200, faq_mode=mode)
        first = make_exchange(owner, "Q " + "a" * 400, "b" * 400, persona=persona)
        for _ in range(6):
            make_exchange(owner, "Q " + "c" * 400, "d" * 400, conversation_id=first.conversation.pk)
        talk = Conversation.objects.get(pk=first.conversation.pk)
        fake_model.enqueue(Script(tokens=["Letters."]))
        tasks.summarise_conversation(str(newest_reply(talk).pk))
        talk.refresh_from_db()
        covered[mode] = Message.objects.filter(conversation=talk, pk__lte=talk.summary_upto_id).count()
    assert 0 < covered["off"] < covered["context"] < 13


def test_where_the_model_fails_the_old_summary_stays(long_talk: Conversation, fake_model: FakeModelServer) -> None:
    fake_model.default = Script(status=400)
    tasks.summarise_conversation(str(newest_reply(long_talk).pk))
    long_talk.refresh_from_db()
    assert (long_talk.summary, long_talk.summary_upto_id) == ("", None)


def test_a_slower_run_does_not_undo_a_newer_summary(
    long_talk: Conversation, fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = newest_reply(long_talk)

    def overtaken(*_arguments: Any) -> str:
        Conversation.objects.update(summary="newer", summary_upto=reply)
        return "older"

    monkeypatch.setattr(tasks, "_complete", overtaken)
    tasks.summarise_conversation(str(reply.pk))
    long_talk.refresh_from_db()
    assert long_talk.summary == "newer"


def test_a_short_talk_or_one_that_is_gone_needs_no_summary(
    owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    tasks.summarise_conversation(str(make_exchange(owner).reply.pk))
    tasks.summarise_conversation(str(owner.pk))
    assert not fake_model.requests


def test_after_a_reply_only_what_is_due_is_queued(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    queued: list[str] = []
    for task in (tasks.make_title, tasks.summarise_conversation):
        monkeypatch.setattr(task, "apply_async", lambda _arguments, name=task.name, **_options: queued.append(name))
    first, done = ask(owner).reply, Ending("completed", "x")
    work = load_work([claim_of(first)])[first.pk]
    background.after_reply(work, Ending("stopped", "x"), 0)
    assert queued == []
    background.after_reply(work, done, background.SUMMARISE_FROM)
    assert [name.rpartition(".")[2] for name in queued] == ["make_title", "summarise_conversation"]
    settings.TITLE_MODEL = ""
    background.after_reply(work, done, 0)
    assert len(queued) == 2


def test_what_was_asked_in_passing_gets_neither_title_nor_summary(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in (tasks.make_title, tasks.summarise_conversation):
        monkeypatch.setattr(task, "apply_async", lambda *_arguments, **_options: pytest.fail("queued"))
    Conversation.objects.filter(pk=ask(owner).conversation.pk).update(expires_at=timezone.now())
    reply = Message.objects.select_related("conversation").get(role="assistant")
    work = load_work([claim_of(reply)])[reply.pk]
    done = Ending("completed", "x")
    assert not background.is_due(work, done, background.SUMMARISE_FROM)
    background.after_reply(work, done, background.SUMMARISE_FROM)


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {key: replace(sweep, batch=2) for key, sweep in sweeps._sweeps.items()}
    monkeypatch.setattr(sweeps, "_sweeps", small)


def test_the_purge_removes_what_was_deleted_a_day_ago_and_nothing_else(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch)
    old = [make_conversation(owner, turns=2) for _ in range(3)]
    fresh, kept = make_conversation(owner), make_conversation(owner)
    keeping.delete_conversation(user=owner, conversation_id=fresh.pk)
    for conversation in old:
        keeping.delete_conversation(user=owner, conversation_id=conversation.pk)
    past = timezone.now() - timedelta(days=1, seconds=1)
    Conversation.objects.filter(pk__in=[c.pk for c in old]).update(deleted_at=past)
    monkeypatch.setattr(tasks, "PURGING_SECONDS", -1)
    tasks.purge_deleted_conversations()
    assert Conversation.objects.count() == 5, "no time"
    monkeypatch.setattr(tasks, "PURGING_SECONDS", 60)
    for _twice in range(2):
        tasks.purge_deleted_conversations()
        assert set(Conversation.objects.values_list("pk", flat=True)) == {fresh.pk, kept.pk}
        assert Message.objects.count() == 4


def test_the_purge_removes_all_that_was_asked_in_passing_and_has_expired(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch)
    expired = [make_conversation(owner) for _ in range(5)]
    passing, kept = make_conversation(owner), make_conversation(owner)
    now = timezone.now()
    Conversation.objects.filter(pk__in=[c.pk for c in expired]).update(expires_at=now - timedelta(seconds=1))
    Conversation.objects.filter(pk=passing.pk).update(expires_at=now + timedelta(hours=1))
    tasks.purge_deleted_conversations()
    assert set(Conversation.objects.values_list("pk", flat=True)) == {passing.pk, kept.pk}
