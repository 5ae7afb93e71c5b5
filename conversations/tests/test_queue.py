"""The database as the queue: fair, never twice the same reply, and no word from whoever was overtaken."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import make_user
from conversations.models import Conversation, Message
from conversations.replies import queue
from conversations.replies.queue import Checkpoint, Ending
from conversations.replies.work import claim_of, load_work, take_up
from personas.models import Persona

from .factories import ask, end, make_exchange, make_persona

pytestmark = pytest.mark.django_db
LEASE = 8.0


def claim(count: int, worker: str = "w") -> list[queue.Claim]:
    return queue.claim(worker, {"fake": count}, 0, LEASE)


def row(reply: UUID) -> Message:
    return Message.objects.get(pk=reply)


def test_a_claim_starts_the_reply_under_a_new_epoch_and_a_lease(owner: User, persona: Persona) -> None:
    accepted = ask(owner)
    (claimed,) = claim(5, "me")
    stored = row(accepted.reply.pk)
    assert (claimed.reply, claimed.epoch, claimed.text) == (stored.pk, 1, "")
    assert (stored.status, stored.epoch, stored.worker) == ("streaming", 1, "me")
    assert stored.lease_expires_at
    assert timedelta(seconds=5) < stored.lease_expires_at - timezone.now() <= timedelta(seconds=LEASE)
    assert claim(5) == []


def test_a_claim_knows_what_a_program_said_beside_the_question(owner: User, persona: Persona) -> None:
    plain, told = ask(owner), ask(owner)
    expires_at = timezone.now() + timedelta(days=1)
    Conversation.objects.filter(pk=told.conversation.pk).update(instructions="Rhyme.", expires_at=expires_at)
    Message.objects.filter(pk=told.reply.pk).update(max_tokens=50)
    works = {work.reply: work for _claim, work in take_up("w", {"fake": 5}, 0, LEASE)}
    said = [
        (w.instructions, w.max_tokens, w.reply_tokens, w.in_passing)
        for w in (works[plain.reply.pk], works[told.reply.pk])
    ]
    assert said == [("", None, 200, False), ("Rhyme.", 50, 50, True)]


def test_the_nearer_bound_of_a_reply_holds(owner: User, persona: Persona) -> None:
    pk = ask(owner).reply.pk
    for asked, allowed in ((None, 200), (1, 1), (199, 199), (5000, 200)):
        Message.objects.filter(pk=pk).update(max_tokens=asked)
        stored = Message.objects.select_related("conversation").get(pk=pk)
        assert load_work([claim_of(stored)])[pk].reply_tokens == allowed


def test_who_asks_once_is_second_after_one_who_asks_ten_times(owner: User, other: User, persona: Persona) -> None:
    crowd = [ask(owner).reply.pk for _ in range(10)]
    single = ask(other).reply.pk
    places = {pk: stands.place for pk, stands in queue.positions([single, crowd[1], crowd[9]]).items()}
    assert places == {single: 2, crowd[1]: 3, crowd[9]: 11}
    order = [claim(1)[0].reply for _ in range(11)]
    assert order[:2] == [crowd[0], single]
    assert order[2:] == crowd[1:]
    assert claim(1) == []


def test_what_somebody_has_streaming_counts(owner: User, other: User, persona: Persona) -> None:
    ask(owner)
    claim(1)
    second, theirs = ask(owner).reply.pk, ask(other).reply.pk
    assert [claim(1)[0].reply for _ in range(2)] == [theirs, second]


def test_each_provider_has_its_own_slots(owner: User, other: User, persona: Persona) -> None:
    local = make_persona(model="local/small")
    unknown = make_persona(model="elsewhere/big")
    for person in (owner, other):
        for each in (persona, local, unknown):
            ask(person, persona=each)
    claimed = queue.claim("w", {"fake": 1, "local": 0}, 2, LEASE)
    providers = sorted(row(c.reply).provider for c in claimed)
    assert providers == ["elsewhere", "elsewhere", "fake"]


def make_line(first: Message, others: int) -> list[UUID]:
    """So many more replies behind ``first``, of the same person and provider."""
    fields = {"conversation_id": first.conversation_id, "owner_id": first.owner_id, "parent_id": first.parent_id}
    fields |= {"role": "assistant", "status": "queued", "provider": first.provider, "queued_at": timezone.now()}
    return [made.pk for made in Message.objects.bulk_create([Message(**fields) for _ in range(others)])]


def test_a_line_however_long_hides_nobody_who_waits_for_another_provider(
    owner: User, other: User, persona: Persona
) -> None:
    last = make_line(ask(owner).reply, queue.LOOKED_AT)[-1]
    local, elsewhere = (ask(other, persona=make_persona(model=f"{name}/m")).reply.pk for name in ("local", "elsewhere"))
    places = queue.positions([last, local, elsewhere])
    assert places == {
        last: ("fake", queue.LOOKED_AT + 1),
        local: ("local", 1),
        elsewhere: ("elsewhere", 1),
    }
    claimed = queue.claim("w", {"fake": 0, "local": 1}, 1, LEASE)
    assert {c.reply for c in claimed} == {local, elsewhere}


def test_who_is_paused_takes_nobodys_place(owner: User, other: User, persona: Persona) -> None:
    ask(owner)
    theirs = ask(other).reply.pk
    User.objects.filter(pk=owner.pk).update(restricted_at=timezone.now())  # past what stops that
    assert queue.positions([theirs]) == {theirs: ("fake", 1)}
    assert queue.lines() == {("fake", 1): 1}
    assert [c.reply for c in claim(1)] == [theirs]


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_never_share_a_reply(persona: Persona) -> None:
    # In a whole run the processes of other tests may be up and claim as well: all the better.
    people = [make_user() for _ in range(12)]
    workers, each = 6, 3
    barrier = Barrier(workers)

    def work(number: int) -> list[UUID]:
        try:
            barrier.wait(10)
            taken: list[UUID] = []
            for person in people[number * 2 : number * 2 + 2]:
                for _ in range(each):
                    ask(person)
                    taken += [c.reply for c in claim(2, f"w{number}")]
            while found := claim(2, f"w{number}"):
                taken += [c.reply for c in found]
            return taken
        finally:
            connections.close_all()

    with ThreadPoolExecutor(workers) as pool:
        taken = [pk for mine in pool.map(work, range(workers)) for pk in mine]
    assert taken
    assert len(taken) == len(set(taken))
    assert not Message.objects.filter(status="queued").exists()
    assert Message.objects.replies().count() == len(people) * each
    assert set(Message.objects.replies().values_list("epoch", flat=True)) == {1}


@pytest.fixture
def overtaken(owner: User, persona: Persona) -> queue.Claim:
    """A claim whose reply somebody else holds by now."""
    ask(owner)
    (claimed,) = claim(1)
    Message.objects.filter(pk=claimed.reply).update(epoch=2, text="theirs")
    return claimed


def test_an_older_epoch_writes_nothing(overtaken: queue.Claim) -> None:
    old = Checkpoint(overtaken.reply, overtaken.epoch, "mine")
    attempts: list[Callable[[], object]] = [
        lambda: queue.checkpoint([old], LEASE),
        lambda: queue.raise_epochs([old], LEASE),
        lambda: queue.finish(overtaken.reply, overtaken.epoch, Ending("completed", "mine")),
        lambda: queue.hand_over(overtaken.reply, overtaken.epoch, Ending("queued", "mine")),
    ]
    before = Message.objects.filter(pk=overtaken.reply).values().get()
    assert [attempt() for attempt in attempts] == [{}, {}, False, False]
    assert Message.objects.filter(pk=overtaken.reply).values().get() == before


@pytest.mark.parametrize("status", ["completed", "stopped", "interrupted", "failed", "queued"])
def test_what_no_longer_streams_is_not_written_either(owner: User, persona: Persona, status: str) -> None:
    ask(owner)
    (claimed,) = claim(1)
    Message.objects.filter(pk=claimed.reply).update(status=status)
    assert not queue.finish(claimed.reply, claimed.epoch, Ending("completed", "late"))
    assert queue.checkpoint([Checkpoint(claimed.reply, claimed.epoch, "late")], LEASE) == {}
    assert row(claimed.reply).text == ""


def test_a_checkpoint_stores_many_texts_renews_leases_and_tells_of_stops(
    owner: User, other: User, persona: Persona
) -> None:
    first, second = ask(owner).reply.pk, ask(other).reply.pk
    claim(2)
    Message.objects.update(lease_expires_at=timezone.now())
    Message.objects.filter(pk=second).update(stop_requested=True, text="kept")
    answer = queue.checkpoint([Checkpoint(first, 1, "so far"), Checkpoint(second, 1, None)], LEASE)
    assert answer == {first: False, second: True}
    assert [row(pk).text for pk in (first, second)] == ["so far", "kept"]
    assert all(row(pk).lease_expires_at > timezone.now() for pk in (first, second))


def test_handing_over_keeps_the_place_and_the_text(owner: User, other: User, persona: Persona) -> None:
    first, second = ask(owner).reply.pk, ask(other).reply.pk
    claim(1)
    assert queue.hand_over(first, 1, Ending("queued", "Half"))
    (again,) = claim(1)
    assert (again.reply, again.epoch, again.text) == (first, 2, "Half")
    assert row(second).status == "queued"


def test_finishing_stores_all_that_is_known(owner: User, persona: Persona) -> None:
    ask(owner)
    (claimed,) = claim(1)
    ending = Ending("completed", "Done", model="fake/echo", finish_reason="stop", prompt_tokens=3, completion_tokens=1)
    assert queue.finish(claimed.reply, claimed.epoch, ending)
    stored = row(claimed.reply)
    assert (stored.status, stored.text, stored.model, stored.finish_reason) == (
        "completed",
        "Done",
        "fake/echo",
        "stop",
    )
    assert (stored.prompt_tokens, stored.completion_tokens, stored.lease_expires_at) == (3, 1, None)
    assert stored.finished_at
    assert not queue.finish(claimed.reply, claimed.epoch, ending)


def orphan(owner: User, text: str = "", epoch: int = 1) -> queue.Orphan:
    reply = ask(owner).reply
    past = timezone.now() - timedelta(seconds=30)  # before the database's now(), which is when this transaction began
    Message.objects.filter(pk=reply.pk).update(status="streaming", epoch=epoch, text=text, lease_expires_at=past)
    return queue.Orphan(reply.pk, reply.conversation_id, epoch, text)


@pytest.mark.parametrize(
    ("shown", "epoch", "expected"), [("", 1, "queued"), ("Half", 1, "interrupted"), ("", queue.MAX_EPOCHS, "failed")]
)
def test_what_nobody_streams_any_more_is_settled_once(
    owner: User, persona: Persona, shown: str, epoch: int, expected: str
) -> None:
    lost = orphan(owner, epoch=epoch)
    assert queue.settle_orphan(lost, shown) == expected
    assert queue.settle_orphan(lost, shown) is None
    stored = row(lost.reply)
    assert (stored.status, stored.text, stored.epoch) == (expected, shown, epoch + 1)


def test_what_was_renewed_meanwhile_is_no_orphan(owner: User, persona: Persona) -> None:
    lost = orphan(owner)
    queue.checkpoint([Checkpoint(lost.reply, 1, "alive")], LEASE)
    assert queue.settle_orphan(lost, "") is None
    assert row(lost.reply).status == "streaming"


def test_only_leases_that_ran_out_are_orphans(owner: User, persona: Persona) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time() < now() - interval '10 seconds'")
        up_long_enough = cursor.fetchone()[0]
    lost, held = orphan(owner, "x"), ask(owner).reply
    claim(1)
    found = queue.orphans()
    assert [o.reply for o in found] == ([lost.reply] if up_long_enough else [])
    assert all(0 < o.expired_for < 60 for o in found)
    assert queue.orphans([lost.reply]) == []
    assert row(held.pk).status == "streaming"


def test_only_what_a_worker_does_not_know_of_is_given_back(owner: User, persona: Persona) -> None:
    lost, held, waits = (ask(owner).reply.pk for _ in range(3))
    others = ask(make_user()).reply.pk
    place = row(lost).queued_at
    Message.objects.filter(pk__in=[lost, held]).update(status="streaming", epoch=1, worker="me", text="So far")
    Message.objects.filter(pk=others).update(status="streaming", epoch=1, worker="other")
    assert queue.give_back("me", [held]) == [lost]
    assert [row(pk).status for pk in (lost, held, waits, others)] == ["queued", "streaming", "queued", "streaming"]
    assert (row(lost).queued_at, row(lost).epoch, row(lost).text) == (place, 1, "So far")
    assert queue.give_back("me", [held]) == []


def test_a_workers_reading_holds_the_branch_and_not_its_siblings(owner: User, persona: Persona) -> None:
    first = make_exchange(owner, "Q1", "A1")
    make_exchange(owner, "Q2", "A2", conversation_id=first.conversation.pk)
    branch = ask(owner, "Q2b", conversation_id=first.conversation.pk, parent_id=first.reply.pk)
    ((claimed, work),) = take_up("w", {"fake": 1}, 0, LEASE)
    assert claimed.reply == branch.reply.pk
    assert [(turn.role, turn.text) for turn in work.turns] == [("user", "Q1"), ("assistant", "A1"), ("user", "Q2b")]
    assert work.models == ["fake/echo"]


def test_a_summary_counts_only_on_its_own_branch(owner: User, persona: Persona) -> None:
    first = make_exchange(owner, "Q1", "A1")
    conversation = first.conversation
    later = make_exchange(owner, "Q2", "A2", conversation_id=conversation.pk)
    Conversation.objects.update(summary="They met.", summary_upto=later.reply)
    here = ask(owner, "Q3", conversation_id=conversation.pk).reply
    work = load_work([claim_of(row(here.pk))])[here.pk]
    assert (work.summary, work.summarised) == ("They met.", 4)
    end(here)
    elsewhere = ask(owner, "Q2b", conversation_id=conversation.pk, parent_id=first.reply.pk).reply
    work = load_work([claim_of(row(elsewhere.pk))])[elsewhere.pk]
    assert (work.summary, work.summarised) == ("", 0)


def test_a_claim_whose_persona_is_gone_is_left_out(owner: User, persona: Persona) -> None:
    kept, gone = claim_of(ask(owner).reply), claim_of(ask(owner).reply)
    gone = queue.Claim(gone.reply, gone.conversation, gone.epoch, gone.text, UUID(int=1), "", None)
    assert list(load_work([gone, kept])) == [kept.reply]
    assert load_work([gone]) == {}
