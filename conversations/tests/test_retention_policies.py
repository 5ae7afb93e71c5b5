"""What each policy of retention removes, what a pause keeps, and what a run counts and bounds."""

from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import restriction
from accounts.models import RetentionRun, User
from accounts.privacy import erasures
from accounts.retention import holds, policies, runs, sweeps
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_admin, make_guest, make_user
from chatbot_project.lib.errors import ApplicationError
from conversations.models import Conversation, Message, ModerationItem
from personas.models import Persona

from .factories import make_conversation
from .stack import wait_until
from .test_retention import aged, left, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return make_admin()


def set_days(admin: User, data_class: str, days: int) -> None:
    policies.set_policy(actor=admin, data_class=data_class, days=days, reason="x")


def keys_of(sweep: str, as_of: Any) -> set[UUID]:
    return set(sweeps.find_sweep(sweep).due(as_of).values_list("pk", flat=True))


# --- policies


@pytest.mark.parametrize("data_class", list(policies.POLICIES))
def test_each_policy_can_be_set_within_its_bounds(data_class: str, admin: User) -> None:
    set_days(admin, data_class, 5)
    assert policies.days_of(data_class) == 5
    with pytest.raises(ApplicationError) as refused:
        set_days(admin, data_class, 36_501)
    assert (refused.value.code, refused.value.status) == ("retention_too_long", 400)
    if policies.POLICIES[data_class].for_good:
        set_days(admin, data_class, 0)
        assert policies.over_since(data_class, timezone.now()) is None
        return
    with pytest.raises(ApplicationError) as refused:
        set_days(admin, data_class, 0)
    assert refused.value.code == "retention_too_short"


def test_the_longest_period_breaks_neither_pages_nor_runs(owner: User, persona: Persona, admin: User) -> None:
    for data_class in policies.POLICIES:
        set_days(admin, data_class, 36_500)
    conversation = aged(owner, 31)
    assert ApiClient.of(owner).get(f"conversations/{conversation.pk}").status_code == 200
    run()
    assert left() == {conversation.pk}


def test_a_deletion_can_be_undone_as_long_as_the_policy_says(owner: User, persona: Persona, admin: User) -> None:
    client, now = ApiClient.of(owner), timezone.now()
    late, early = aged(owner, 3, deleted_at=now - timedelta(days=2)), aged(owner, 3, deleted_at=now)
    assert refusal(client.post(f"conversations/{late.pk}/restore")) == (404, "not_found")
    assert client.post(f"conversations/{early.pk}/restore").status_code == 200
    set_days(admin, "deleted", 3)
    run()
    assert client.post(f"conversations/{late.pk}/restore").status_code == 200


def test_what_is_held_and_was_deleted_long_ago_is_not_had_back(owner: User, persona: Persona, admin: User) -> None:
    conversation = aged(owner, 3, deleted_at=timezone.now() - timedelta(days=2))
    holds.place(actor=admin, conversation=conversation.pk, reason="court")
    run()
    assert left() == {conversation.pk}
    assert refusal(ApiClient.of(owner).post(f"conversations/{conversation.pk}/restore")) == (404, "not_found")


def item_of(conversation: Conversation, days: float, **fields: Any) -> ModerationItem:
    message = Message.objects.filter(conversation=conversation, role="user").first()
    then = timezone.now() - timedelta(days=days)
    given = {"state": "upheld", "created_at": then, "decided_at": then, "action": "block", "category": "other"} | fields
    return ModerationItem.objects.create(message=message, owner=conversation.owner, **given)


def test_decided_moderation_items_go_and_those_that_wait_or_count_stay(
    owner: User, persona: Persona, admin: User, settings: Any
) -> None:
    settings.MODERATION_SCORE_DAYS = 30
    old = item_of(make_conversation(owner), 40)
    waits = item_of(make_conversation(owner), 40, state="open", decided_at=None)
    counts = item_of(make_conversation(owner), 20)
    run()
    assert ModerationItem.objects.count() == 3, "as long as nobody has set a time"
    set_days(admin, "moderation", 10)
    run()
    assert set(ModerationItem.objects.all()) == {waits, counts}
    assert Message.objects.filter(pk=old.message_id).exists()


# --- the dry run and the count of each kind


