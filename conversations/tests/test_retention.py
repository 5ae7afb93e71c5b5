"""What is kept no longer: hidden at once, removed in bounded batches, unless it is held."""

from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.test import Client
from django.utils import timezone

from accounts import tasks
from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, LegalHold, RetentionPolicy, RetentionRun, User
from accounts.retention import holds, policies, runs, sweeps
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_guest, make_moderator, make_user
from chatbot_project.lib.errors import ApplicationError
from conversations.models import Conversation, Message
from personas.models import Persona

from .factories import ask, make_conversation
from .retaining import a_month, admin, aged, left, run

__all__ = ["a_month", "admin"]  # fixtures
pytestmark = pytest.mark.django_db
LONG_DELETED = timedelta(days=2)


# --- what is over


def test_what_is_over_goes_and_nothing_else(owner: User, persona: Persona, a_month: None) -> None:
    now = timezone.now()
    gone = [aged(owner, 31), aged(owner, 40, deleted_at=now - LONG_DELETED), aged(owner, 1, expires_at=now)]
    kept = [aged(owner, 29), aged(owner, 1, deleted_at=now), aged(owner, 1, expires_at=now + timedelta(hours=1))]
    guest = make_guest(last_seen_at=now - timedelta(days=8))
    theirs = aged(guest, 8)
    said = run()
    assert left() == {each.pk for each in kept}
    assert not User.objects.filter(pk=guest.pk).exists()
    assert Message.objects.exclude(conversation__in=kept).count() == 0
    assert {each.pk for each in [*gone, theirs]}.isdisjoint(left())
    found = RetentionRun.objects.get()
    assert found.removed == {
        "guests": 1, "deleted_conversations": 1, "asked_in_passing": 1, "unused_conversations": 1
    }  # fmt: skip
    assert found.skipped == {}
    assert "unused_conversations" in said
    run()
    assert left() == {each.pk for each in kept}


def test_without_a_policy_nothing_unused_goes(owner: User, persona: Persona) -> None:
    aged(owner, 4000)
    run()
    assert len(left()) == 1


def test_what_is_over_is_hidden_at_once_everywhere(owner: User, persona: Persona, admin: User) -> None:
    old, passing, fresh = aged(owner, 31), aged(owner, 1), aged(owner, 1)
    reply = Message.objects.filter(conversation=old, role="assistant").first()
    client, page = ApiClient.of(owner), Client()
    page.force_login(owner)
    Conversation.objects.filter(pk=passing.pk).update(expires_at=timezone.now() + timedelta(hours=1))
    for conversation in (old, passing):
        assert client.get(f"conversations/{conversation.pk}").status_code == 200
    policies.set_policy(actor=admin, data_class="content", days=30, reason="x")
    Conversation.objects.filter(pk=passing.pk).update(expires_at=timezone.now())
    for conversation in (old, passing):
        path = f"conversations/{conversation.pk}"
        for answer in (
            client.get(path), client.get(f"{path}/messages"), client.get(f"{path}/export"),
            client.patch(path, {"title": "mine"}), client.delete(path), client.post(f"{path}/restore"),
            client.post("chat/send", {"text": "And?", "conversation": str(conversation.pk), "wait": 0}),
        ):  # fmt: skip
            assert refusal(answer) == (404, "not_found")
        assert page.get(f"/c/{conversation.pk}/").status_code == 404
    assert refusal(client.get(f"messages/{reply.pk}")) == (404, "not_found")
    assert refusal(client.post(f"messages/{reply.pk}/regenerate", {"wait": 0})) == (404, "not_found")
    assert refusal(client.call("put", f"messages/{reply.pk}/feedback", {"value": 1})) == (404, "not_found")
    assert [each["id"] for each in client.get("conversations").json()["items"]] == [str(fresh.pk)]
    assert client.get(f"conversations/{fresh.pk}").status_code == 200
    policies.set_policy(actor=admin, data_class="content", days=0, reason="x")
    assert client.get(f"conversations/{old.pk}").status_code == 200, "until it is removed, a longer policy shows it"


