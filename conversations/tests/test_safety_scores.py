"""Repeated violations: what they come to, and that they slow a person and then suspend them."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, User
from accounts.tests.factories import make_moderator
from chatbot_project.lib.errors import ApplicationError
from conversations.models import ModerationItem, ModerationRule
from conversations.safety.findings import Finding, decide_item, record_finding
from conversations.safety.scores import points_of, reset_points
from personas.models import Persona

from .factories import ask, end

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _scores(settings: Any) -> None:
    settings.MODERATION_SLOW_SCORE, settings.MODERATION_SUSPEND_SCORE, settings.MODERATION_SCORE_DAYS = 6, 12, 30


def violate(person: User, persona: Persona, action: str = "block") -> ModerationItem:
    """A question of ``person`` that broke a rule. Asked past the limits, which other tests are of."""
    rule = ModerationRule.objects.create(phrase="x", action=action, category="other")
    points, accepted = points_of(person.pk), None
    if points < 6:
        accepted = ask(person, persona=persona)
        end(accepted.reply, "")
        message = accepted.question
    else:
        message = ModerationItem.objects.filter(owner=person).latest("created_at").message
        message.pk, message.client_id, message._state.adding = None, None, True
        message.id = ModerationItem._meta.get_field("id").default()
        message.save(force_insert=True)
    record_finding(Finding(message.pk, rule.as_rule))
    return ModerationItem.objects.get(message=message)


def test_blocks_count_at_once_flags_when_upheld_and_nothing_that_was_dismissed(owner: User, persona: Persona) -> None:
    moderator = make_moderator()
    block, flag = violate(owner, persona), violate(owner, persona, "flag")
    violate(owner, persona, "crisis")
    assert points_of(owner.pk) == 3
    decide_item(item=flag, actor=moderator, state="upheld")
    assert points_of(owner.pk) == 4
    decide_item(item=block, actor=moderator, state="dismissed")
    assert points_of(owner.pk) == 1


def test_what_is_long_ago_and_what_others_did_count_nothing(owner: User, other: User, persona: Persona) -> None:
    violate(other, persona)
    violate(owner, persona)
    ModerationItem.objects.filter(owner=owner).update(created_at=timezone.now() - timedelta(days=31))
    assert points_of(owner.pk) == 0


def test_from_six_points_on_a_person_asks_once_a_minute_in_all_their_conversations(
    owner: User, other: User, persona: Persona
) -> None:
    violate(owner, persona)
    accepted = ask(owner, persona=persona)
    end(accepted.reply, "")
    violate(owner, persona)
    first = ask(owner, persona=persona)
    end(first.reply, "")
    for conversation in (None, accepted.conversation.pk):
        with pytest.raises(ApplicationError) as refusal:
            ask(owner, conversation_id=conversation) if conversation else ask(owner, persona=persona)
        assert (refusal.value.code, refusal.value.status) == ("rate_limited", 429)
        assert refusal.value.retry_after
    end(ask(other, persona=persona).reply, "")
    end(ask(other, persona=persona).reply, "")


def test_nobody_is_slowed_where_that_is_off(owner: User, persona: Persona, settings: Any) -> None:
    violate(owner, persona)
    violate(owner, persona)
    settings.MODERATION_SLOW_SCORE = 0
    for _ in range(3):
        end(ask(owner, persona=persona).reply, "")


def test_with_too_many_points_a_person_is_suspended_and_that_is_recorded(owner: User, persona: Persona) -> None:
    for number in range(4):
        owner.refresh_from_db()
        assert owner.is_active, f"after {number}"
        violate(owner, persona)
    epoch = owner.auth_epoch
    owner.refresh_from_db()
    assert not owner.is_active
    assert owner.auth_epoch == epoch + 1, "their sessions end"
    event = AuditEvent.objects.get(action="user.suspended")
    assert event.actor_id is None
    assert event.details["points"] == 12


def test_staff_and_installations_that_want_no_suspension_are_spared(
    owner: User, persona: Persona, settings: Any
) -> None:
    moderator = make_moderator()
    for _ in range(4):
        violate(moderator, persona)
    moderator.refresh_from_db()
    assert moderator.is_active
    settings.MODERATION_SUSPEND_SCORE = 0
    for _ in range(4):
        violate(owner, persona)
    owner.refresh_from_db()
    assert owner.is_active
    assert not AuditEvent.objects.filter(action="user.suspended").exists()


def test_a_reply_counts_once_a_moderator_has_upheld_it(owner: User, persona: Persona) -> None:
    item = violate(owner, persona)
    ModerationItem.objects.update(message=item.message.children.get())
    assert points_of(owner.pk) == 0, "a model wrote it"
    decide_item(item=item, actor=make_moderator(), state="upheld")
    assert points_of(owner.pk) == 3


def test_a_moderator_resets_the_points_for_a_reason_and_what_comes_later_counts(owner: User, persona: Persona) -> None:
    moderator = make_moderator()
    violate(owner, persona)
    violate(owner, persona)
    for actor, reason, code in (
        (owner, "I was good since", "not_allowed"),
        (moderator, "  short  ", "reason_too_short"),
    ):
        with pytest.raises(ApplicationError) as refusal:
            reset_points(actor=actor, person=owner, reason=reason)
        assert refusal.value.code == code
    assert reset_points(actor=moderator, person=owner, reason="All of it was a song") == 6
    event = AuditEvent.objects.get(action="moderation.points_reset")
    assert (event.details["points"], reason_of(event)) == (6, "All of it was a song")
    assert points_of(owner.pk) == 0
    for _ in range(3):
        end(ask(owner, persona=persona).reply, "")  # not slowed
    violate(owner, persona)
    assert points_of(owner.pk) == 3


def test_the_admin_asks_for_the_reason(client: Any, owner: User, other: User, persona: Persona) -> None:
    item = violate(owner, persona)
    url = f"/admin/conversations/moderationitem/{item.pk}/reset-points/"
    assert client.get(url).status_code == 302
    client.force_login(other)
    assert client.post(url, {"reason": "All of it was a song"}).status_code == 302
    assert points_of(owner.pk) == 3
    client.force_login(make_moderator())
    assert "3 points" in client.get(url).content.decode()
    assert "at least 10" in client.post(url, {"reason": "short"}).content.decode()
    assert client.post(url, {"reason": "All of it was a song"}).status_code == 302
    assert points_of(owner.pk) == 0


@pytest.mark.parametrize(("seconds", "points"), [(-60, 3), (60, 0)])
def test_points_are_forgotten_after_their_days_to_the_minute(
    owner: User, persona: Persona, seconds: int, points: int
) -> None:
    violate(owner, persona)
    ModerationItem.objects.update(created_at=timezone.now() - timedelta(days=30, seconds=seconds))
    assert points_of(owner.pk) == points


@pytest.mark.parametrize(("score", "is_active"), [(6, False), (7, True)])
def test_suspension_begins_at_its_score_and_not_before(
    owner: User, persona: Persona, settings: Any, score: int, is_active: bool
) -> None:
    settings.MODERATION_SUSPEND_SCORE = score
    violate(owner, persona)
    violate(owner, persona)
    owner.refresh_from_db()
    assert owner.is_active == is_active