def test_each_row_is_of_one_sweep_so_that_a_dry_run_counts_as_the_real_one(
    owner: User, persona: Persona, admin: User
) -> None:
    set_days(admin, "content", 30)
    now = timezone.now()
    guest = make_guest(last_seen_at=now - timedelta(days=40))
    aged(guest, 40)
    aged(guest, 40, deleted_at=now - timedelta(days=3))
    aged(owner, 2, deleted_at=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    aged(owner, 2, deleted_at=now - timedelta(hours=2), expires_at=now - timedelta(hours=1))
    aged(owner, 40, deleted_at=now - timedelta(days=39))
    planned = {each.key: each.count for each in runs.plan(now) if each.count}
    found = runs.apply(now)
    assert found.removed == planned
    assert planned == {"deleted_conversations": 3, "asked_in_passing": 1, "unused_conversations": 1, "guests": 1}
    assert left() == set()


# --- pauses


def test_what_is_a_paused_persons_stays_and_is_reported_until_they_go_on(
    owner: User, persona: Persona, admin: User
) -> None:
    set_days(admin, "content", 30)
    now = timezone.now()
    theirs = {aged(owner, 40).pk, aged(owner, 5, deleted_at=now - timedelta(days=3)).pk}
    aged(make_user(), 40)
    restriction.restrict(actor=owner, user=owner)
    said = run(dry_run=True)
    assert "unused_conversations             1" in said
    assert "1 kept by a hold or a pause" in said
    assert "kept by a hold or a pause" in run()
    assert left() == theirs
    found = RetentionRun.objects.get()
    assert found.removed == {"unused_conversations": 1}
    assert found.kept == {"unused_conversations": 1, "deleted_conversations": 1}
    assert found.skipped == {}
    restriction.resume(actor=owner, user=User.objects.get(pk=owner.pk))
    run()
    assert left() == set()


def test_a_paused_guest_stays_and_is_erased_when_they_ask(persona: Persona, admin: User) -> None:
    guest = make_guest(last_seen_at=timezone.now() - timedelta(days=100))
    aged(guest, 100)
    restriction.restrict(actor=guest, user=guest)
    run()
    assert User.objects.filter(pk=guest.pk).exists()
    request = erasures.request_erasure(user=guest)
    assert erasures.run_erasure(request.pk) is True
    assert not User.objects.filter(pk=guest.pk).exists()
    assert left() == set()


# --- what comes into force while a batch is at work


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["hold", "pause"])
def test_a_hold_or_a_pause_waits_for_the_batch_and_keeps_all_that_is_left(
    how: str, owner: User, persona: Persona, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_days(admin, "content", 30)
    first, second = (aged(owner, 40) for _ in range(2))
    sweep = sweeps.find_sweep("unused_conversations")
    begun, in_force = Event(), Event()

    def come_into_force() -> None:
        assert begun.wait(20)
        if how == "hold":
            holds.place(actor=admin, person=owner, reason="court")
        else:
            restriction.restrict(actor=owner, user=owner)
        in_force.set()
        connection.close()

    thread = Thread(target=come_into_force)
    thread.start()
    with transaction.atomic():
        sweep.remove_batch(timezone.now(), only=first.pk)
        begun.set()
        wait_for_a_lock()
        assert not in_force.is_set(), "it would hold a conversation that is being removed"
    assert in_force.wait(20)
    thread.join()
    run()
    assert left() == {second.pk}


def wait_for_a_lock() -> None:
    def somebody_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return bool(cursor.fetchone()[0])

    wait_until(somebody_waits, "somebody waits for the batch", 20)


# --- bounds


def test_rows_that_cannot_go_take_no_more_time_than_there_is(
    owner: User, persona: Persona, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them may cost as long as a batch waits for a lock: looked at one by one, a batch would take minutes."""
    set_days(admin, "content", 30)
    for _ in range(6):
        aged(owner, 40)
    tried: list[Any] = []

    def refuse(keys: Any) -> int:
        tried.append(keys)
        raise IntegrityError

    sweep = sweeps.find_sweep("unused_conversations")
    monkeypatch.setitem(sweeps._sweeps, sweep.key, replace(sweep, remove=refuse))
    clock = iter(range(1000))
    monkeypatch.setattr(runs, "monotonic", lambda: next(clock))
    assert runs.sweep_now(sweep.key, seconds=3) == 0
    assert len(tried) < 5


def test_one_row_that_cannot_go_keeps_no_other_between_the_runs_either(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = timezone.now() - timedelta(days=2)
    stuck, *_others = [aged(owner, 3, deleted_at=old) for _ in range(4)]
    sweep = sweeps.find_sweep("deleted_conversations")

    def refuse(keys: Any) -> object:
        if stuck.pk in keys:
            raise IntegrityError
        return sweep.remove(keys)

    monkeypatch.setitem(sweeps._sweeps, sweep.key, replace(sweep, remove=refuse))
    assert runs.sweep_now(sweep.key, seconds=60) == 3
    assert left() == {stuck.pk}