def test_asking_in_it_keeps_a_conversation(owner: User, persona: Persona, a_month: None) -> None:
    conversation = aged(owner, 29)
    ask(owner, "And?", conversation_id=conversation.pk)
    run(as_of=timezone.now())
    assert runs.plan(timezone.now() + timedelta(days=25))
    assert "unused_conversations             0" in run(dry_run=True, as_of=timezone.now() + timedelta(days=25))


# --- the dry run


def test_a_dry_run_names_exactly_what_goes_and_removes_nothing(owner: User, persona: Persona, a_month: None) -> None:
    for days in (1, 31, 35, 50):
        aged(owner, days)
    as_of = timezone.now()
    planned = {each.key: each for each in runs.plan(as_of)}
    due = {sweep.key: set(sweep.due(as_of).values_list("pk", flat=True)) for sweep in sweeps.all_sweeps()}
    assert f"unused_conversations             3  {planned['unused_conversations'].digest}" in run(dry_run=True)
    assert len(left()) == 4
    assert not RetentionRun.objects.exists()
    before = left()
    run(as_of=as_of)
    assert before - left() == due["unused_conversations"]
    assert {key: each.count for key, each in planned.items() if each.count} == RetentionRun.objects.get().removed


def test_the_future_may_be_looked_at_and_not_applied(owner: User, persona: Persona, a_month: None) -> None:
    aged(owner, 1)
    then = timezone.now() + timedelta(days=30)
    assert "unused_conversations             1" in run(dry_run=True, as_of=then)
    with pytest.raises(CommandError):
        run(as_of=then)
    with pytest.raises(CommandError):
        call_command("apply_retention", "--as-of", "soon")
    call_command("apply_retention", "--dry-run", "--as-of", "2026-01-01", stdout=StringIO())
    assert len(left()) == 1


# --- holds


@pytest.mark.parametrize("which", ["person", "conversation"])
def test_what_is_held_stays_until_it_is_released(
    which: str, owner: User, persona: Persona, admin: User, a_month: None
) -> None:
    held, other = aged(owner, 40), aged(owner, 40)
    stranger = aged(make_user(), 40)
    Conversation.objects.filter(pk=held.pk).update(deleted_at=timezone.now() - LONG_DELETED)
    target = {"person": owner} if which == "person" else {"conversation": held.pk}
    hold = holds.place(actor=admin, reason="court", **target)
    assert "deleted_conversations            0" in run(dry_run=True)
    run()
    tasks.apply_retention()
    assert left() == ({held.pk, other.pk} if which == "person" else {held.pk})
    assert stranger.pk not in left()
    holds.release(actor=admin, hold=hold, reason="over")
    run()
    assert left() == set()
    told = AuditEvent.objects.filter(action__startswith="legal_hold.").order_by("pk")
    assert [(each.action, reason_of(each)) for each in told] == [
        ("legal_hold.placed", "court"), ("legal_hold.released", "over"),
    ]  # fmt: skip


def test_a_held_guest_stays_and_a_held_person_cannot_be_deleted(admin: User, persona: Persona) -> None:
    guest = make_guest(last_seen_at=timezone.now() - timedelta(days=100))
    conversation = make_conversation(guest)
    holds.place(actor=admin, conversation=conversation.pk, reason="court")
    assert tasks.expire_guests() == 0
    with pytest.raises(models.ProtectedError):
        guest.delete()
    assert conversation.pk in left()


def test_a_hold_goes_over_to_the_account_that_a_guest_becomes(admin: User, owner: User, persona: Persona) -> None:
    from accounts import services

    guest = make_guest()
    conversation = make_conversation(guest)
    holds.place(actor=admin, conversation=conversation.pk, reason="court")
    services.merge_guest(guest=guest, user=owner)
    assert LegalHold.objects.get().person == owner
    Conversation.objects.update(deleted_at=timezone.now() - LONG_DELETED)
    run()
    assert conversation.pk in left()


