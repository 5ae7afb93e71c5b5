"""What conversations do when the processing of a person's data is paused: what is under way stops, nothing is begun."""

import pytest

from accounts import restriction
from accounts.models import User
from accounts.tests.factories import agree
from conversations import tasks
from conversations.models import Message
from conversations.replies import queue
from conversations.replies.queue import Ending
from faqs.models import GapQuestion
from personas.models import Persona

from .factories import ask, end, make_exchange

pytestmark = pytest.mark.django_db


def state(reply: Message) -> tuple[str, bool]:
    reply.refresh_from_db()
    return reply.status, reply.stop_requested


def test_what_waits_and_what_streams_is_stopped_and_others_go_on(
    owner: User, other: User, persona: Persona, django_capture_on_commit_callbacks
) -> None:
    waits, streams = ask(owner, persona=persona).reply, ask(owner, persona=persona).reply
    Message.objects.filter(pk=streams.pk).update(status="streaming")
    done, theirs = make_exchange(owner, persona=persona).reply, ask(other, persona=persona).reply
    with django_capture_on_commit_callbacks(execute=True):
        restriction.restrict(actor=owner, user=owner)
    assert state(waits) == ("stopped", False)
    assert state(streams) == ("streaming", True)
    assert state(done) == ("completed", False)
    assert state(theirs) == ("queued", False)


def test_what_a_process_that_died_left_waiting_is_taken_up_by_no_worker(
    owner: User, other: User, persona: Persona
) -> None:
    waits, theirs = ask(owner, persona=persona).reply, ask(other, persona=persona).reply
    restriction.restrict(actor=owner, user=owner)  # its transaction is open: nothing was stopped yet
    assert [each.reply for each in queue.claim("worker", {}, 5, 30)] == [theirs.pk]
    assert state(waits) == ("queued", False)


@pytest.mark.parametrize("how", ["handed over", "its lease ran out"])
def test_what_comes_back_into_the_queue_during_a_pause_is_stopped_with_its_text(
    how: str, owner: User, other: User, persona: Persona
) -> None:
    mine, theirs = ask(owner, persona=persona).reply, ask(other, persona=persona).reply
    queue.claim("worker", {}, 5, 0.0)
    restriction.restrict(actor=owner, user=owner)
    if how == "handed over":
        assert queue.hand_over(mine.pk, 1, Ending("queued", "Half"))
    else:
        assert queue.settle_orphan(queue.Orphan(mine.pk, mine.conversation_id, 1, ""), "") == "queued"
    assert queue.stop_paused() == [mine.pk]
    assert state(mine) == ("stopped", False)
    assert (mine.text, mine.finish_reason) == ("Half" if how == "handed over" else "", "stop_requested")
    assert state(theirs) == ("streaming", False)
    assert queue.depth().queued == 0


def test_no_title_or_summary_is_made_of_what_is_paused(owner: User, persona: Persona, settings, monkeypatch) -> None:
    settings.TITLE_MODEL = "fake/echo"
    asked = make_exchange(owner, persona=persona)
    monkeypatch.setattr(tasks, "_complete", lambda *args: pytest.fail("a model was asked"))
    monkeypatch.setattr(tasks, "load_work", lambda *args: pytest.fail("the conversation was read"))
    restriction.restrict(actor=owner, user=owner)
    tasks.make_title(str(asked.conversation.pk))
    tasks.summarise_conversation(str(asked.reply.pk))


@pytest.mark.parametrize("paused", [True, False])
def test_no_question_of_what_is_paused_reaches_the_editors(paused: bool, owner: User, persona: Persona) -> None:
    agree(owner)
    asked = make_exchange(owner, "Where is the dragon's cave?", persona=persona)
    end(asked.reply, source="unknown", finished_at=asked.reply.queued_at)
    if paused:
        restriction.restrict(actor=owner, user=owner)
    tasks.record_gap(str(asked.reply.pk), GapQuestion.Source.BELOW_FLOOR.value)
    tasks.record_missed_gaps()
    assert GapQuestion.objects.exists() is not paused