def test_only_admins_hold_and_set_policies(owner: User, persona: Persona, admin: User) -> None:
    hold = holds.place(actor=admin, person=owner, reason="x")
    for actor in (make_moderator(), owner):
        for call in (
            lambda actor=actor: holds.place(actor=actor, person=owner, reason="x"),
            lambda actor=actor: holds.release(actor=actor, hold=hold, reason="x"),
            lambda actor=actor: policies.set_policy(actor=actor, data_class="content", days=1, reason="x"),
        ):
            with pytest.raises(ApplicationError) as refused:
                call()
            assert refused.value.status == 403
    with pytest.raises(ApplicationError) as refused:
        holds.place(actor=admin, person=owner, reason="x")
    assert refused.value.code == "held_already"
    with pytest.raises(ApplicationError) as refused:
        holds.place(actor=admin, conversation=uuid4(), reason="x")
    assert refused.value.code == "not_found"
    with pytest.raises(ApplicationError) as refused:
        policies.set_policy(actor=admin, data_class="account", days=0, reason="x")
    assert refused.value.code == "retention_too_short"


# --- the record, and the pages


def test_each_run_and_each_policy_is_recorded_once(owner: User, persona: Persona, a_month: None) -> None:
    aged(owner, 31)
    run()
    event = AuditEvent.objects.get(action="retention.applied")
    assert event.details["removed"] == {"unused_conversations": 1}
    policy = AuditEvent.objects.get(action="retention.policy_set")
    assert policy.details == {"data_class": "content", "from": 0, "to": 30}


def opened(user: User | None) -> Client:
    page = Client()
    if user is not None:
        page.force_login(user)
    return page


PAGES = ("retentionpolicy", "legalhold", "retentionrun")


def test_only_admins_see_the_pages(admin: User, owner: User) -> None:
    holds.place(actor=admin, person=owner, reason="x")
    runs.apply()
    for name in PAGES:
        path = f"/admin/accounts/{name}/"
        answers = [opened(user).get(path).status_code for user in (admin, make_moderator(), owner, None)]
        assert answers == [200, 403, 302, 302], name


def test_a_policy_is_set_on_its_page_with_a_reason(admin: User) -> None:
    page, path = opened(admin), "/admin/accounts/retentionpolicy/"
    page.post(f"{path}add/", {"data_class": "content", "days": "30", "reason": ""})
    assert not RetentionPolicy.objects.exists()
    page.post(f"{path}add/", {"data_class": "content", "days": "30", "reason": "by law"})
    assert policies.days_of("content") == 30
    page.post(f"{path}content/change/", {"days": "", "reason": "by the settings"})
    assert policies.days_of("content") == 0
    refused = page.post(f"{path}add/", {"data_class": "account", "days": "0", "reason": "x"}, follow=True)
    assert "This is kept for a day at least, and not for good." in refused.content.decode()
    assert policies.days_of("account") == 7
    assert page.post(f"{path}content/delete/", {"post": "yes"}).status_code == 403


def test_the_page_of_policies_shows_what_holds_set_there_or_not(admin: User) -> None:
    page, path = opened(admin), "/admin/accounts/retentionpolicy/"
    rows = lambda: page.get(path).content.decode().partition("</table>")[0].split("<tr")[2:]  # noqa: E731
    assert len(rows()) == len(policies.POLICIES)
    assert not any("an admin, below" in row for row in rows())
    page.post(f"{path}add/", {"data_class": "content", "days": "30", "reason": "by law"})
    assert [">30<" in row for row in rows() if "an admin, below" in row] == [True]
    page.post(f"{path}content/change/", {"days": "", "reason": "by the settings"})
    assert not any("an admin, below" in row for row in rows())


def test_a_hold_is_placed_and_released_on_its_page(admin: User, owner: User, persona: Persona) -> None:
    page, path = opened(admin), "/admin/accounts/legalhold/"
    conversation = make_conversation(owner)
    for wrong in ({}, {"address": owner.email, "which": str(conversation.pk)}, {"address": "no@example.org"}):
        page.post(f"{path}add/", {**wrong, "reason": "court"})
    assert not LegalHold.objects.exists()
    page.post(f"{path}add/", {"address": owner.email, "reason": "court"})
    page.post(f"{path}add/", {"which": str(conversation.pk), "reason": "court"})
    assert LegalHold.objects.filter(person=owner).count() == 2
    hold = LegalHold.objects.get(conversation=None)
    page.post(f"{path}{hold.pk}/change/", {"release": "on", "reason": ""})
    assert LegalHold.objects.filter(pk=hold.pk).exists()
    page.post(f"{path}{hold.pk}/change/", {"release": "on", "reason": "over"})
    assert not LegalHold.objects.filter(pk=hold.pk).exists()
